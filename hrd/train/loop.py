"""The training loop: one network from a recipe, or several side by side on the same batches."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch
from tqdm import tqdm

from hrd.train.allocator import keep_freed_memory
from hrd.train.config import TrainConfig
from hrd.train.data import Batch, BatchStream, ClipStore, loader
from hrd.train.distill import Knowledge
from hrd.train.evaluate import Scores
from hrd.train.interrupt import Interrupts, Stopped, undisturbed
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
    Ctrl-C or SIGTERM lets the step at hand end, saves, and raises ``Stopped``.
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
    keeper = _Keeper(store, validation)
    stopped = ""
    with Interrupts() as interrupts:
        try:
            _go(runs, stream, teachers, keeper, on_log, interrupts)
        except KeyboardInterrupt:
            stopped = keeper.save_what_is_not(runs)
        # only now, with the exception gone, the processes that prepare batches end
        if stopped:
            raise Stopped(stopped)
    return [TrainResult(run.path, run.step, run.spent_s / 60.0, run.scores) for run in runs]


def _go(
    runs: Sequence[Run],
    stream: BatchStream,
    teachers: Dict[str, PulseNet],
    keeper: _Keeper,
    on_log: Optional[Callable[[Dict[str, float]], None]],
    interrupts: Interrupts,
) -> None:
    """Train to the end. What changes a run is held together: an interrupt finds whole steps."""
    first, rank = runs[0].config, runs[0].rank
    step = min(run.step for run in runs)
    for run in runs:
        run.begin(stream[k].to(rank.device).frames for k in range(_SETTLE_BATCHES))
    if rank.first:
        logger.info("%s, %d clips, %s", runs[0].describe(), len(keeper.store), rank.device)
    clock = _Clock(first, rank.ranks, step, runs[0].spent_s)
    with undisturbed():
        batches = iter(loader(stream, step, first.steps, first.workers))
    with tqdm(
        total=clock.expected_steps(step),
        initial=step,
        disable=not rank.first,
        unit="step",
        desc=first.network,
        mininterval=2.0,
    ) as bar:
        while step == 0 or not clock.is_over(step):
            batch = next(batches).to(rank.device)
            told = _ask(teachers, runs, batch)
            with interrupts.held():
                progress = clock.progress(step)
                for run in runs:
                    if run.step == step:
                        run.advance(batch, told.get(run.config.teacher), progress)
                step += 1
                for run in runs:
                    run.spent_s = clock.spent_s
                done = clock.is_over(step)
                ready = [run for run in runs if run.step == step]
                if step % first.log_every == 0 or done:
                    rows = [run.log() for run in ready]
                    bar.set_postfix({k: f"{rows[0][k]:.3f}" for k in ("loss", "pearson")})
                    if on_log is not None and rank.first and runs[0] in ready:
                        on_log(rows[0])
            bar.total = clock.expected_steps(step)  # at each step: true from the first
            bar.update(1)
            if rank.first and step % first.validate_every == 0 and not done:
                keeper.validate(ready, bar)
            if rank.first and step % first.save_every == 0 and not done:
                with interrupts.held():
                    keeper.save(ready)
            if done:
                break
        if rank.first:  # also of a run that was stopped between its last step and this
            keeper.validate(runs, bar)
            with interrupts.held():
                keeper.save(runs)


def _ask(
    teachers: Dict[str, PulseNet], runs: Sequence[Run], batch: Batch
) -> Dict[str, Optional[Knowledge]]:
    """What each teacher has to say of a batch, by its path."""
    told = {}
    for path, teacher in teachers.items():
        device = batch.frames.device.type
        with torch.no_grad(), torch.autocast(
            device, dtype=torch.bfloat16, enabled=runs[0].config.bf16
        ):
            signal, _, taps = teacher(batch.frames, want_taps=True)
        listener = next(run for run in runs if run.config.teacher == path)
        told[path] = listener.knowledge(signal, taps)
    return told


class _Keeper:
    """Scores and saves runs."""

    def __init__(self, store: ClipStore, validation: Optional[ClipStore]) -> None:
        self.store = store
        self._validation = validation

    def validate(self, runs: Sequence[Run], bar: tqdm) -> None:
        """Score the runs at their present steps, and draw their curves."""
        from hrd.train.curves import draw_curves

        for run in runs:
            if self._validation is not None and not run.is_validated:
                scores = run.validate(self._validation)
                bar.write(f"step {run.step}: {run.name}: validation {scores.as_dict()}")
            run.out.mkdir(parents=True, exist_ok=True)
            title = f"{run.config.network}: {run.name}"
            draw_curves(run.history, run.out / "curves.png", title=title)

    def save(self, runs: Sequence[Run]) -> None:
        for run in runs:
            run.save(len(self.store))

    def save_what_is_not(self, runs: Sequence[Run]) -> str:
        """After an interrupt: save, and say what is saved and how to go on."""
        step = min(run.step for run in runs)
        if step == 0:
            return "stopped before the first step; the same command begins again"
        unsaved = [run for run in runs if run.step != run.saved_step]
        if runs[0].rank.first:
            for run in unsaved:
                if run.has_unlogged:
                    run.log()
            self.save(unsaved)
        where = ", ".join(str(run.path) for run in runs)
        return (
            f"stopped at {runs[0].how_far(step)}, saved in {where}; the same command with --resume "
            "goes on from there"
        )


class _Clock:
    """How far a run is: by its steps, or by its minutes where these end it sooner."""

    def __init__(self, config: TrainConfig, ranks: int, step: int, spent_s: float) -> None:
        self._steps = config.steps
        # ranks that stopped at different steps would wait for each other
        self._limit_s = config.minutes * 60.0 if ranks == 1 and config.minutes > 0 else math.inf
        self._minutes_s = config.minutes * 60.0 or math.inf
        self._first_step = step
        self._before_s = spent_s
        self._started_s = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        """Time in training, of earlier parts of the run too."""
        return time.monotonic() - self._started_s

    def is_over(self, step: int) -> bool:
        return step >= self._steps or self.spent_s >= self._limit_s

    def progress(self, step: int) -> float:
        """0 to 1, for the learning rate."""
        return max(step / self._steps, self.spent_s / self._minutes_s)

    def expected_steps(self, step: int) -> int:
        """At which step the run will end, by its pace since it was begun or resumed."""
        if step == self._first_step or math.isinf(self._limit_s):
            return self._steps
        spent_s = self.spent_s
        pace = (step - self._first_step) / max(spent_s - self._before_s, 1e-9)
        return min(self._steps, step + max(0, round((self._limit_s - spent_s) * pace)))


def _check_comparable(configs: Sequence[TrainConfig]) -> None:
    if not configs:
        raise ValueError("no run to train")
    alike = {replace(config, out="", seed=0, teacher="", start_from="") for config in configs}
    if len(alike) > 1:
        raise ValueError("runs side by side may differ in out, seed, teacher and start_from alone")
    if len({config.out for config in configs}) < len(configs):
        raise ValueError("runs side by side need a folder each")
