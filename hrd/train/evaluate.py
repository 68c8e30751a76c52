"""How well a network reads heart rates from clips, for watching a training run.

The figures that count are those of ``hrd eval``, which runs the whole pipeline; these are quick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Dict, List, Tuple

import numpy as np
import torch

from hrd.train.data import NO_AUGMENTATION, Batch, ClipStore, augment, collate
from hrd.train.models import PulseNet
from hrd.types import MODEL_FS_HZ

LOW_BPM, HIGH_BPM = 40.0, 200.0
_FFT = 8192


@dataclass(frozen=True)
class Scores:
    """``mae_bpm`` and ``within_5``: spectrum peaks of windows of ``window_s`` against the mean
    rate in it; ``pearson``: of the signal with the reference, whole clip; ``snr_db``: power round
    the true rate and its double over the rest of the band. Clips with a pulse only.
    ``silence``: deviation of the signal on clips without a pulse over that on clips with one."""

    clips: int
    windows: int
    window_s: float
    mae_bpm: float
    median_error_bpm: float
    within_5: float
    pearson: float
    snr_db: float
    silence: float

    def as_dict(self) -> Dict[str, float]:
        return {k: round(float(v), 4) for k, v in asdict(self).items()}


def peak_bpm(signal: np.ndarray, fs_hz: float = MODEL_FS_HZ) -> float:
    """Rate at the highest point of the spectrum (no taper, zero-padded, parabola through the
    peak) between 40 and 200 bpm. ``signal``: (N,)."""
    power = np.abs(np.fft.rfft(signal - signal.mean(), _FFT)) ** 2
    bpm = np.fft.rfftfreq(_FFT, 1.0 / fs_hz) * 60.0
    inside = np.flatnonzero((bpm >= LOW_BPM) & (bpm <= HIGH_BPM))
    top = int(inside[np.argmax(power[inside])])
    left, middle, right = (float(np.log(power[i] + 1e-20)) for i in (top - 1, top, top + 1))
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(bpm[top] + np.clip(shift, -0.5, 0.5) * (bpm[1] - bpm[0]))


def snr_db(signal: np.ndarray, rate_bpm: float, fs_hz: float = MODEL_FS_HZ) -> float:
    """Power within 6 bpm of the rate and of its double over the rest of 40-240 bpm (de Haan &
    Jeanne 2013), the half-width widened to the window's resolution if that is coarser."""
    power = np.abs(np.fft.rfft(signal - signal.mean(), _FFT)) ** 2
    bpm = np.fft.rfftfreq(_FFT, 1.0 / fs_hz) * 60.0
    half = max(6.0, 60.0 * fs_hz / len(signal))
    near = (np.abs(bpm - rate_bpm) <= half) | (np.abs(bpm - 2 * rate_bpm) <= half)
    band = (bpm >= LOW_BPM) & (bpm <= 240.0)
    wanted, rest = power[near & band].sum(), power[~near & band].sum()
    return float(10.0 * np.log10((wanted + 1e-12) / (rest + 1e-12)))


@torch.no_grad()
def infer(model: PulseNet, batch: Batch, bf16: bool = False) -> np.ndarray:
    """The network's signal (B, T - delay), shifted back so that sample t belongs to frame t."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        signal, _, _ = model(batch.frames.to(device))
    return signal.float().cpu().numpy()[:, model.spec.delay_frames :]


def score(
    model: PulseNet,
    store: ClipStore,
    warmup_frames: int = 30,
    window_s: float = 10.0,
    batch_clips: int = 8,
    limit: int = 1000,
) -> Scores:
    """Run ``model`` over the clips of ``store`` and score it. The first ``warmup_frames`` samples
    are left out; a clip shorter than a window is one window."""
    model.eval()
    rng = np.random.default_rng(0)
    signals: List[Tuple[np.ndarray, np.ndarray, np.ndarray, bool]] = []
    indices = range(min(len(store), limit))
    for first in range(0, len(indices), batch_clips):
        clips = [store.clip(i) for i in indices[first : first + batch_clips]]
        clips = [augment(clip, len(clip.crops), NO_AUGMENTATION, rng) for clip in clips]
        for signal, clip in zip(infer(model, collate(clips)), clips):
            end = len(signal)
            signals.append(
                (
                    signal[warmup_frames:],
                    clip.bvp[warmup_frames:end],
                    clip.bpm[warmup_frames:end],
                    clip.has_pulse,
                )
            )
    errors: List[float] = []
    pearsons: List[float] = []
    snrs: List[float] = []
    loud: List[float] = []
    quiet: List[float] = []
    for signal, bvp, bpm, has_pulse in signals:
        (loud if has_pulse else quiet).append(float(signal.std()))
        if not has_pulse:
            continue
        pearsons.append(float(np.corrcoef(signal, bvp)[0, 1]))
        width = min(int(round(window_s * MODEL_FS_HZ)), len(signal))
        for start in range(0, len(signal) - width + 1, max(width // 2, 1)):
            part, rate = signal[start : start + width], float(bpm[start : start + width].mean())
            errors.append(abs(peak_bpm(part) - rate))
            snrs.append(snr_db(part, rate))
    e = np.array(errors) if errors else np.array([np.nan])
    return Scores(
        clips=len(signals),
        windows=len(errors),
        window_s=window_s,
        mae_bpm=float(e.mean()),
        median_error_bpm=float(np.median(e)),
        within_5=float((e <= 5.0).mean()),
        pearson=float(np.mean(pearsons)) if pearsons else float("nan"),
        snr_db=float(np.mean(snrs)) if snrs else float("nan"),
        silence=float(np.median(quiet) / np.median(loud)) if quiet and loud else float("nan"),
    )
