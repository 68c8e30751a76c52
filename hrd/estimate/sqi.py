"""Signal-quality indices: how the pulse goes together with the reference signals at a rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from hrd.estimate.baseband import baseband
from hrd.estimate.spectrum import (
    SHORTEST_S,
    Spectrum,
    detrend,
    grid_hz,
    peak_hz,
    variance_shares,
)
from hrd.types import ReferenceSignals

COMPARED_S = 8.0
"""Length of signal over which the pulse and the reference signals are compared."""

_POINTS = 2048  # of a transform: at 30 Hz 0.88 bpm a step, and a parabola refines the peak
# columns of what is kept of the reference signals
_POS, _MOTION, _RGB, _GREEN, _REGIONS = 0, slice(1, 3), slice(3, 6), 4, slice(6, None)


@dataclass(frozen=True)
class QualityIndices:
    """All are of one rate, over the newest COMPARED_S.

    Coherences (-1..1, 1: the two go together as they do for blood): ``pos_coherence`` and
    ``green_coherence`` of POS and of the face's green with the pulse, in phase (green falls as
    blood comes); ``motion_coherence`` of the head's movement, whatever its phase (0..1). POS and
    green share no weights with the network, so they err otherwise. ``pos_gap_bpm``,
    ``green_gap_bpm``: how far off their own spectral peaks are.

    What the light does, as relative changes over green's, the part in phase: ``red_ratio``,
    ``blue_ratio``: about 0.4 and 0.7 for blood (the dichromatic model's pulse vector), about 1 for
    any lamp; ``opposition`` (-1..1) how far red and blue go against each other, as a white balance
    makes them and no pulse does; ``hair_ratio``, of the hair: little for blood, about 1 for a lamp.

    ``motion_px``: how much the head moves, crop pixels a frame.
    """

    pos_coherence: float = 0.0
    green_coherence: float = 0.0
    motion_coherence: float = 0.0
    pos_gap_bpm: float = 100.0
    green_gap_bpm: float = 100.0
    red_ratio: float = 1.0
    blue_ratio: float = 1.0
    opposition: float = 0.0
    hair_ratio: float = 0.0
    motion_px: float = 0.0


class ReferenceWindow:
    """``push`` reference signals; ``indices`` of a rate in the newest of them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._samples: Optional[np.ndarray] = None
        self._end_s = 0.0
        self._pos_delay = 0

    def push(self, signals: ReferenceSignals, keep: int) -> None:
        """Append a stretch; remember the newest ``keep`` samples, and what the delays ask for."""
        news = np.column_stack(
            [
                signals.pos,
                signals.motion_px,
                signals.face_rgb,
                signals.regions,
            ]
        )
        whole = news if self._samples is None else np.concatenate([self._samples, news])
        self._pos_delay = signals.pos_delay_frames
        self._end_s = signals.start_s + len(news) / signals.fs_hz
        self._samples = whole[-(keep + 2 * self._pos_delay) :]

    def indices(self, bvp: np.ndarray, end_s: float, fs_hz: float, bpm: float) -> QualityIndices:
        """The indices of a rate; those of no signal while there are less than two seconds.

        ``bvp``: (N,) the pulse, whose last sample's time ends at ``end_s``.
        """
        aligned = self._aligned(bvp, end_s, fs_hz)
        if aligned is None:
            return QualityIndices()
        pulse, samples = aligned
        level = np.maximum(samples.mean(axis=0), 1e-6)
        signals = detrend(np.column_stack([pulse, samples]))
        bands = baseband(signals, fs_hz, bpm, COMPARED_S).value
        one, rest = bands[:, 0], bands[:, 1:]
        power = np.maximum((np.abs(bands) ** 2).sum(axis=0), 1e-20)
        with_pulse = (one.conj() @ rest) / np.sqrt(power[0] * power[1:])
        relative = rest / level
        red, green, blue = relative[:, _RGB].T
        own = max(float((np.abs(green) ** 2).sum()), 1e-20)
        ratios = np.clip((green.conj() @ relative).real / own, -1.0, 3.0)
        cross = float((red @ blue.conj()).real)
        sizes = math.sqrt(float((np.abs(red) ** 2).sum() * (np.abs(blue) ** 2).sum()))
        (hair,) = ratios[_REGIONS]  # in hrd.reference's order of REGIONS
        pos_bpm, green_bpm = _peaks_bpm(signals[:, [1 + _POS, 1 + _GREEN]], fs_hz)
        moved = signals[:, 1:][-int(COMPARED_S * fs_hz) :, _MOTION]
        return QualityIndices(
            pos_coherence=float(with_pulse[_POS].real),
            green_coherence=-float(with_pulse[_RGB][1].real),
            motion_coherence=float(np.abs(with_pulse[_MOTION]).max()),
            pos_gap_bpm=abs(pos_bpm - bpm),
            green_gap_bpm=abs(green_bpm - bpm),
            red_ratio=float(ratios[_RGB][0]),
            blue_ratio=float(ratios[_RGB][2]),
            opposition=-cross / max(sizes, 1e-20),
            hair_ratio=float(hair),
            motion_px=math.sqrt(float((moved**2).sum()) / len(moved)),
        )

    def _aligned(
        self, bvp: np.ndarray, end_s: float, fs_hz: float
    ) -> Optional[Tuple[np.ndarray, np.ndarray]]:
        """Pulse (N,) and reference samples (N, C) of the same times, as far as POS has come."""
        samples = self._samples
        if samples is None:
            return None
        ahead = int(round((self._end_s - end_s) * fs_hz))  # the references' lead on the pulse
        behind = max(0, self._pos_delay - ahead)  # the pulse's lead on POS
        count = min(len(bvp) - behind, len(samples) - max(ahead, self._pos_delay))
        if count < SHORTEST_S * fs_hz:
            return None
        last = len(samples) - ahead - behind  # of colours and movement
        late = last + self._pos_delay
        pulse = bvp[len(bvp) - behind - count : len(bvp) - behind]
        same_times = samples[last - count : last].copy()
        same_times[:, _POS] = samples[late - count : late, _POS]
        return pulse, same_times


def _peaks_bpm(signals: np.ndarray, fs_hz: float) -> List[float]:
    """Of each column of detrended signals (N, C), the rate of its highest spectral peak."""
    count = len(signals)
    shares = variance_shares(np.ascontiguousarray(signals.T), fs_hz, _POINTS)
    grid = grid_hz(_POINTS, fs_hz)
    return [60.0 * peak_hz(Spectrum(grid, one, count / fs_hz)) for one in shares]
