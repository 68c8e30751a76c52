"""``hrd measure``: the live pipeline over recorded video, and what is written of it."""

from __future__ import annotations

from hrd.measure.clip import Measurement, measure_file

__all__ = ["Measurement", "measure_file"]
