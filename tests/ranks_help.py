"""A few steps of training by one process or by several (``torchrun``); the first one writes the
gradients of every step. ``python -m tests.ranks_help OUT``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Dict, List

import torch

from hrd.train.config import TrainConfig
from hrd.train.data import BatchStream
from hrd.train.models import PulseNet
from hrd.train.rank import find_rank
from hrd.train.run import Run
from tests.train_help import TINY, TINY_TEACHER, make_store

STEPS = 4
BATCH_CLIPS = 8
"""Of all processes together."""

CONFIG = TrainConfig(
    network="tiny", lengths_frames=(64, 96), skip_frames=20, warmup_steps=2, bf16=False, threads=1
)
STORE = make_store(12, frames=130)


def gradients(out: str) -> List[Dict[str, Any]]:
    """Of all that is trained, at every step, by parameter's name; batch norms at rest, for they are
    over one process's clips."""
    rank = find_rank("cpu")
    torch.set_num_threads(1)
    config = replace(CONFIG, out=out, batch_clips=BATCH_CLIPS // rank.ranks)
    torch.manual_seed(5)
    teacher = PulseNet(TINY_TEACHER).eval()
    run = Run(config, rank, TINY, teacher.spec)
    run.trainee.eval()
    stream = BatchStream(
        STORE,
        config.batch_clips,
        config.lengths_frames,
        config.augmentation,
        config.data_seed,
        rank.index,
        rank.ranks,
    )
    found = []
    for step in range(STEPS):
        batch = stream[step]
        with torch.no_grad():
            signal, _, taps = teacher(batch.frames, want_taps=True)
        run.advance(batch, run.knowledge(signal, taps), step / STEPS)
        found.append({name: p.grad.clone() for name, p in run.trainee.named_parameters()})
    return found


if __name__ == "__main__":
    steps = gradients(sys.argv[1])
    if find_rank("cpu").first:
        torch.save(steps, sys.argv[1])
