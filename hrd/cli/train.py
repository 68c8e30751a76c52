"""``hrd train``: make a teacher or a student from drawn clips."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

from hrd.cli.recordings import add_recording_options

if TYPE_CHECKING:
    from hrd.train.config import TrainConfig
    from hrd.train.data import ClipStore

_DATA = "data/train"
_VALIDATION = "data/validation"
_VALIDATION_FRAMES = 400  # leaves a 10-s window after warm-up and delay


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "train",
        help="train the teacher or the student on drawn faces (needs the extra hrd[train])",
        description=(
            "Trains a network on video that hrd draws itself, or with --recordings on data sets of "
            "people. The first run draws the clips (about one a second and core) and keeps them; "
            "Ctrl-C stops at any time, and --resume goes on. Train the "
            "teacher first, then a student with --distill TEACHER; a student without --distill "
            "shows what distillation was worth. To go on with the models that come with hrd, "
            "begin with them: --start-from student, --distill teacher. Every run writes last.pt, "
            "history.jsonl and curves.png under --out; hrd export makes an ONNX model of last.pt."
        ),
        epilog=(
            "examples:\n"
            "  hrd train teacher --clips 20000 --steps 20000\n"
            "  hrd train student --distill runs/teacher/last.pt\n"
            "  hrd train student --distill runs/teacher/last.pt --compare 3\n"
            "  hrd train student --start-from student --distill teacher --minutes 60\n"
            "  hrd train student --start-from student --recordings ubfc-rppg ~/data/DATASET_2\n"
            "  hrd train student --seed 1 --out runs/student-1 --minutes 30\n"
            "  torchrun --nproc_per_node 4 -m hrd train teacher --device cuda"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", choices=("teacher", "student"), help="which network")
    parser.add_argument(
        "--distill",
        metavar="TEACHER",
        help="a trained teacher to learn from as well: its checkpoint (last.pt), an exported ONNX "
        "file, or `teacher` for the one that comes with hrd",
    )
    parser.add_argument(
        "--compare",
        type=int,
        default=0,
        metavar="N",
        help="with --distill: train N students with the teacher and N without it, from N seeds, "
        "side by side on the same batches, into OUT/distilled-SEED and OUT/plain-SEED",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        default=_DATA,
        help=f"folder of training clips, filled if it holds fewer than --clips ({_DATA})",
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=5000,
        metavar="N",
        help="how many training clips to have (5000); 0 takes what is there",
    )
    parser.add_argument(
        "--validation",
        metavar="DIR",
        default=_VALIDATION,
        help=f"folder of validation clips, drawn from other seeds ({_VALIDATION})",
    )
    parser.add_argument(
        "--validation-clips", type=int, default=150, metavar="N", help="how many of them (150)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where the run is written (runs/teacher or runs/student)"
    )
    parser.add_argument(
        "--start-from",
        metavar="WEIGHTS",
        help="begin with the weights of another run's last.pt, of an exported ONNX file, or of "
        "`student` or `teacher`, the models that come with hrd (default: random ones)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run under --out")
    parser.add_argument("--steps", type=int, metavar="N", help="batches to train for")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        metavar="M",
        help="stop after this long at the latest; the learning rate falls accordingly",
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="clips per batch (8)")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="the highest one")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the first weights (0)"
    )
    parser.add_argument(
        "--data-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the order and variation of the clips (0)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="what computes (cpu)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="processes that prepare batches (2)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="threads of the CPU that computes (default: all cores)",
    )
    parser.add_argument(
        "--float32",
        action="store_true",
        help="compute in float32 throughout (default: bfloat16 where it is safe)",
    )
    add_recording_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw what is missing, then train; 130 if it was stopped."""
    import sys

    try:
        return _run(args)
    except KeyboardInterrupt as stop:
        # training says itself what is saved; before that, finished clips are all there is to keep
        said = (
            str(stop)
            or "stopped before training; clips drawn so far are kept, and the same command goes on"
        )
        print(f"hrd: {said}", file=sys.stderr)
        return 130


def _run(args: argparse.Namespace) -> int:
    import logging
    import os
    from dataclasses import replace

    from hrd.cli.common import set_up_logging
    from hrd.errors import HrdError, UsageError

    if args.distill and args.network == "teacher":
        raise UsageError("--distill is for the student: a teacher has nobody to learn from")
    if args.compare and not args.distill:
        raise UsageError("--compare needs --distill TEACHER: it is the teacher that is compared")
    for name, least in (
        ("compare", 0),
        ("clips", 0),
        ("validation_clips", 0),
        ("batch", 1),
        ("workers", 0),
    ):
        if getattr(args, name) < least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}")
    if args.steps is not None and args.steps < 1:
        raise UsageError(f"--steps must be at least 1, not {args.steps}")
    from hrd.train.interrupt import undisturbed

    try:
        with undisturbed():  # a module that is interrupted fails as if it could not be imported
            import torch  # noqa: F401
    except ImportError as error:
        from hrd.missing import pip_install

        raise HrdError(
            f"training needs PyTorch ({error}); install it with: {pip_install('hrd[train]')}"
        ) from error

    from hrd.train.loop import train_together
    from hrd.train.recipes import STUDENT_RUN, TEACHER_RUN, override

    set_up_logging("info")
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    config = override(
        TEACHER_RUN if args.network == "teacher" else STUDENT_RUN,
        data=args.data,
        validation=args.validation if args.validation_clips else "",
        out=args.out or f"runs/{args.network}",
        teacher=args.distill or "",
        start_from=args.start_from or "",
        steps=args.steps,
        minutes=args.minutes,
        batch_clips=args.batch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        data_seed=args.data_seed,
        device=args.device,
        workers=args.workers,
        threads=args.threads or os.cpu_count() or 1,
        bf16=not args.float32,
    )
    configs = _side_by_side(config, args.compare) if args.compare else [config]
    for each in configs:
        if (Path(each.out) / "last.pt").exists() and not args.resume:
            raise UsageError(
                f"{each.out} already holds a run; add --resume to go on with it, or choose "
                "another --out"
            )
    store, validation, data = _stores(args, config)
    configs = [replace(each, data=data) for each in configs]
    results = train_together(configs, store, validation, resume=args.resume)
    if int(os.environ.get("RANK", "0")) != 0:
        return 0
    for result in results:
        print(f"{result.checkpoint}: {result.steps} steps, {result.minutes:.1f} minutes")
        if result.scores is not None:
            print(
                f"validation: MAE {result.scores.mae_bpm:.2f} bpm, r {result.scores.pearson:.3f}, "
                f"{100 * result.scores.within_5:.0f} % within 5 bpm"
            )
    checkpoint = Path(results[0].checkpoint)
    model = checkpoint.with_name(f"{args.network}.onnx")  # beside it, never among the shipped ones
    print(f"next: hrd export {checkpoint} --out {model}, then hrd run --model {model}")
    return 0


def _stores(
    args: argparse.Namespace, config: TrainConfig
) -> Tuple[ClipStore, Optional[ClipStore], str]:
    """Clips to train on and to validate on, and what they are."""
    import os

    from hrd.train.data import ShardStore
    from hrd.train.rank import meet

    if not args.recordings:
        _draw_what_is_missing(args)
        meet(config.device)
        validation = ShardStore(Path(config.validation)) if config.validation else None
        return ShardStore(Path(config.data)), validation, config.data
    from hrd.cli.recordings import recorded_stores
    from hrd.train.people import MixedStore

    first = int(os.environ.get("RANK", "0")) == 0
    train, held_out, what = recorded_stores(args, first, config.device)
    if not args.drawn:
        return train, held_out, what
    args.validation_clips = 0
    _draw_what_is_missing(args)
    meet(config.device)
    share = f", {100 * args.drawn:.0f} % drawn clips among them"
    return MixedStore(train, ShardStore(Path(config.data)), args.drawn), held_out, what + share


def _side_by_side(config: TrainConfig, seeds: int) -> List[TrainConfig]:
    """A distilled and a plain run of each of ``seeds`` seeds."""
    from dataclasses import replace

    return [
        replace(config, seed=seed, teacher=teacher, out=f"{config.out}/{kind}-{seed}")
        for seed in range(config.seed, config.seed + seeds)
        for kind, teacher in (("distilled", config.teacher), ("plain", ""))
    ]


def _draw_what_is_missing(args: argparse.Namespace) -> None:
    """The first process of a launch draws clips; the others wait for it."""
    import os

    from hrd.train.generator import FIRST_TRAINING_SEED, VALIDATION_SEEDS, Recipe
    from hrd.train.shards import write_shards

    if int(os.environ.get("RANK", "0")) != 0:
        return
    workers = max(1, args.workers)
    if args.clips:
        write_shards(Path(args.data), FIRST_TRAINING_SEED, args.clips, workers=workers)
    if args.validation_clips:
        write_shards(
            Path(args.validation),
            VALIDATION_SEEDS.start,
            args.validation_clips,
            Recipe(frames=_VALIDATION_FRAMES),
            workers=workers,
        )
