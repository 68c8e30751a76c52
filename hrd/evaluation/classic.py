"""CHROM and GREEN: yardsticks for the evaluation, behind the engines' own interface."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, firwin, lfilter, sosfiltfilt

from hrd.engine.base import Engine, EngineInfo
from hrd.pos import WINDOW_S
from hrd.skin import bridge_cuts, mean_rgb
from hrd.types import MODEL_FS_HZ, PulseChunk, RoiChunk

LOW_HZ, HIGH_HZ = 0.7, 4.0
"""Band that both keep: 42 to 240 bpm."""

_FIR_TAPS = 121


class _Trace:
    """Mean colour of the face, continuous across moved crops."""

    def __init__(self) -> None:
        self._gain = np.ones(3)
        self._last = np.zeros(0)

    def of(self, chunk: RoiChunk) -> np.ndarray:
        """(T, 3) colours of a chunk."""
        rgb = mean_rgb(chunk.crops)
        cut = chunk.cut.copy()
        if len(self._last) == 0:
            cut[0] = False
            self._last = rgb[0]
        rgb = bridge_cuts(rgb, cut, self._last, self._gain)
        self._last = rgb[-1]
        return rgb


class GreenEngine(Engine):
    """The green channel's mean, band-passed (Verkruysse, Svaasand & Nelson 2008).

    A linear-phase FIR filter takes the place of the paper's whole-recording filter, so that it
    streams; its lag is ``delay_frames``.
    """

    def __init__(self) -> None:
        self._taps = firwin(_FIR_TAPS, [LOW_HZ, HIGH_HZ], pass_zero=False, fs=MODEL_FS_HZ)
        self.delay_frames = (_FIR_TAPS - 1) // 2
        self.info = EngineInfo(name="green", model=None, provider="numpy")
        self.reset()

    def reset(self) -> None:
        self._trace = _Trace()
        self._level = 0.0
        self._memory = np.zeros(_FIR_TAPS - 1)

    def process(self, chunk: RoiChunk) -> PulseChunk:
        green = self._trace.of(chunk)[:, 1]
        if self._level == 0.0:
            self._level = max(float(green[0]), 1e-6)
        # relative to the first colour: the filter then starts from silence
        bvp, self._memory = lfilter(self._taps, 1.0, 1.0 - green / self._level, zi=self._memory)
        return PulseChunk(
            start_s=chunk.start_s - self.delay_frames / chunk.fs_hz,
            fs_hz=chunk.fs_hz,
            bvp=bvp.astype(np.float32),
        )


class ChromEngine(Engine):
    """CHROM (de Haan & Jeanne, IEEE TBME 2013): overlap-added windows of 1.6 s.

    Windows start at every half window from the stream's first frame, whatever the chunks are. The
    band-pass is applied inside each window, as public toolboxes do: in 1.6 s it weakens the
    slowest pulses (under about 50 bpm) against their second harmonic.
    """

    def __init__(self) -> None:
        self._hop = int(round(WINDOW_S * MODEL_FS_HZ)) // 2
        self._window = 2 * self._hop
        self.delay_frames = self._window - 1
        self._taper = np.sin(np.pi * (np.arange(self._window) + 0.5) / self._window) ** 2
        self._sos = butter(3, [LOW_HZ, HIGH_HZ], "bandpass", fs=MODEL_FS_HZ, output="sos")
        self.info = EngineInfo(name="chrom", model=None, provider="numpy")
        self.reset()

    def reset(self) -> None:
        self._trace = _Trace()
        self._colours = np.zeros((0, 3))  # colours that a window to come still needs
        # final samples not yet handed out; the first window reaches half a window back
        self._ready = np.zeros(self.delay_frames - self._hop)
        self._half = np.zeros(self._hop)  # second half of the newest window, not final yet

    def process(self, chunk: RoiChunk) -> PulseChunk:
        rgb = self._trace.of(chunk)
        if len(self._colours) == 0:
            # as if the first colour had been there for half a window: it has no pulse
            self._colours = np.repeat(rgb[:1], self._hop, axis=0)
        self._colours = np.concatenate([self._colours, rgb])
        while len(self._colours) >= self._window:
            pulse = self._taper * self.window(self._colours[: self._window])
            self._ready = np.concatenate([self._ready, self._half + pulse[: self._hop]])
            self._half = pulse[self._hop :]
            self._colours = self._colours[self._hop :]
        frames = len(rgb)
        bvp, self._ready = self._ready[:frames], self._ready[frames:]
        return PulseChunk(
            start_s=chunk.start_s - self.delay_frames / chunk.fs_hz,
            fs_hz=chunk.fs_hz,
            bvp=bvp.astype(np.float32),
        )

    def window(self, rgb: np.ndarray) -> np.ndarray:
        """One window: (N, 3) mean colours -> (N,) pulse, not tapered (the paper's eq. 14-15)."""
        r, g, b = (rgb / np.maximum(rgb.mean(axis=0), 1e-6)).T
        x = sosfiltfilt(self._sos, 3.0 * r - 2.0 * g, padlen=min(len(r) - 1, 24))
        y = sosfiltfilt(self._sos, 1.5 * r + g - 1.5 * b, padlen=min(len(r) - 1, 24))
        spread = float(y.std())
        return x - (float(x.std()) / spread if spread > 1e-12 else 0.0) * y
