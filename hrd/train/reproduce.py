"""The paper, repeated: teacher, student and student with distillation on a data set of people,
tested on people never seen.

What the paper does not say, and what is done here instead: which people it tested on (here: a
fold of a seeded split), its layers (``hrd.train.models`` has as many parameters), its loss
(``hrd.train.losses`` and ``hrd.train.distill``), steps, rates and augmentation (those of
``hrd train``), and whether errors are of whole videos or windows (both are given).
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from hrd.errors import UsageError
from hrd.evaluation import report as reports
from hrd.evaluation.methods import CHOICES, MethodSpec, choose_methods
from hrd.evaluation.session import Plan, evaluate
from hrd.files import write_whole
from hrd.pipeline import PipelineConfig
from hrd.train.checkpoint import load_network
from hrd.train.config import TrainConfig
from hrd.train.data import ClipStore
from hrd.train.export import RECORDED, describe_training, export
from hrd.train.loop import train_together
from hrd.train.rank import find_rank
from hrd.train.recipes import STUDENT_RUN, TEACHER_RUN, override

logger = logging.getLogger(__name__)

SETTINGS = "reproduce.json"
_TOLD_AFTER_S = 60.0


@dataclass(frozen=True)
class Settings:
    """What makes a reproduction what it is; one that is gone on with must have the same.

    ``seeds``: how many pairs of students. ``steps`` 0: those of ``hrd train``'s recipes.
    ``batch_clips``: of all processes together, so that their number changes nothing.
    """

    layout: str
    folds: int = 5
    fold: int = 0
    split_seed: int = 0
    seeds: int = 1
    steps: int = 0
    batch_clips: int = 8
    recode: int = 0
    bf16: bool = True


@dataclass(frozen=True)
class Machine:
    """What computes."""

    device: str = "cpu"
    workers: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Trained:
    """A network of this run: its heading in the tables, and its files."""

    name: str
    checkpoint: Path
    model: Path


def keep_settings(out: Path, settings: Settings) -> None:
    """Note what is done in ``out``. Raises ``UsageError`` if another run lies there."""
    path = out / SETTINGS
    wanted = dataclasses.asdict(settings)
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            keys = ", ".join(key for key in wanted if found.get(key) != wanted[key])
            raise UsageError(
                f"{out} holds a run with other settings ({keys}); choose another --out or delete it"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(wanted, indent=1) + "\n").encode())


class _Forecast:
    """Tells after a minute of training how long all of it will take."""

    def __init__(self, steps_to_come: int, phases: int) -> None:
        self._left = steps_to_come
        self._phases = phases
        self._began_s: Optional[float] = None
        self._first = 0
        self._told = False

    def __call__(self, row: Dict[str, float]) -> None:
        now_s, step = time.monotonic(), int(row["step"])
        if self._began_s is None:
            self._began_s, self._first = now_s, step
            return
        spent_s = now_s - self._began_s
        if self._told or spent_s < _TOLD_AFTER_S or step <= self._first:
            return
        self._told = True
        each_s = spent_s / (step - self._first)
        left = self._left - step
        print(
            f"at {each_s:.2f} s a step, training takes about {_span(left * each_s)} more"
            + (", students' steps taken to be as long" if self._phases > 1 else ""),
            flush=True,
        )


def _span(seconds: float) -> str:
    if seconds < 5400.0:
        return f"{max(1, round(seconds / 60.0))} minutes"
    return f"{seconds / 3600.0:.1f} hours"


def train_all(
    out: Path,
    settings: Settings,
    machine: Machine,
    store: ClipStore,
    validation: ClipStore,
    data: str,
) -> List[Trained]:
    """Teacher, then all students side by side; goes on where an earlier call stopped. Every process
    of a ``torchrun`` launch calls this; the first one exports the models."""
    assert data.startswith(RECORDED)
    teacher = _config(TEACHER_RUN, settings, machine, data, out / "teacher")
    student = _config(STUDENT_RUN, settings, machine, data, out / "student")
    steps = teacher.steps + student.steps
    train_together([teacher], store, validation, resume=True, on_log=_Forecast(steps, 2))
    checkpoint = str(out / "teacher" / "last.pt")
    students = [
        replace(student, seed=seed, teacher=path, out=str(out / f"{kind}-{seed}"))
        for seed in range(settings.seeds)
        for kind, path in (("student", ""), ("student-kd", checkpoint))
    ]
    train_together(students, store, validation, resume=True, on_log=_Forecast(student.steps, 1))
    runs = [("teacher", Path(teacher.out))]
    for each in students:
        seed = f", seed {each.seed}" if settings.seeds > 1 else ""
        runs.append((("student + KD" if each.teacher else "student, no KD") + seed, Path(each.out)))
    trained = [Trained(name, folder / "last.pt", folder / "model.onnx") for name, folder in runs]
    if find_rank(machine.device).first:
        for one in trained:
            net, content = load_network(one.checkpoint)
            export(net, one.model, describe_training(content), content.get("scores"))
    return trained


def _config(
    base: TrainConfig, settings: Settings, machine: Machine, data: str, out: Path
) -> TrainConfig:
    steps = settings.steps or base.steps
    return override(
        base,
        data=data,
        out=str(out),
        steps=steps,
        batch_clips=settings.batch_clips // find_rank(machine.device).ranks,
        device=machine.device,
        workers=machine.workers,
        threads=machine.threads,
        bf16=settings.bf16,
        log_every=min(base.log_every, max(1, steps // 20)),
        validate_every=min(base.validate_every, max(1, steps // 4)),
        save_every=min(base.save_every, max(1, steps // 10)),
    )


def methods(trained: Sequence[Trained]) -> List[MethodSpec]:
    """The networks of this run, the models that come with hrd, and the classics."""
    shipped, _ = choose_methods(CHOICES, [])
    own = [MethodSpec(f"{one.name} (this run)", "model", str(one.model)) for one in trained]
    return own + [
        replace(spec, name=f"{spec.name} (hrd's own)") if spec.kind == "model" else spec
        for spec in shipped
    ]


def evaluate_on(
    plan: Plan, specs: Sequence[MethodSpec], out: Path, workers: int = 1
) -> Dict[str, Any]:
    """Evaluate and write report.md, report.json, windows.csv and pictures under ``out``."""
    found, results = evaluate(plan, specs, PipelineConfig(), workers=workers)
    reports.write(out, found, results)
    return found


def seconds_per_frame(specs: Sequence[MethodSpec], threads: int) -> Dict[str, float]:
    """Of each method on this machine's CPU, per frame of a chunk of 30; median of 20 chunks."""
    from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

    rng = np.random.default_rng(0)
    crops = 120.0 + rng.standard_normal((30, CROP_PX, CROP_PX, 3)).astype(np.float32)
    chunk = RoiChunk(0.0, MODEL_FS_HZ, crops, np.zeros(30, bool), np.zeros((30, 2), np.float32))
    found = {}
    for spec in specs:
        engine = spec.open(threads)
        taken_s = []
        for _ in range(25):
            began_s = time.perf_counter()
            engine.process(chunk)
            taken_s.append(time.perf_counter() - began_s)
        engine.close()
        found[spec.name] = float(np.median(taken_s[5:])) / 30.0
    return found


def own_rows(found: Dict[str, Any], window: str) -> List[Tuple[str, Dict[str, Any]]]:
    """Method and figures of a window (``whole``, ``10`` or ``30``) over all recordings."""
    return list(found["sections"][-1]["windows"][window].items())
