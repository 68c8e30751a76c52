"""``hrd reproduce``: the paper, repeated on one's own copy of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from hrd.cli.recordings import CACHE
from hrd.paths import expand

if TYPE_CHECKING:
    from hrd.train.reproduce import Machine, Settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "reproduce",
        help="the paper's tables from one's own copy of UBFC-rPPG (needs the extra hrd[train])",
        description=(
            "Trains a teacher, a student and a student with distillation on recordings of people, "
            "tests them on people they have never seen, and prints the paper's tables with these "
            "rows, hrd's own models and the classics under them. Can be stopped at any time: the "
            "same command goes on. The models end under --out; nothing leaves this machine."
        ),
        epilog=(
            "examples:\n"
            "  hrd reproduce ~/data/UBFC/DATASET_2\n"
            "  hrd reproduce ~/data/PURE --layout pure --fold 3 --out runs/pure-3\n"
            "  torchrun --nproc_per_node 4 -m hrd reproduce ~/data/UBFC/DATASET_2 --device cuda"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", metavar="DIR", help="where the data set is")
    parser.add_argument(
        "--layout", default="ubfc-rppg", help="a layout of hrd eval with a pulse wave (ubfc-rppg)"
    )
    parser.add_argument(
        "--own", metavar="DIR", help="own recordings in UBFC-rPPG's layout, for the paper's Table 3"
    )
    parser.add_argument(
        "--out", metavar="DIR", default="runs/reproduce", help="where all of it goes"
    )
    parser.add_argument(
        "--folds", type=int, default=5, metavar="K", help="people are split into K parts (5)"
    )
    parser.add_argument(
        "--fold", type=int, default=0, metavar="N", help="which part is tested on, from 0 (0)"
    )
    parser.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="seed of the split of people (0)"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="pairs of students, a seed each (1)"
    )
    parser.add_argument(
        "--steps", type=int, default=0, metavar="N", help="of each network (default: 8000)"
    )
    parser.add_argument(
        "--batch", type=int, default=8, metavar="N", help="clips per batch, of all processes (8)"
    )
    parser.add_argument(
        "--recode",
        type=int,
        default=0,
        metavar="N",
        help="train on N more copies of each recording, compressed once more (0)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what computes")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="processes that prepare clips (2)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads of the CPU (default: all)"
    )
    parser.add_argument("--float32", action="store_true", help="compute in float32 throughout")
    parser.add_argument(
        "--crop-cache",
        metavar="DIR",
        default=CACHE,
        help=f"where faces cut out of the recordings are kept ({CACHE}); delete it to remove them",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, test, print; 130 if it was stopped."""
    import sys

    try:
        return _run(args)
    except KeyboardInterrupt:
        print(f"hrd: stopped; the same command goes on from what is in {args.out}", file=sys.stderr)
        return 130


def _run(args: argparse.Namespace) -> int:
    import logging
    import os

    from hrd.cli.common import set_up_logging
    from hrd.cli.recordings import open_recordings
    from hrd.errors import HrdError, UsageError
    from hrd.evaluation.layouts import LAYOUTS
    from hrd.missing import pip_install

    for name, least in (("folds", 3), ("seeds", 1), ("steps", 0), ("batch", 1), ("recode", 0)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name} must be at least {least}")
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if args.batch % ranks:
        raise UsageError(
            f"--batch {args.batch} cannot be shared by {ranks} processes; "
            f"give a multiple of {ranks}"
        )
    if args.layout not in LAYOUTS:
        raise UsageError(f"--layout must be one of {', '.join(LAYOUTS)}")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise HrdError(
            f"training needs PyTorch ({error}); install it with: {pip_install('hrd[train]')}"
        ) from error
    from hrd.train import people
    from hrd.train.reproduce import Machine, Settings, keep_settings, train_all

    set_up_logging("info")
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    first = int(os.environ.get("RANK", "0")) == 0
    settings = Settings(
        args.layout,
        args.folds,
        args.fold,
        args.split_seed,
        args.seeds,
        args.steps,
        args.batch,
        args.recode,
        not args.float32,
    )
    machine = Machine(args.device, args.workers, args.threads or os.cpu_count() or 1)
    out = Path(args.out)
    if first:
        keep_settings(out, settings)
    found = open_recordings(
        [(args.layout, [args.dir])],
        args.recode,
        Path(args.crop_cache),
        args.workers,
        first,
        args.device,
    )
    split = people.split([one.person for one in found], args.folds, args.fold, args.split_seed)
    if first:
        print("\n".join(split.lines()), flush=True)
    store, validation = people.stores(found, split)
    data = f"recordings ({args.layout}, {len(split.train)} people)"
    trained = train_all(out, settings, machine, store, validation, data)
    if not first:
        return 0
    tested = {one.name for one in found if one.person in split.test}
    print(_report(args, settings, machine, split, tested, trained), end="")
    return 0


def _report(  # type: ignore[no-untyped-def]
    args: argparse.Namespace, settings: Settings, machine: Machine, split, tested, trained
) -> str:
    """Test, write everything under --out, and give the page."""
    from hrd.errors import HrdError
    from hrd.evaluation.layouts import LAYOUTS, find_recordings
    from hrd.evaluation.session import Plan
    from hrd.files import write_whole
    from hrd.train.paper import page
    from hrd.train.reproduce import evaluate_on, methods, seconds_per_frame

    out, specs = Path(args.out), methods(trained)
    layout = LAYOUTS[args.layout]
    entries = find_recordings(layout, expand(args.dir))
    chosen = [entry for entry in entries if entry.name in tested]
    if not chosen:
        raise HrdError("there is no recording of the people who are to be tested on")
    found = evaluate_on(
        Plan(layout.name, layout.title, chosen), specs, out / "report", args.workers
    )
    own: Optional[Dict[str, Any]] = None
    if args.own:
        ubfc = LAYOUTS["ubfc-rppg"]
        recorded = find_recordings(ubfc, expand(args.own))
        plan = Plan(ubfc.name, "own recordings", recorded)
        own = evaluate_on(plan, specs, out / "own", args.workers)
    runs = [one.checkpoint.parent.name for one in trained]
    text = page(settings, split, found, own, seconds_per_frame(specs, 1), runs)
    write_whole(out / "tables.md", text.encode())
    return text
