"""The runs that made the models in models/: one config each, changed by flags of ``hrd train``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hrd.train.config import TrainConfig

STUDENT_RUN = TrainConfig(network="student", out="runs/student", steps=8000, learning_rate=3e-3)

TEACHER_RUN = TrainConfig(
    network="teacher",
    out="runs/teacher",
    steps=8000,
    learning_rate=1.5e-3,
    save_every=100,
    validate_every=500,
)


def override(config: TrainConfig, **values: Any) -> TrainConfig:
    """``config`` with those of ``values`` that are not None."""
    return replace(config, **{name: value for name, value in values.items() if value is not None})
