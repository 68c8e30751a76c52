"""Signal-quality indices: what is in the newest seconds of the reference signals at a rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np

from hrd.estimate.spectrum import SHORTEST_S, Spectrum, explained, grid_hz, peak_hz, variance_shares
from hrd.types import ReferenceSignals

_POINTS = 2048  # at 30 Hz 0.88 bpm a step: enough for a share, and a parabola refines the peak
_SLACK_BPM = np.array([-2.0, 0.0, 2.0])
# columns of what is kept; a spectrum is taken of the first four
_POS, _MOTION, _SURROUND, _RGB, _GREEN, _REGIONS = 0, slice(1, 3), 3, slice(4, 7), 5, slice(7, None)
_SPECTRA = 4


@dataclass(frozen=True)
class QualityIndices:
    """``pos_share``: share of the POS signal's variance that a pulse of the rate explains;
    ``pos_gap_bpm``: how far off POS's own peak is (POS shares no weights with the network, so it
    errs otherwise). ``motion_share`` of the head's movement that the rate explains, ``motion_px``
    how much it moves, crop pixels a frame (a rate that the head moves at does not speak for a
    pulse). ``surround_share`` of the light beside the face.

    The face's mean colour at the rate: ``green_share`` of the green channel's variance that lies
    there; ``red_ratio``, red's relative change over green's, the part in phase: about 0.4 for
    blood (the dichromatic model's pulse vector), about 1 for any lamp; ``chroma``, how far red and
    green differ, 0 for a lamp, up to 1 for noise.

    Where in the picture it is: ``hair``, ``beside``: relative change of green there over that of
    the whole face, the part in phase: about 0 for blood, about 1 for a lamp.
    """

    pos_share: float = 0.0
    pos_gap_bpm: float = 100.0
    motion_share: float = 0.0
    motion_px: float = 0.0
    surround_share: float = 0.0
    green_share: float = 0.0
    red_ratio: float = 1.0
    chroma: float = 1.0
    hair: float = 0.0
    beside: float = 0.0


class ReferenceWindow:
    """``push`` reference signals; ``indices`` of a rate in the newest of them."""

    def __init__(self) -> None:
        self._samples: Optional[np.ndarray] = None

    def reset(self) -> None:
        """Forget everything."""
        self._samples = None

    def push(self, signals: ReferenceSignals, keep: int) -> None:
        """Append a stretch; remember the newest ``keep`` samples."""
        news = np.column_stack(
            [
                signals.pos,
                signals.motion_px,
                signals.surround,
                signals.face_rgb,
                signals.regions,
            ]
        )
        self._samples = news if self._samples is None else np.concatenate([self._samples, news])
        self.keep(keep)

    def keep(self, count: int) -> None:
        """Forget all but the newest ``count`` samples."""
        if self._samples is not None:
            self._samples = self._samples[-count:]

    def indices(self, bpm: float, fs_hz: float) -> QualityIndices:
        """The indices of a rate; those of no signal while there are less than two seconds."""
        samples = self._samples
        if samples is None or len(samples) < SHORTEST_S * fs_hz:
            return QualityIndices()
        sums = _Sums(samples, bpm, fs_hz)
        signals = sums.detrended(_GREEN + 1)
        shares = variance_shares(signals[:_SPECTRA], fs_hz, _POINTS)
        at_rate = _pulse_shares(shares, bpm + _SLACK_BPM, fs_hz)
        pos = Spectrum(grid_hz(_POINTS, fs_hz), shares[_POS], len(samples) / fs_hz)
        wave = sums.phasor[_RGB] / sums.mean[_RGB]
        red, green = complex(wave[0]), complex(wave[1])
        power = max(abs(green) ** 2, 1e-20)
        own = len(samples) * float(signals[_GREEN] @ signals[_GREEN]) / sums.mean[_GREEN] ** 2
        places = sums.phasor[_REGIONS] / sums.mean[_REGIONS] * (green.conjugate() / power)
        hair, left, right = np.clip(places.real, -2.0, 3.0)  # in hrd.reference's order of REGIONS
        return QualityIndices(
            pos_share=float(at_rate[_POS]),
            pos_gap_bpm=abs(60.0 * peak_hz(pos) - bpm),
            motion_share=float(at_rate[_MOTION].max()),
            motion_px=math.sqrt(float((signals[_MOTION] ** 2).sum()) / len(samples)),
            surround_share=float(at_rate[_SURROUND]),
            green_share=min(1.0, 2.0 * power / max(own, 1e-20)),
            red_ratio=min(max((red * green.conjugate()).real / power, -0.5), 2.0),
            chroma=abs(green - red) / max(abs(green) + abs(red), 1e-12),
            hair=float(hair),
            beside=float(left + right) / 2.0,
        )


class _Sums:
    """Sums over (N, C) samples, all by one matrix product: each column's ``mean`` and line, and its
    ``phasor`` (C,) at a rate, with the line taken off."""

    def __init__(self, samples: np.ndarray, bpm: float, fs_hz: float) -> None:
        count = len(samples)
        self._samples = samples
        self._x = np.arange(count) - 0.5 * (count - 1)
        angle = (2.0 * np.pi * bpm / 60.0 / fs_hz) * self._x
        waves = np.stack([np.ones(count), self._x, np.cos(angle), np.sin(angle)])
        ones, line, cosine, sine = waves @ samples
        self.mean = np.maximum(ones / count, 1e-6)
        self._level, self._slope = ones / count, line / (self._x @ self._x)
        # the cosine is even and the sine odd about the middle: one has no slope, the other no mean
        self.phasor = (cosine - waves[2].sum() * self._level) - 1j * (
            sine - float(self._x @ waves[3]) * self._slope
        )

    def detrended(self, columns: int) -> np.ndarray:
        """(columns, N): the first columns less their lines, as rows."""
        level, slope = self._level[:columns, None], self._slope[:columns, None]
        # rows in memory one after the other: a transform reads along them
        return np.ascontiguousarray(self._samples[:, :columns].T) - level - slope * self._x


def _pulse_shares(shares: np.ndarray, bpm: np.ndarray, fs_hz: float) -> np.ndarray:
    """(C, K) shares of variance -> (C,) of a pulse of the best of the rates ``bpm``, as
    ``rate_score`` has it."""
    place = np.concatenate([bpm, 2.0 * bpm]) * (_POINTS / 60.0 / fs_hz)
    low = place.astype(int)
    part = place - low
    at = shares[:, low] * (1.0 - part) + shares[:, low + 1] * part
    fundamental, harmonic = at[:, : len(bpm)], at[:, len(bpm) :]
    return explained(fundamental, harmonic).max(axis=1)
