"""The reference's heart rate over any stretch of time, dropouts left out.

Everything a device gives, rates, intervals or a pulse wave, becomes one thing: how many beats there
were up to a time, and how much of the time before it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from hrd.devices.sample import Sample
from hrd.errors import HrdError
from hrd.evaluation.beats import beat_times
from hrd.evaluation.recording import regular
from hrd.types import MODEL_FS_HZ

WAVE, BEATS, RATE = "pulse wave", "intervals between beats", "heart rate"

LEAST_COVER = 0.8
"""Share of a stretch that must be known."""

_WAVE_GAP_S = 0.5
_RATE_GAP_S = 3.0
_LATE_S = 1.5  # intervals whose sum is this far from the times they came at have holes
_INTERVALS_MS = (270.0, 2000.0)
_MISSED = 1.75  # an interval so many times its neighbours' median holds a beat that was missed
_LEAST_WAVE_S = 6.0


@dataclass(frozen=True)
class Truth:
    """``beats``, ``known_s`` (K,): beats and seconds known up to ``time_s`` (K,), linear between.

    ``kind``: what it was made of. ``wave``: the known stretches of pulse wave at 30 Hz, each with
    the time of its first sample; where beats alone are known, a cosine that peaks at each; empty
    where only rates are.
    """

    kind: str
    time_s: np.ndarray
    beats: np.ndarray
    known_s: np.ndarray
    wave: Tuple[Tuple[float, np.ndarray], ...] = ()

    def bpm(self, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
        """Mean rate (N,) of the beats between two times (N,); NaN where under ``LEAST_COVER`` of
        that is known."""
        low, high = (
            [np.interp(at, self.time_s, values) for values in (self.beats, self.known_s)]
            for at in (start_s, end_s)
        )
        beats, known_s = high[0] - low[0], high[1] - low[1]
        enough = known_s >= np.maximum(LEAST_COVER * (end_s - start_s), 1e-6)
        return np.where(enough, 60.0 * beats / np.where(enough, known_s, 1.0), np.nan)


def make_truth(samples: Sequence[Sample]) -> Truth:
    """The best truth that these samples (in order of time) give: of the pulse wave, else of the
    intervals, else of the rates. Raises ``HrdError`` if they give none."""
    wave = [(one.time_s, one.wave) for one in samples if one.wave is not None]
    if len(wave) > 100:
        found = _from_wave(*(np.array(column, float) for column in zip(*wave)))
        if len(found.time_s) > 3:
            return found
    if sum(len(one.ibi_ms) for one in samples) > 3:
        return _from_intervals(samples)
    rates = [(one.time_s, one.bpm) for one in samples if one.bpm is not None]
    if len(rates) > 3:
        return _from_rates(*(np.array(column, float) for column in zip(*rates)))
    raise HrdError(
        "the reference says no heart rate; look whether the device sits well, and record again"
    )


def _from_rates(times_s: np.ndarray, bpm: np.ndarray) -> Truth:
    steps_s = np.diff(times_s)
    known = (steps_s <= _RATE_GAP_S) & (steps_s > 0.0)
    passed_s = np.where(known, steps_s, 0.0)
    beats = passed_s * 0.5 * (bpm[1:] + bpm[:-1]) / 60.0
    return Truth(RATE, times_s, _summed(beats), _summed(passed_s))


def _from_wave(times_s: np.ndarray, values: np.ndarray) -> Truth:
    parts: List[np.ndarray] = []
    waves: List[Tuple[float, np.ndarray]] = []
    holes = np.flatnonzero(np.diff(times_s) > _WAVE_GAP_S) + 1
    for part_s, part in zip(np.split(times_s, holes), np.split(values, holes)):
        if len(part) < 2 or part_s[-1] - part_s[0] < _LEAST_WAVE_S or part.std() <= 0.0:
            continue
        start_s, even = regular(part_s, part)
        waves.append((start_s, even))
        parts.append(beat_times(even, MODEL_FS_HZ, start_s))
    return _from_beats(WAVE, parts, tuple(waves))


def _from_intervals(samples: Sequence[Sample]) -> Truth:
    """Beats from intervals: their sums give the spacing, the times they came at the place."""
    sections: List[List[Tuple[float, float]]] = []  # of (came at, sum of the intervals up to it)
    clock_s = 0.0
    for sample in samples:
        if not sample.ibi_ms:
            continue
        added_s = sum(sample.ibi_ms) / 1000.0
        last = sections[-1][-1] if sections else None
        if last is None or abs(sample.time_s - last[0] - added_s) > _LATE_S:
            clock_s = 0.0
            sections.append([])
        for interval_ms in sample.ibi_ms:
            clock_s += interval_ms / 1000.0
            sections[-1].append((sample.time_s, clock_s))
    parts = []
    for section in sections:
        came_s, sums_s = np.array(section).T
        # what was sent soonest after its beat came nearest to the beat's own time
        parts.append(float(np.percentile(came_s - sums_s, 5)) + sums_s)
    waves = [wave for part in parts for wave in _waves_of_beats(part)]
    return _from_beats(BEATS, parts, tuple(waves))


def _waves_of_beats(beat_s: np.ndarray) -> List[Tuple[float, np.ndarray]]:
    """A cosine that peaks at each beat, at MODEL_FS_HZ, of each stretch without a missed one."""
    waves = []
    holes = np.flatnonzero(~_plausible(np.diff(beat_s))) + 1
    for part_s in np.split(beat_s, holes):
        if len(part_s) < 3 or part_s[-1] - part_s[0] < _LEAST_WAVE_S:
            continue
        at_s = np.arange(part_s[0], part_s[-1], 1.0 / MODEL_FS_HZ)
        beats = np.interp(at_s, part_s, np.arange(len(part_s)))
        waves.append((float(part_s[0]), np.cos(2.0 * np.pi * beats)))
    return waves


def _plausible(steps_s: np.ndarray) -> np.ndarray:
    """(K,) bool: which seconds from one beat to the next are of one heart, no beat missed."""
    if len(steps_s) == 0:
        return np.zeros(0, bool)
    fits = (1000.0 * steps_s >= _INTERVALS_MS[0]) & (1000.0 * steps_s <= _INTERVALS_MS[1])
    usual: np.ndarray = fits & (steps_s <= _MISSED * float(np.median(steps_s)))
    return usual


def _from_beats(
    kind: str, parts: Sequence[np.ndarray], waves: Tuple[Tuple[float, np.ndarray], ...]
) -> Truth:
    """``parts``: the times of beats that follow each other without a hole."""
    times: List[np.ndarray] = [np.zeros(0)]
    beats: List[np.ndarray] = [np.zeros(0)]
    known: List[np.ndarray] = [np.zeros(0)]
    for part_s in parts:
        if len(part_s) < 3:
            continue
        steps_s = np.diff(part_s)
        fits = _plausible(steps_s)
        times.append(part_s)
        beats.append(np.concatenate([[0.0], fits.astype(float)]))
        known.append(np.concatenate([[0.0], np.where(fits, steps_s, 0.0)]))
    time_s = np.concatenate(times)
    order = np.argsort(time_s, kind="stable")
    return Truth(
        kind,
        time_s[order],
        np.cumsum(np.concatenate(beats)[order]),
        np.cumsum(np.concatenate(known)[order]),
        waves,
    )


def _summed(steps: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(steps)])
