"""One spectrum of a long signal: the mean of its pieces' periodograms (Bartlett 1948)."""

from __future__ import annotations

from typing import Optional

import numpy as np

from hrd.estimate.spectrum import Spectrum

SEGMENT_S = 60.0
"""Longest piece: a signal up to this length has one periodogram. A longer piece would split the
peak of a rate that wanders; a shorter one would blur it (``tools/segments.py``)."""


class MeanSpectrum:
    """Add the periodograms of pieces of at most ``SEGMENT_S``, each weighted by its length."""

    def __init__(self) -> None:
        self._power: Optional[np.ndarray] = None
        self._frequency_hz = np.zeros(0)
        self._seconds = 0.0

    def add(self, piece: Spectrum) -> None:
        """One piece more; all must be on the same grid. A silent one is left out: it says nothing
        of the rate."""
        if not piece.power.any():
            return
        weighted = piece.power * piece.duration_s
        self._power = weighted if self._power is None else self._power + weighted
        self._frequency_hz = piece.frequency_hz
        self._seconds += piece.duration_s

    def mean(self, unfinished: Optional[Spectrum] = None) -> Optional[Spectrum]:
        """The mean so far, with a piece that is not added for good; None if all was silent."""
        if unfinished is not None:
            both = MeanSpectrum()
            both._power, both._seconds = self._power, self._seconds
            both.add(unfinished)
            both._frequency_hz = unfinished.frequency_hz
            return both.mean()
        if self._power is None:
            return None
        return Spectrum(
            self._frequency_hz, self._power / self._seconds, min(self._seconds, SEGMENT_S)
        )
