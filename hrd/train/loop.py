"""The training loop: one network from a recipe, or several side by side on the same batches."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch
from tqdm import tqdm

from hrd.train.allocator import keep_freed_memory
from hrd.train.config import TrainConfig
from hrd.train.data import BatchStream, ClipStore, loader
from hrd.train.evaluate import Scores
from hrd.train.models import NetSpec, PulseNet
from hrd.train.rank import find_rank
from hrd.train.run import Run
from hrd.train.weights import open_network

logger = logging.getLogger(__name__)

_SETTLE_BATCHES = 12  # of clips, for the batch norms of a network read from ONNX


@dataclass(frozen=True)
class TrainResult:
    """Where the run's averaged network lies and what it scored on validation, if there was any."""

    checkpoint: Path
    steps: int
    minutes: float
    scores: Optional[Scores]


def train(
    config: TrainConfig,
    store: ClipStore,
    validation: Optional[ClipStore] = None,
    resume: bool = False,
    spec: Optional[NetSpec] = None,
    on_log: Optional[Callable[[Dict[str, float]], None]] = None,
) -> TrainResult:
    """Run a recipe to its end, or go on with one that was interrupted (``resume``).

    Writes ``last.pt`` (all that is needed to go on), ``history.jsonl`` and ``curves.png`` under
    ``config.out``. Every process of a ``torchrun`` launch calls this; the first one writes.
    """
    return train_together([config], store, validation, resume, spec, on_log)[0]


def train_together(
    configs: Sequence[TrainConfig],
    store: ClipStore,
    validation: Optional[ClipStore] = None,
    resume: bool = False,
    spec: Optional[NetSpec] = None,
    on_log: Optional[Callable[[Dict[str, float]], None]] = None,
) -> List[TrainResult]:
    """``train`` for runs that differ in ``out``, ``seed``, ``teacher`` and ``start_from`` alone.

    All see the same batches, and a teacher reads each batch once for all that learn from it: with
    a small network, preparing batches and asking the teacher is most of the work. Every run ends
    as it would by itself. ``on_log`` gets the first run's rows.
    """
    from hrd.train.curves import draw_curves

    _check_comparable(configs)
    first = configs[0]
    rank = find_rank(first.device)
    if rank.device.type == "cpu":
        torch.set_num_threads(first.threads)
        keep_freed_memory()
    teachers: Dict[str, PulseNet] = {}
    for path in {config.teacher for config in configs if config.teacher}:
        teacher = open_network(path)
        teacher.to(rank.device, memory_format=torch.channels_last)
        teachers[path] = teacher.requires_grad_(False)
    runs = [
        Run(config, rank, spec, teachers[config.teacher].spec if config.teacher else None)
        for config in configs
    ]
    if resume:
        for run in runs:
            run.restore()
        # runs saved one after another: a crash in between leaves some a little behind
        if len({run.step for run in runs}) > 1:
            logger.warning("the runs stopped at different steps; the later ones wait")
    step = min(run.step for run in runs)
    stream = BatchStream(
        store,
        first.batch_clips,
        first.lengths_frames,
        first.augmentation,
        first.data_seed,
        rank.index,
        rank.ranks,
        first.bf16,
    )
    for run in runs:
        run.begin(stream[k].to(rank.device).frames for k in range(_SETTLE_BATCHES))
    if rank.first:
        logger.info("%s, %d clips, %s", runs[0].describe(), len(store), rank.device)
    started = time.monotonic() - runs[0].spent_s
    bar = tqdm(
        total=first.steps,
        initial=step,
        disable=not rank.first,
        unit="step",
        desc=first.network,
        mininterval=2.0,
    )
    for batch in loader(stream, step, first.steps, first.workers):
        batch = batch.to(rank.device)
        progress = step / first.steps
        if first.minutes > 0:
            progress = max(progress, runs[0].spent_s / 60.0 / first.minutes)
        told = {}
        for path, teacher in teachers.items():
            with torch.no_grad(), torch.autocast(
                rank.device.type, dtype=torch.bfloat16, enabled=first.bf16
            ):
                signal, _, taps = teacher(batch.frames, want_taps=True)
            listener = next(run for run in runs if run.config.teacher == path)
            told[path] = listener.knowledge(signal, taps)
            del signal, taps
        for run in runs:
            if run.step == step:
                run.advance(batch, told.get(run.config.teacher), progress)
        step += 1
        spent_s = time.monotonic() - started
        for run in runs:
            run.spent_s = spent_s
        bar.update(1)
        done = step >= first.steps or (
            first.minutes > 0 and spent_s >= first.minutes * 60.0 and rank.ranks == 1
        )
        ready = [run for run in runs if run.step == step]
        if step % first.log_every == 0 or done:
            rows = [run.log() for run in ready]
            bar.set_postfix({k: f"{rows[0][k]:.3f}" for k in ("loss", "pearson")})
            if on_log is not None and rank.first and runs[0] in ready:
                on_log(rows[0])
        if rank.first and validation is not None and (step % first.validate_every == 0 or done):
            for run in ready:
                scores = run.validate(validation)
                bar.write(f"step {step}: {run.name}: validation {scores.as_dict()}")
        if rank.first and (step % first.save_every == 0 or done):
            for run in ready:
                run.save(len(store))
        if rank.first and (step % first.validate_every == 0 or done):
            for run in ready:
                draw_curves(
                    run.history, run.out / "curves.png", title=f"{first.network}: {run.name}"
                )
        if done:
            break
    bar.close()
    return [TrainResult(run.path, run.step, run.spent_s / 60.0, run.scores) for run in runs]


def _check_comparable(configs: Sequence[TrainConfig]) -> None:
    if not configs:
        raise ValueError("no run to train")
    alike = {replace(config, out="", seed=0, teacher="", start_from="") for config in configs}
    if len(alike) > 1:
        raise ValueError("runs side by side may differ in out, seed, teacher and start_from alone")
    if len({config.out for config in configs}) < len(configs):
        raise ValueError("runs side by side need a folder each")
