"""``hrd record``: a running daemon's readings and signal to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "record",
        help="write a running daemon's readings and signal to a file",
        description=(
            "Writes what a running daemon says to a file, one JSON object per line: readings (HR), "
            "the pulse signal (PPG) and what the confidence was computed from (FEATURES), never "
            "pictures. Ctrl-C ends it. hrd compare and hrd calibrate read it."
        ),
        epilog="example: hrd record evening.jsonl --seconds 600",
    )
    parser.add_argument("file", metavar="FILE", help="where to write; made anew")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    parser.add_argument("--socket", metavar="PATH", help="the daemon's socket")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record until the time is over, or Ctrl-C."""
    from hrd.client import DEFAULT_SOCKET, Client
    from hrd.compare.live import record_said
    from hrd.errors import UsageError

    path = Path(args.file)
    if args.seconds is not None and not args.seconds > 0.0:
        raise UsageError(f"--seconds must be more than 0, not {args.seconds:g}")
    if path.exists():
        raise UsageError(f"{path} already exists; choose another name or delete it first")
    count = 0

    def told(passed_s: float) -> None:
        nonlocal count
        count += 1
        if sys.stderr.isatty():
            print(f"\r{passed_s:.0f} s, {count} readings ", end="", file=sys.stderr, flush=True)

    try:
        with Client(args.socket or DEFAULT_SOCKET) as client:
            record_said(path, client, args.seconds, told)
    except KeyboardInterrupt:
        pass
    print(f"{path}: {count} readings; delete the file to remove them")
    return 0
