"""Knowledge distillation: the student also learns from the teacher's feature maps and signal.

As in the paper, the features of two depths are compared. What is compared, ours (the paper gives
no formula): where the network looks (spatial attention maps, Zagoruyko & Komodakis 2017) and what
it sees there (the mean of every channel over time, standardised), the student's channels mapped to
the teacher's by a linear projection that is thrown away afterwards. The output is drawn to the
teacher's, in shape and spectrum, as far as the teacher is right about the clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hrd.train.losses import neg_pearson, rate_cross_entropy, spectral_divergence
from hrd.train.models import NetSpec, geometries
from hrd.train.rank import shared

_MAP_SIDE = 6
_MAP_STRIDE_FRAMES = 15


@dataclass(frozen=True)
class DistillWeights:
    """Weights of the teacher's parts of the loss (negPearson to the reference has 1)."""

    signal: float = 0.5
    spectrum: float = 0.2
    features_first: float = 1.0
    features_last: float = 0.1

    def features(self, progress: float) -> float:
        """Weight of the feature loss, falling along a cosine as ``progress`` goes 0 -> 1."""
        fall = 0.5 + 0.5 * math.cos(math.pi * min(max(progress, 0.0), 1.0))
        return self.features_last + (self.features_first - self.features_last) * fall


@dataclass(frozen=True)
class Knowledge:
    """What the teacher has to say about a batch: its signal (B, T) and, for each tapped depth,
    channel traces (B, T, C) standardised over time and attention maps (B, M, 6, 6) of unit norm."""

    signal: Tensor
    traces: List[Tensor]
    maps: List[Tensor]


def aligned(features: Tensor, lag_frames: int, skip_frames: int, steps: int) -> Tensor:
    """The ``steps`` feature frames that belong to input frames ``skip_frames`` onwards."""
    first = skip_frames + lag_frames
    return features[:, first : first + steps]


def standardised_traces(features: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, T, C): mean over places, zero mean and unit deviation over time."""
    traces = features.float().mean((3, 4))
    traces = traces - traces.mean(1, keepdim=True)
    return traces / (traces.std(1, keepdim=True) + 1e-4)


def attention_maps(features: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, M, 6, 6): energy over channels, averaged over half-second spans,
    resampled to 6x6, of unit norm."""
    batch, steps, _, height, width = features.shape
    spans = steps // _MAP_STRIDE_FRAMES
    energy = features.float().pow(2).sum(2)[:, : spans * _MAP_STRIDE_FRAMES]
    energy = energy.reshape(batch, spans, _MAP_STRIDE_FRAMES, height, width).mean(2)
    maps = functional.adaptive_avg_pool2d(energy, _MAP_SIDE)
    return maps / (maps.flatten(2).norm(dim=2)[..., None, None] + 1e-6)


class FeatureLoss(nn.Module):
    """Compares the tapped features of a student with a teacher's; owns the projections."""

    def __init__(self, student: NetSpec, teacher: NetSpec) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.projections = nn.ModuleList(
            nn.Linear(geometries(student)[s].out_channels, geometries(teacher)[t].out_channels)
            for s, t in zip(student.taps, teacher.taps)
        )

    def common_steps(self, frames: int, skip_frames: int) -> int:
        """How many feature frames both networks have for the input frames from skip_frames on."""
        lag = max(
            spec.delay_after(tap) for spec in (self.student, self.teacher) for tap in spec.taps
        )
        return frames - skip_frames - lag

    def knowledge(self, signal: Tensor, taps: List[Tensor], skip_frames: int) -> Knowledge:
        """Boil the teacher's output and tapped features (B, T, C, H, W) down to ``Knowledge``."""
        steps = self.common_steps(signal.shape[1], skip_frames)
        cut = [
            aligned(features, self.teacher.delay_after(tap), skip_frames, steps)
            for features, tap in zip(taps, self.teacher.taps)
        ]
        return Knowledge(
            signal.float(),
            [standardised_traces(features) for features in cut],
            [attention_maps(features) for features in cut],
        )

    def forward(self, taps: List[Tensor], known: Knowledge, skip_frames: int) -> Tensor:
        """Mean over depths of trace error and map distance; one number."""
        steps = known.traces[0].shape[1]
        total = known.signal.new_zeros(())
        for index, (features, tap) in enumerate(zip(taps, self.student.taps)):
            cut = aligned(features, self.student.delay_after(tap), skip_frames, steps)
            traces = self.projections[index](standardised_traces(cut))
            total = total + functional.mse_loss(traces, known.traces[index])
            likeness = (attention_maps(cut) * known.maps[index]).sum((2, 3))
            total = total + (1.0 - likeness).mean()
        return total / len(taps)


def teacher_gate(signal: Tensor, rate_bpm: Tensor, has_pulse: Tensor, fs_hz: float) -> Tensor:
    """How far to trust the teacher on each clip, (B,) in 0..1: the share of its in-band power that
    lies round the true rate; 0 where there is no pulse."""
    return torch.exp(-rate_cross_entropy(signal, rate_bpm, fs_hz)) * has_pulse.to(signal.dtype)


def signal_loss(
    student: Tensor, teacher: Tensor, gate: Tensor, fs_hz: float, weights: DistillWeights
) -> Tuple[Tensor, Tensor]:
    """Gated negPearson and spectral divergence to the teacher's signal (B, N), and the weighted
    sum of both: ``(weighted, pearson)``."""
    trust = shared(gate, 1e-3)
    pearson = (neg_pearson(student, teacher) * gate).sum() / trust
    divergence = (spectral_divergence(student, teacher, fs_hz) * gate).sum() / trust
    return weights.signal * pearson + weights.spectrum * divergence, pearson.detach()
