"""What training minimises: the shape of the signal, its spectrum, and silence without a pulse.

All functions take float32 signals (B, N) at ``fs_hz`` and return one loss per clip, (B,).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor

BAND_BPM = (36.0, 215.0)
_STEP_BPM = 1.0
_TINY = 1e-8


def neg_pearson(signal: Tensor, target: Tensor) -> Tensor:
    """1 - Pearson's r over time (Yu et al. 2019, PhysNet): 0 for the same shape, 2 for its
    opposite; scale and offset do not matter."""
    signal = signal - signal.mean(1, keepdim=True)
    target = target - target.mean(1, keepdim=True)
    norms = signal.norm(dim=1) * target.norm(dim=1)
    return 1.0 - (signal * target).sum(1) / (norms + 1e-6)


@functools.lru_cache(maxsize=64)
def _fourier(samples: int, fs_hz: float, device: str) -> Tuple[Tensor, Tensor]:
    """Frequencies (K,) in bpm and the matrix (N, 2K) of cosines and sines at them."""
    bpm = torch.arange(BAND_BPM[0], BAND_BPM[1] + _STEP_BPM / 2, _STEP_BPM)
    phase = 2 * math.pi / 60.0 / fs_hz * torch.arange(samples)[:, None] * bpm[None]
    return bpm.to(device), torch.cat([phase.cos(), phase.sin()], 1).to(device)


def spectrum(signal: Tensor, fs_hz: float) -> Tuple[Tensor, Tensor]:
    """Frequencies (K,) in bpm, and power (B, K) there as a share of the band's, summing to 1.

    No taper: at short windows a boxcar reads rates best.
    """
    bpm, waves = _fourier(signal.shape[1], fs_hz, str(signal.device))
    signal = signal - signal.mean(1, keepdim=True)
    real, imaginary = (signal @ waves).chunk(2, 1)
    power = real**2 + imaginary**2
    return bpm, (power + _TINY) / (power + _TINY).sum(1, keepdim=True)


def rate_cross_entropy(signal: Tensor, rate_bpm: Tensor, fs_hz: float) -> Tensor:
    """Minus the log of the share of the band's power that lies round the true rate.

    Cross-entropy between the spectrum as a distribution over rates and the true rate, where the
    half-width that counts as true is the main lobe's of the window (60 fs / N bpm, 6 at least).
    ``rate_bpm``: (B,).
    """
    bpm, share = spectrum(signal, fs_hz)
    half_bpm = max(6.0, 60.0 * fs_hz / signal.shape[1])
    near = (bpm[None] - rate_bpm[:, None]).abs() <= half_bpm
    return -torch.log((share * near).sum(1) + 1e-4)


def peakedness(signal: Tensor, fs_hz: float) -> Tensor:
    """How far the spectrum is from flat: Kullback-Leibler divergence from the uniform one."""
    _, share = spectrum(signal, fs_hz)
    return (share * torch.log(share * share.shape[1])).sum(1)


def spectral_divergence(signal: Tensor, target: Tensor, fs_hz: float) -> Tensor:
    """KL(target's spectrum || signal's spectrum) over the band."""
    _, share = spectrum(signal, fs_hz)
    _, wanted = spectrum(target, fs_hz)
    return (wanted * (torch.log(wanted) - torch.log(share))).sum(1)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss against the reference (negPearson has 1)."""

    rate: float = 0.15
    error: float = 0.3
    flatness: float = 0.05


@dataclass(frozen=True)
class LossParts:
    """``total`` is what to minimise; the others are means over the clips that they apply to."""

    total: Tensor
    pearson: Tensor
    rate: Tensor
    error: Tensor
    silence: Tensor


def pulse_loss(
    signal: Tensor,
    target: Tensor,
    rate_bpm: Tensor,
    has_pulse: Tensor,
    fs_hz: float,
    weights: LossWeights,
) -> LossParts:
    """The loss against the reference of a batch that may hold clips without any pulse.

    ``target``: unit deviation where there is a pulse, zeros where there is none. Clips with a
    pulse: negPearson and rate cross-entropy. All clips: mean squared error, which makes the
    signal as large as it is sure: near the target's size where the pulse is plain, near nothing
    where there is none. Clips without a pulse: no peak in the band either.
    """
    pulse = has_pulse.to(signal.dtype)
    none = 1.0 - pulse
    pulses = pulse.sum().clamp(min=1.0)
    nones = none.sum().clamp(min=1.0)
    pearson = (neg_pearson(signal, target) * pulse).sum() / pulses
    rate = (rate_cross_entropy(signal, rate_bpm, fs_hz) * pulse).sum() / pulses
    squared = (signal - target).square().mean(1)
    flat = (peakedness(signal, fs_hz) * none).sum() / nones
    size = (signal.detach().std(1) * none).sum() / nones
    total = (
        pulse.mean() * (pearson + weights.rate * rate)
        + weights.error * squared.mean()
        + none.mean() * weights.flatness * flat
    )
    return LossParts(total, pearson.detach(), rate.detach(), squared.mean().detach(), size)
