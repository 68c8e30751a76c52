"""POS, "plane orthogonal to skin" (Wang, den Brinker, Stuijk & de Haan, IEEE TBME 2017).

Needs no model: the last resort of ``auto`` and the yardstick of every evaluation.
"""

from __future__ import annotations

import numpy as np

from hrd.engine.base import Engine, EngineInfo
from hrd.face.motion import FACE_SHARE
from hrd.types import MODEL_FS_HZ, PulseChunk, RoiChunk

WINDOW_S = 1.6
"""Length of the sliding window, as in the paper: at least one heart beat at 40 bpm."""


def mean_rgb(crops: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 crops -> (T, 3) float64 mean colour of the face's ellipse."""
    return np.tensordot(crops, FACE_SHARE, axes=([1, 2], [0, 1])).astype(np.float64)


def bridge_cuts(rgb: np.ndarray, cut: np.ndarray, last: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Scale what follows each cut so that the trace is continuous across it.

    A moved crop shows another patch of skin: its level steps though the pulse does not.
    ``rgb`` (T, 3); ``last`` (3,) the continuous trace's value before; ``gain`` (3,) in force,
    updated in place. Returns (T, 3).
    """
    out = np.empty_like(rgb)
    for t in range(len(rgb)):
        if cut[t]:
            gain[:] = last / np.maximum(rgb[t], 1e-6)
        out[t] = rgb[t] * gain
        last = out[t]
    return out


class PosEngine(Engine):
    """Streaming POS with overlap-add: a sample is final once every window over it is added."""

    def __init__(self) -> None:
        self._window = int(round(WINDOW_S * MODEL_FS_HZ))
        self.delay_frames = self._window - 1
        self.info = EngineInfo(name="pos", model=None, provider="numpy")
        self.reset()

    def reset(self) -> None:
        self._trace = np.zeros((0, 3))  # the last window - 1 colours
        self._gain = np.ones(3)
        self._sum = np.zeros(self._window - 1)  # overlap-added samples that are not final yet

    def process(self, chunk: RoiChunk) -> PulseChunk:
        frames = len(chunk.crops)
        rgb = mean_rgb(chunk.crops)
        cut = chunk.cut.copy()
        window = self._window
        if len(self._trace) == 0:
            cut[0] = False
            # as if the first colour had always been there: it adds nothing to the signal
            self._trace = np.repeat(rgb[:1], window - 1, axis=0)
        rgb = bridge_cuts(rgb, cut, self._trace[-1], self._gain)
        trace = np.concatenate([self._trace, rgb])
        total = np.concatenate([self._sum, np.zeros(frames)])
        windows = np.lib.stride_tricks.sliding_window_view(trace, window, axis=0)
        for t, pulse in enumerate(pos_windows(windows.transpose(0, 2, 1))):
            total[t : t + window] += pulse
        self._trace = trace[frames:]
        self._sum = total[frames:]
        return PulseChunk(
            start_s=chunk.start_s - self.delay_frames / chunk.fs_hz,
            fs_hz=chunk.fs_hz,
            bvp=total[:frames].astype(np.float32),
        )


def pos_windows(rgb: np.ndarray) -> np.ndarray:
    """Windows of POS: (M, N, 3) mean colours -> (M, N) zero-mean pulse (Wang 2017, algorithm 1)."""
    normalised = rgb / np.maximum(rgb.mean(axis=1, keepdims=True), 1e-6)
    red, green, blue = normalised[..., 0], normalised[..., 1], normalised[..., 2]
    s1 = green - blue
    s2 = green + blue - 2.0 * red
    spread = s2.std(axis=1, keepdims=True)
    ratio = s1.std(axis=1, keepdims=True) / np.maximum(spread, 1e-12)
    pulse = s1 + np.where(spread > 1e-12, ratio, 0.0) * s2
    return pulse - pulse.mean(axis=1, keepdims=True)
