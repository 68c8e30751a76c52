"""What ``hrd doctor`` finds."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Mapping, Optional


class Verdict(str, enum.Enum):
    """``FAIL``: ``hrd run`` could not run. ``WARN``: it could, with something missing."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``remedy``: what mends it, a command where there is one. ``values``:
    what was measured, for ``--json``."""

    topic: str
    verdict: Verdict
    text: str
    remedy: Optional[str] = None
    values: Optional[Mapping[str, float]] = None
