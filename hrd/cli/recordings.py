"""What ``hrd train --recordings`` adds to ``hrd train``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, List, Sequence, Tuple

from hrd.paths import expand

if TYPE_CHECKING:
    from hrd.train.crops import Crops
    from hrd.train.data import ClipStore

CACHE = "data/recordings"


def add_recording_options(parser: argparse.ArgumentParser) -> None:
    """--recordings and what goes with it."""
    group = parser.add_argument_group("training on recordings")
    group.add_argument(
        "--recordings",
        nargs="+",
        action="append",
        metavar="LAYOUT DIR",
        help="a data set in a layout of hrd eval, and its folders; may be given again",
    )
    group.add_argument(
        "--drawn",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="with --recordings: share of drawn clips among them, 0 to 0.95 (0)",
    )
    group.add_argument(
        "--folds", type=int, default=5, metavar="K", help="people are split into K parts (5)"
    )
    group.add_argument(
        "--fold", type=int, metavar="N", help="keep part N (from 0) for testing: not trained on"
    )
    group.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="seed of the split of people (0)"
    )
    group.add_argument(
        "--recode",
        type=int,
        default=0,
        metavar="N",
        help="train on N more copies of each recording, compressed once more (0)",
    )
    group.add_argument(
        "--crop-cache",
        metavar="DIR",
        default=CACHE,
        help=f"where faces cut out of the recordings are kept ({CACHE}); delete it to remove them",
    )


def recorded_stores(
    args: argparse.Namespace, first: bool, device: str
) -> Tuple[ClipStore, ClipStore, str]:
    """Clips to train on, clips to validate on, and what they are, for the model's card.

    The first process of a launch (``first``) reads the recordings, the others wait for it.
    """
    from hrd.errors import UsageError
    from hrd.evaluation.layouts import LAYOUTS
    from hrd.train import people
    from hrd.train.export import RECORDED

    if not 0.0 <= args.drawn <= 0.95:
        raise UsageError(f"--drawn must be between 0 and 0.95, not {args.drawn:g}")
    if args.recode < 0 or args.folds < 2:
        raise UsageError("--recode must be at least 0, and --folds at least 2")
    for layout, *folders in args.recordings:
        if layout not in LAYOUTS or not folders:
            raise UsageError(
                f"--recordings needs a layout ({', '.join(LAYOUTS)}) and at least one folder"
            )
    sets = [(layout, folders) for layout, *folders in args.recordings]
    cache = Path(args.crop_cache)
    found = open_recordings(sets, args.recode, cache, args.workers, first, device)
    parts = people.split(
        [one.person for one in found],
        args.folds,
        args.fold or 0,
        args.split_seed,
        test=args.fold is not None,
    )
    train, validation = people.stores(found, parts)
    if first:
        print("\n".join(parts.lines()) + f"; split seed {args.split_seed}")
        print(f"{len(train)} clips to train on, {len(validation)} to validate on", flush=True)
    names = ", ".join(layout for layout, *_ in args.recordings)
    return train, validation, f"{RECORDED} ({names}, {len(parts.train)} people)"


def open_recordings(
    sets: Sequence[Tuple[str, Sequence[str]]],
    copies: int,
    cache: Path,
    workers: int,
    first: bool,
    device: str,
) -> List[Crops]:
    """The faces of data sets (layout, folders), read into the cache by the first process of a
    launch; it prints what was left out, and how the references were aligned."""
    from hrd.evaluation.layouts import LAYOUTS, find_recordings
    from hrd.train import crops, people
    from hrd.train.rank import meet

    wanted: List[crops.Source] = []
    for layout, folders in sets:
        for folder in folders:
            root = expand(folder)
            entries = find_recordings(LAYOUTS[layout], root)
            wanted += crops.sources(layout, root, entries, copies)
    if first:
        for problem in crops.prepare(cache, wanted, workers=max(1, workers)):
            print(problem)
    meet(device)
    found = crops.read(cache, wanted)
    if first:
        print(f"{len(found)} recordings, faces kept in {cache} (delete it to remove them)")
        told = people.delays(found)
        if told:
            print(
                f"references lag the video by {told['lowest']:+.2f} to {told['highest']:+.2f} s "
                f"(median {told['median']:+.2f}, r {told['r']:.2f}); taken off",
                flush=True,
            )
    return found
