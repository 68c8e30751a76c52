"""``hrd calibrate``: a confidence for one's own camera."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from hrd.compare.figures import Comparison
    from hrd.train.confidence_fit import Samples

_FREE_CLIPS, _FREE_FRAMES, _FREE_SEED = 60, 600, 950_000
_DRAWN = "data/pulse-free"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit the confidence to one's own camera",
        description=(
            "Fits how sure hrd is of itself to comparisons of several people with a reference "
            "device, in front of one's own camera. Shows on each person left out what it changes, "
            "and writes a file only if it is better there. Clips without a pulse are drawn once, "
            "so that hrd says no more of photographs and lamps than before (--drawn). Needs the "
            "extra hrd[eval]."
        ),
        epilog=(
            "examples:\n"
            "  hrd compare --reference ble --seconds 300 --keep anna      (and ben, and others)\n"
            "  hrd calibrate --from anna ben carla dora --out /etc/hrd/confidence.json\n"
            "  hrd calibrate --from anna=anna-monday anna=anna-friday ben carla dora\n"
            "then, in the config, under [reading]:\n"
            '  calibration = "/etc/hrd/confidence.json"      (take the line out to undo it)'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from",
        dest="comparisons",
        nargs="+",
        required=True,
        metavar="COMPARISON",
        help="folders of hrd compare --keep, each a person's; PERSON=FOLDER for several of one",
    )
    parser.add_argument(
        "--out", metavar="FILE", default="confidence.json", help="what to write (confidence.json)"
    )
    parser.add_argument(
        "--drawn",
        metavar="DIR",
        default=_DRAWN,
        help=f"folder of drawn clips without a pulse, made if it is not there ({_DRAWN})",
    )
    parser.add_argument(
        "--model", default="student", help="the network of the comparisons (student)"
    )
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=0.8,
        metavar="P",
        help="the config's reading.min_confidence (0.8)",
    )
    parser.add_argument(
        "--lag", type=float, metavar="S", help="how far the references lag, where it is known"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that draw")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, show, write."""
    from hrd.cli.common import set_up_logging
    from hrd.errors import HrdError, UsageError
    from hrd.estimate.confidence import load_calibration
    from hrd.train import own_confidence as own

    if not 0.0 < args.min_confidence < 1.0:
        raise UsageError(f"--min-confidence must be between 0 and 1, not {args.min_confidence:g}")
    set_up_logging("warning")
    compared = [_compared(text, args.lag) for text in args.comparisons]
    engine = _engine([one for _, one in compared])
    people = own.samples_of_people(compared)
    free = _pulse_free(args, engine)
    shipped = load_calibration(engine)
    before, after = own.left_out(shipped, people, free, args.min_confidence)
    found = own.fit_adjustment(shipped, people, free, args.min_confidence)
    fitted = own.adjusted(shipped, found)
    held_out: Dict[str, Any] = {
        "people": len({person for person, _ in compared}),
        "before": own.told(people, before, args.min_confidence),
        "after": own.told(people, after, args.min_confidence),
        "pulse_free": [
            own.told(free, one.confidences(free.x), args.min_confidence)
            for one in (shipped, fitted)
        ],
    }
    _show(held_out, found)
    if held_out["after"]["log_loss"] >= held_out["before"]["log_loss"]:
        raise HrdError(
            "on people left out this is no better than hrd's own confidence; nothing was written"
        )
    _write(Path(args.out), engine, fitted, found, held_out)
    print(f"wrote {args.out}; to use it, in the config under [reading]:")
    print(f'calibration = "{Path(args.out).resolve()}"')
    print("take that line out to undo it")
    return 0


def _compared(text: str, lag_s: Optional[float]) -> Tuple[str, Comparison]:
    """(person, comparison) of PERSON=FOLDER or FOLDER."""
    from hrd.compare.figures import compare
    from hrd.compare.live import HEARD, SAID
    from hrd.compare.said import read_said
    from hrd.compare.truth import make_truth
    from hrd.devices.files import read_samples
    from hrd.errors import HrdError

    person, equals, rest = text.partition("=")
    folder = Path(rest if equals and person and "/" not in person else text)
    name = person if equals and person and "/" not in person else folder.resolve().name
    try:
        truth = make_truth(read_samples(folder / HEARD))
        return name, compare(read_said(folder / SAID), truth, str(folder), HEARD, lag_s)
    except HrdError as error:
        raise HrdError(f"{folder}: {error}") from None


def _engine(comparisons: Sequence[Comparison]) -> str:
    """``pos``, or the name of a network's engine, of all of them."""
    from hrd.errors import HrdError

    names = {one.estimated.engine for one in comparisons if one.estimated is not None}
    if "pos" in names and len(names) > 1:
        raise HrdError("some comparisons are of POS and some of a network: give one kind")
    return next(iter(sorted(names)), "onnx")


def _pulse_free(args: argparse.Namespace, engine: str) -> Samples:
    """Estimates of drawn clips without a pulse, of seeds that no fit of hrd's own has seen."""
    from hrd.engine.select import open_engine
    from hrd.train.calibrate import collect
    from hrd.train.generator import Recipe
    from hrd.train.shards import open_shards, write_shards

    folder = Path(args.drawn)
    recipe = Recipe(frames=_FREE_FRAMES, pulse_free=1.0)
    write_shards(folder, _FREE_SEED, _FREE_CLIPS, recipe, max(1, args.workers))
    opened = open_engine("pos" if engine == "pos" else "onnx", args.model).engine
    try:
        return collect(open_shards(folder), opened)
    finally:
        opened.close()


def _show(held_out: Dict[str, Any], found: Any) -> None:
    rows: List[Tuple[str, Dict[str, Any]]] = [
        ("people left out, hrd's own", held_out["before"]),
        ("people left out, fitted", held_out["after"]),
        ("no pulse, hrd's own", held_out["pulse_free"][0]),
        ("no pulse, fitted", held_out["pulse_free"][1]),
    ]
    print(f"{'':28}{'estimates':>10}{'right':>8}{'mean':>7}{'error':>7}{'said':>8}{'of these':>10}")
    print(f"{'':28}{'':>10}{'':>8}{'conf.':>7}{'of it':>7}{'':>8}{'right':>10}")
    for name, one in rows:
        of_said = one["right_of_published"]
        print(
            f"{name:28}{one['estimates']:10d}{100 * one['right']:6.1f} %"
            f"{one['mean_confidence']:7.2f}{one['ece']:7.3f}{100 * one['published']:6.1f} %"
            f"{'-' if of_said is None else f'{100 * of_said:.1f} %':>10}"
        )
    print(
        f"log odds fitted: {found.offset:+.2f} + {found.slope:.2f} x hrd's own, on"
        f" {held_out['people']} people; log loss {held_out['before']['log_loss']:.3f} before,"
        f" {held_out['after']['log_loss']:.3f} after"
    )
    sys.stdout.flush()


def _write(path: Path, engine: str, fitted: Any, found: Any, held_out: Dict[str, Any]) -> None:
    from hrd.errors import HrdError
    from hrd.estimate.confidence import to_json
    from hrd.evaluation.report import clean
    from hrd.files import write_whole
    from hrd.train.calibrate import laid_out

    name = "pos" if engine == "pos" else "network"
    recipe = (
        f"hrd calibrate on {held_out['people']} people: log odds {found.offset:+.3f} + "
        f"{found.slope:.3f} x those of the confidence that comes with hrd"
    )
    fits = {name: {**to_json(fitted), "held_out": clean(held_out)}}
    text = laid_out({"version": 4, "recipe": recipe, "fits": fits})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise HrdError(f"{path} cannot be written: {error.strerror or error}") from None
