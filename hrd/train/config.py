"""What makes a training run what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

from hrd.train.data import Augmentation
from hrd.train.distill import DistillWeights
from hrd.train.losses import LossWeights


@dataclass(frozen=True)
class TrainConfig:
    """Everything that makes a run what it is; stored in every checkpoint.

    A run ends after ``steps`` or ``minutes``, whichever comes first, and the learning rate falls
    along a cosine towards that end. ``seed`` sets the first weights, ``data_seed`` the order and
    variation of the clips, so that runs can differ in one and share the other. ``start_from``: the
    weights to begin with, of another run's checkpoint (its average), of an exported ONNX file, or
    of the shipped ``student`` or ``teacher``. ``teacher``: likewise. ``skip_frames``: the
    first output samples that are left out of the loss, where the network has not seen enough.
    """

    network: str = "student"
    data: str = "data/train"
    validation: str = ""
    out: str = "runs/student"
    steps: int = 8000
    minutes: float = 0.0
    batch_clips: int = 8
    lengths_frames: Tuple[int, ...] = (256, 224, 192)
    skip_frames: int = 45
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    clip_norm: float = 2.0
    average: float = 0.998
    seed: int = 0
    data_seed: int = 0
    device: str = "cpu"
    bf16: bool = True
    workers: int = 1
    threads: int = 2
    log_every: int = 50
    validate_every: int = 1000
    save_every: int = 250
    teacher: str = ""
    start_from: str = ""
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossWeights = field(default_factory=LossWeights)
    distill: DistillWeights = field(default_factory=DistillWeights)

    @staticmethod
    def from_dict(values: Dict[str, Any]) -> TrainConfig:
        """The config that ``dataclasses.asdict`` made ``values`` of."""
        values = dict(values)
        values["lengths_frames"] = tuple(values["lengths_frames"])
        values["augmentation"] = Augmentation(**values["augmentation"])
        values["loss"] = LossWeights(**values["loss"])
        values["distill"] = DistillWeights(**values["distill"])
        return TrainConfig(**values)


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
    return config.learning_rate * warm * (0.01 + 0.99 * cosine)
