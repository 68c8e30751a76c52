"""``hrd simulate``: simulated face video with its truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hrd.cli.common import set_up_logging


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "simulate",
        help="write simulated face video with its truth",
        description=(
            "Writes video of drawn faces with a pulse of known rate, in the layout of UBFC-rPPG's "
            "DATASET_2: subjectN/vid.avi and subjectN/ground_truth.txt (three rows: PPG, heart "
            "rate in bpm, time in s). No person's data is used."
        ),
        epilog="example: hrd simulate faces --subjects 5 --seconds 30, then hrd measure "
        "faces/subject1/vid.avi",
    )
    parser.add_argument("folder", metavar="DIR", help="where to write; made if it does not exist")
    parser.add_argument(
        "--subjects", type=int, default=3, metavar="N", help="how many faces (default: 3)"
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="length of each (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same faces (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    from tqdm import tqdm

    from hrd.errors import UsageError
    from hrd.simulate import write_dataset

    if not 1 <= args.subjects <= 10000:
        raise UsageError(f"--subjects must be between 1 and 10000, not {args.subjects}")
    if not 1.0 <= args.seconds <= 36000.0:
        raise UsageError(f"--seconds must be between 1 and 36000, not {args.seconds:g}")
    set_up_logging("warning")
    with tqdm(unit=" frames", file=sys.stderr, disable=None, leave=False) as bar:
        write_dataset(
            Path(args.folder), args.subjects, args.seconds, args.seed, progress=bar.update
        )
    print(f"{args.subjects} subjects in {args.folder}")
    return 0
