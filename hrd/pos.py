"""POS, "plane orthogonal to skin" (Wang, den Brinker, Stuijk & de Haan, IEEE TBME 2017).

The streaming method itself; ``hrd.engine.pos`` makes an engine of it, and the reference signals
follow it beside a network.
"""

from __future__ import annotations

import numpy as np

from hrd.skin import bridge_cuts
from hrd.types import MODEL_FS_HZ

WINDOW_S = 1.6
"""Length of the sliding window, as in the paper: at least one heart beat at 40 bpm."""


class StreamingPos:
    """Overlap-add over sliding windows: a sample is final once every window over it is added.

    The output lags the input by ``delay_frames``, and rises as blood comes, as a contact sensor's
    wave does (the paper's falls).
    """

    def __init__(self, fs_hz: float = MODEL_FS_HZ) -> None:
        self._window = int(round(WINDOW_S * fs_hz))
        self.delay_frames = self._window - 1
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next colours are of another stream."""
        self._trace = np.zeros((0, 3))  # the last window - 1 colours
        self._gain = np.ones(3)
        self._sum = np.zeros(self._window - 1)  # overlap-added samples that are not final yet

    def process(self, rgb: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """(T, 3) mean colours and (T,) bool cuts -> (T,) float32 pulse, ``delay_frames`` late."""
        frames, window = len(rgb), self._window
        cut = cut.copy()
        if len(self._trace) == 0:
            cut[0] = False
            # as if the first colour had always been there: it adds nothing to the signal
            self._trace = np.repeat(rgb[:1], window - 1, axis=0)
        rgb = bridge_cuts(rgb, cut, self._trace[-1], self._gain)
        trace = np.concatenate([self._trace, rgb])
        total = np.concatenate([self._sum, np.zeros(frames)])
        windows = np.lib.stride_tricks.sliding_window_view(trace, window, axis=0)
        for t, pulse in enumerate(pos_windows(windows.transpose(0, 2, 1))):
            total[t : t + window] -= pulse
        self._trace = trace[frames:]
        self._sum = total[frames:]
        return total[:frames].astype(np.float32)


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
