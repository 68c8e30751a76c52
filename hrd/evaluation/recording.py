"""One recording of a data set: its frames, its reference, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, Optional, Tuple

import numpy as np
from scipy.signal import butter, sosfiltfilt

from hrd.errors import HrdError
from hrd.estimate.bartlett import SEGMENT_S, MeanSpectrum
from hrd.estimate.spectrum import SHORTEST_S, Spectrum, peak_hz, periodogram
from hrd.evaluation.beats import beat_times, mean_rate_bpm
from hrd.types import MODEL_FS_HZ, FaceView, Frame

BVP, RATE = "bvp", "rate"
REFERENCES = (BVP, RATE)

_MIN_COVER = 0.8  # share of a window that a signal must cover to stand for it
_LOW_PASS_HZ = 8.0  # a reference sampled faster than the grid is freed of what would fold back


class DataError(HrdError):
    """A data set or recording that cannot be used; the message names the file and says why."""


@dataclass(frozen=True)
class Reference:
    """What the heart really did, on the frames' own time axis (seconds).

    ``bvp`` (N,) at ``bvp_time_s`` (N,): a contact sensor's pulse wave. ``bpm`` (M,) at
    ``bpm_time_s`` (M,): a rate that the data set itself gives. Either may be absent; both absent
    means that there was no heart to measure (a pulse-free clip).
    """

    bvp: Optional[np.ndarray] = None
    bvp_time_s: Optional[np.ndarray] = None
    bpm: Optional[np.ndarray] = None
    bpm_time_s: Optional[np.ndarray] = None

    @property
    def has_pulse(self) -> bool:
        return self.bvp is not None or self.bpm is not None


@dataclass(frozen=True)
class Recording:
    """``frames`` or ``tracked`` starts a new pass over the pictures; nothing is held in memory.

    ``groups``: what results are split by (``skin tone``, ``light``, ``motion``, ...).
    ``count``: number of frames if it is known. ``pictures``: the file or folder that they are in.
    """

    subject: str
    name: str
    reference: Reference
    frames: Optional[Callable[[], Iterator[Frame]]] = None
    tracked: Optional[Callable[[], Iterator[FaceView]]] = None
    groups: Mapping[str, str] = field(default_factory=dict)
    count: Optional[int] = None
    pictures: Optional[Path] = None


@dataclass(frozen=True)
class Entry:
    """A recording that was found but not yet read. ``load`` raises ``HrdError`` if it is bad.

    Entries go to worker processes: ``load`` must be picklable (a partial of a function).
    ``section``: the part of the report that it belongs to.
    """

    name: str
    load: Callable[[], Recording]
    section: str = ""


class ReferenceRate:
    """Heart rate of any stretch of a recording, from its reference.

    ``source`` ``bvp``: the highest peak of the reference wave's own spectrum, by the code that
    reads hrd's signal. ``rate``: mean of the rate that the data set gives. ``chosen`` says which
    is used: a reference that lacks what was asked for is read the other way.
    """

    def __init__(self, reference: Reference, source: str) -> None:
        if source not in REFERENCES:
            raise ValueError(f"source {source!r} is not one of {REFERENCES}")
        self._reference = reference
        self.chosen = source
        if source == BVP and reference.bvp is None:
            self.chosen = RATE
        if source == RATE and reference.bpm is None:
            self.chosen = BVP
        self._start_s = 0.0
        self._wave = np.zeros(0)
        self._beats_s: Optional[np.ndarray] = None
        if reference.bvp is not None and self.chosen == BVP:
            assert reference.bvp_time_s is not None
            self._start_s, self._wave = regular(reference.bvp_time_s, reference.bvp)

    @property
    def end_s(self) -> float:
        """When the reference ends; minus infinity if there is none."""
        times = (self._reference.bvp_time_s, self._reference.bpm_time_s)
        return max([float(t[-1]) for t in times if t is not None and len(t)] or [-np.inf])

    def bpm(self, start_s: float, end_s: float) -> Optional[float]:
        """Rate between two times; None if the reference does not cover 80 % of that."""
        if self.chosen == RATE:
            return self._mean_rate(start_s, end_s)
        first = max(0, int(np.ceil((start_s - self._start_s) * MODEL_FS_HZ - 1e-6)))
        last = int(np.floor((end_s - self._start_s) * MODEL_FS_HZ + 1e-6))
        part = self._wave[first : max(last, first)]
        if len(part) < max(_MIN_COVER * (end_s - start_s), 2.0) * MODEL_FS_HZ:
            return None
        spectrum = mean_spectrum([part])
        return 60.0 * peak_hz(spectrum) if spectrum is not None else None

    def beats_bpm(self, start_s: float, end_s: float) -> Optional[float]:
        """Mean rate of the beats between two times, by the wave's own peaks or the given rate.

        What readings are held against (``hrd.types.TRUTH_S``); None where it is not known.
        """
        if self.chosen == RATE:
            return self._mean_rate(start_s, end_s)
        if self._beats_s is None:
            self._beats_s = beat_times(self._wave, MODEL_FS_HZ, self._start_s)
        return mean_rate_bpm(self._beats_s, start_s, end_s)

    def _mean_rate(self, start_s: float, end_s: float) -> Optional[float]:
        times_s, bpm = self._reference.bpm_time_s, self._reference.bpm
        if times_s is None or bpm is None or len(times_s) == 0:
            return None
        covered = min(end_s, float(times_s[-1])) - max(start_s, float(times_s[0]))
        inside = (times_s >= start_s) & (times_s <= end_s)
        if covered < _MIN_COVER * (end_s - start_s) or not inside.any():
            return None
        return float(bpm[inside].mean())


def regular(times_s: np.ndarray, values: np.ndarray) -> Tuple[float, np.ndarray]:
    """An unevenly sampled signal on hrd's 30 Hz grid: (time of the first sample, samples)."""
    step_s = float(np.median(np.diff(times_s)))
    if step_s <= 0.0:
        raise ValueError("the times of a signal must rise")
    if 1.0 / step_s > 1.3 * MODEL_FS_HZ:
        own_s = np.arange(times_s[0], times_s[-1], step_s)
        even = np.interp(own_s, times_s, values)
        sos = butter(4, _LOW_PASS_HZ * 2.0 * step_s, output="sos")
        times_s, values = own_s, sosfiltfilt(sos, even) if len(even) > 30 else even
    count = int(np.floor((times_s[-1] - times_s[0]) * MODEL_FS_HZ + 1e-6)) + 1
    grid_s = times_s[0] + np.arange(count) / MODEL_FS_HZ
    return float(times_s[0]), np.interp(grid_s, times_s, values)


def mean_spectrum(parts: List[np.ndarray]) -> Optional[Spectrum]:
    """Spectrum of stretches of signal at 30 Hz, averaged over pieces of at most a minute.

    None if no piece is 2 s long or all are silent.
    """
    mean = MeanSpectrum()
    limit = int(SEGMENT_S * MODEL_FS_HZ)
    for part in parts:
        pieces = max(1, int(np.ceil(len(part) / limit)))
        for piece in np.array_split(part, pieces):
            if len(piece) >= SHORTEST_S * MODEL_FS_HZ:
                mean.add(periodogram(piece, MODEL_FS_HZ))
    return mean.mean()


def checked_signal(
    path: Path, values: np.ndarray, times_s: np.ndarray, what: str
) -> Tuple[np.ndarray, np.ndarray]:
    """A reference signal and its times, from zero, repeated times left out.

    Raises ``DataError`` naming ``path`` if they cannot be a signal.
    """
    values, times_s = np.asarray(values, float).ravel(), np.asarray(times_s, float).ravel()
    if len(values) != len(times_s):
        raise DataError(
            f"{path} has {len(values)} values of {what} but {len(times_s)} times; copy it again"
        )
    if len(values) < 2:
        raise DataError(f"{path} holds no {what}; copy it again")
    if not (np.isfinite(values).all() and np.isfinite(times_s).all()):
        raise DataError(f"{path} has numbers in its {what} that are not finite; copy it again")
    rising = np.concatenate([[True], np.diff(times_s) > 0.0])
    if rising.mean() < 0.5:
        raise DataError(f"{path} has times of its {what} that do not rise; copy it again")
    forward = np.maximum.accumulate(times_s)
    rising = np.concatenate([[True], np.diff(forward) > 0.0])
    return values[rising], times_s[rising]
