"""The heart rate of a whole clip, in bounded memory however long it is."""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from hrd.estimate.bartlett import SEGMENT_S, MeanSpectrum
from hrd.estimate.ratefilter import HeartRateFilter
from hrd.estimate.spectrum import Spectrum, peak_near_bpm, periodogram
from hrd.types import NEAR_BPM, PulseChunk

MIN_SIGNAL_S = 5.0
_HOLE_S = 1e-3


class WholeClip:
    """Averages the periodograms of successive segments and reads the average's peak.

    A hole in the signal (the face was lost) ends a segment; what is shorter than 5 s is left out.
    ``begin_anew``: what follows may be of somebody else, and a rate is given only if both parts
    have it.
    """

    def __init__(self) -> None:
        self._before_bpm: List[float] = []  # lowest and highest of the parts before
        self._forget()

    def _forget(self) -> None:
        self._parts: List[np.ndarray] = []
        self._count = 0
        self._end_s: Optional[float] = None
        self._fs_hz = 0.0
        self._segments = MeanSpectrum()

    def push(self, chunk: PulseChunk) -> None:
        """Append a chunk of signal."""
        if (
            self._end_s is not None
            and abs(chunk.start_s - self._end_s) > _HOLE_S + 0.5 / chunk.fs_hz
        ):
            self._close_segment()
        self._fs_hz = chunk.fs_hz
        self._parts.append(chunk.bvp)
        self._count += len(chunk.bvp)
        self._end_s = chunk.start_s + len(chunk.bvp) / chunk.fs_hz
        if self._count >= SEGMENT_S * self._fs_hz:
            self._close_segment()

    def begin_anew(self) -> None:
        """The clip is cut here: another face, or another recording."""
        rate_bpm = self._part_bpm()
        if rate_bpm is not None:
            rates_bpm = [*self._before_bpm, rate_bpm]
            self._before_bpm = [min(rates_bpm), max(rates_bpm)]
        self._forget()

    def bpm(self) -> Optional[float]:
        """Heart rate over all segments so far, the unfinished one included; None without signal,
        or where the parts before and after a cut differ by more than ``NEAR_BPM``."""
        rate_bpm = self._part_bpm()
        if not self._before_bpm:
            return rate_bpm
        rates_bpm = self._before_bpm if rate_bpm is None else [*self._before_bpm, rate_bpm]
        if max(rates_bpm) - min(rates_bpm) > NEAR_BPM:
            return None
        return (max(rates_bpm) + min(rates_bpm)) / 2.0

    def _part_bpm(self) -> Optional[float]:
        spectrum = self._segments.mean(unfinished=self._spectrum())
        if spectrum is None:
            return None
        rate_bpm = HeartRateFilter().update([spectrum], 1.0).bpm
        return peak_near_bpm(spectrum, rate_bpm)

    def _spectrum(self) -> Optional[Spectrum]:
        if self._count < MIN_SIGNAL_S * self._fs_hz or self._count == 0:
            return None
        return periodogram(np.concatenate(self._parts), self._fs_hz)

    def _close_segment(self) -> None:
        spectrum = self._spectrum()
        if spectrum is not None:
            self._segments.add(spectrum)
        self._parts = []
        self._count = 0
