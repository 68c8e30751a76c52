"""``hrd compare``: hrd beside a reference device."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple

if TYPE_CHECKING:
    from hrd.compare.figures import Comparison


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "compare",
        help="hrd beside a heart-rate strap, an oximeter or a file of theirs",
        description=(
            "Holds hrd against a reference device: live, beside a running daemon, or from files. "
            "Aligns the clocks, and tells mean and root-mean-square error, bias, limits of "
            "agreement, the share of time in which hrd said something, and whether its confidence "
            "is right. Needs the extras hrd[eval,devices], and matplotlib for --out."
        ),
        epilog=(
            "references:\n"
            "  ble, ble:NAME             a Bluetooth heart-rate strap\n"
            "  cms50:/dev/ttyUSB0        a CONTEC CMS50D+, E or F oximeter\n"
            "  FILE.csv                  columns time, and bpm, wave or ibi_ms\n"
            "  ground_truth.txt          of UBFC-rPPG, hrd simulate or hrd record-set\n"
            "examples:\n"
            "  hrd compare --reference ble --seconds 300 --keep anna --out anna.html\n"
            "  hrd compare anna ben --out both.html\n"
            "  hrd compare --hrd evening.jsonl --reference oximeter.csv --json\n"
            "  hrd measure subject1/vid.avi --json --ppg - > one.json\n"
            "  hrd compare --hrd one.json --reference subject1/ground_truth.txt"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="comparisons that --keep has written"
    )
    parser.add_argument(
        "--hrd", metavar="FILE", help="of hrd record or hrd measure --json; without it: live"
    )
    parser.add_argument("--reference", metavar="REFERENCE", help="the device or its file")
    parser.add_argument(
        "--seconds", type=float, default=120.0, metavar="S", help="length of a live one (120)"
    )
    parser.add_argument(
        "--keep",
        metavar="DIR",
        help="keep what is compared in this folder (never pictures), for hrd calibrate and again",
    )
    parser.add_argument(
        "--max-lag",
        type=float,
        default=10.0,
        metavar="S",
        help="how far the clocks may be apart (10)",
    )
    parser.add_argument(
        "--lag", type=float, metavar="S", help="how far the reference lags, where it is known"
    )
    parser.add_argument("--out", metavar="FILE", help="write a page: .html, or .md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--socket", metavar="PATH", help="the daemon's socket")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, print, write the page."""
    from hrd.compare.figures import figures
    from hrd.compare.page import rows, write_page
    from hrd.errors import UsageError
    from hrd.evaluation.report import clean

    if args.out and Path(args.out).suffix.lower() not in (".html", ".htm", ".md"):
        raise UsageError(f"--out {args.out} must end in .html or .md")
    if not 0.0 <= args.max_lag <= 60.0:
        raise UsageError(f"--max-lag must be between 0 and 60 s, not {args.max_lag:g}")
    comparisons = [_one(args, name, said, reference) for name, said, reference in _sources(args)]
    report = clean(figures(comparisons))
    if args.json:
        print(json.dumps(report, separators=(",", ":"), allow_nan=False))
    else:
        _print(rows(report))
        for one in report["comparisons"]:
            if "note" in one:
                print(f"{one['name']}: {one['note']}")
    if args.out:
        for path in write_page(Path(args.out), report, comparisons):
            print(f"wrote {path}", file=sys.stderr)
    return 0


def _sources(args: argparse.Namespace) -> List[Tuple[str, Path, Path]]:
    """Name, hrd's file and the reference's file of every comparison; a live one is made now."""
    from hrd.compare.live import HEARD, SAID
    from hrd.errors import UsageError

    if args.folders:
        if args.hrd or args.reference:
            raise UsageError("give folders, or --hrd and --reference, not both")
        return [
            (Path(folder).name or folder, Path(folder) / SAID, Path(folder) / HEARD)
            for folder in args.folders
        ]
    if not args.reference:
        raise UsageError("compare needs a --reference: see hrd compare --help for what it may be")
    from hrd.devices.open import open_reference
    from hrd.devices.sample import Device

    reference = open_reference(args.reference)
    if args.hrd and not isinstance(reference, Device):
        if args.keep:
            return [_kept(Path(args.hrd), reference, _new_folder(args.keep))]
        return [(Path(args.hrd).stem, Path(args.hrd), reference)]
    if args.hrd or not isinstance(reference, Device):
        raise UsageError(
            "a file goes with a file, a device with a running daemon: see the examples"
        )
    return [_live(args, reference)]


def _new_folder(keep: str) -> Path:
    from hrd.compare.live import HEARD, SAID
    from hrd.errors import UsageError

    folder = Path(keep)
    if any((folder / name).exists() for name in (SAID, HEARD)):
        raise UsageError(f"{folder} already holds a comparison; choose another --keep")
    return folder


def _kept(said: Path, reference: Path, folder: Path) -> Tuple[str, Path, Path]:
    """A comparison of files as --keep leaves one: hrd's file as it is, the reference as a CSV."""
    import shutil

    from hrd.compare.live import HEARD, SAID
    from hrd.compare.said import read_said
    from hrd.devices.files import read_samples
    from hrd.devices.sample import SampleWriter
    from hrd.errors import HrdError

    read_said(said)  # raises where it holds nothing of hrd
    samples = read_samples(reference)
    writer = SampleWriter(folder / HEARD)
    for sample in samples:
        writer.write(sample)
    writer.close()
    try:
        shutil.copy(said, folder / SAID)
    except OSError as error:
        raise HrdError(f"{folder} cannot be written: {error.strerror or error}") from None
    return (folder.name, folder / SAID, folder / HEARD)


def _live(args: argparse.Namespace, reference) -> Tuple[str, Path, Path]:  # type: ignore[no-untyped-def]
    import tempfile

    from hrd.client import DEFAULT_SOCKET
    from hrd.compare.live import record_both
    from hrd.errors import UsageError

    if not args.seconds >= 20.0:
        raise UsageError(f"--seconds must be at least 20, not {args.seconds:g}")
    if args.keep:
        folder = _new_folder(args.keep)
    else:
        args.temporary = tempfile.TemporaryDirectory(prefix="hrd-compare-")  # until the end
        folder = Path(args.temporary.name)

    def told(passed_s: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{passed_s:.0f} of {args.seconds:.0f} s ", end="", file=sys.stderr, flush=True)

    said, heard = record_both(folder, reference, args.socket or DEFAULT_SOCKET, args.seconds, told)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return (folder.name if args.keep else reference.name, said, heard)


def _one(args: argparse.Namespace, name: str, said: Path, reference: Path) -> Comparison:
    from hrd.compare.figures import compare
    from hrd.compare.said import read_said
    from hrd.compare.truth import make_truth
    from hrd.devices.files import read_samples

    truth = make_truth(read_samples(reference))
    return compare(read_said(said), truth, name, reference.name, args.lag, args.max_lag)


def _print(table: List[List[str]]) -> None:
    heading, *body = table
    for row in body:
        for title, cell in zip(heading, row):
            print(f"{title + ':':21}{cell}")
        print()
