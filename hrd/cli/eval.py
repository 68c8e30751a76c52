"""``hrd eval``: heart-rate errors on data sets, methods side by side."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Optional

from hrd.cli.common import add_config_options, effective_config, set_up_logging
from hrd.paths import expand

_LAYOUTS = (
    "ubfc-rppg",
    "ubfc-rppg-1",
    "pure",
    "cohface",
    "ubfc-phys",
    "mmpd",
    "scamps",
    "simulated",
    "testset",
    "painted",
    "films",
)
_METHODS = ("student", "teacher", "pos", "chrom", "green")
_DIFFICULTIES = ("easy", "typical", "hard", "low-bitrate", "no-pulse", "step", "ramp", "cameras")

_DESCRIPTION = """\
Finds the faces of every recording once, runs every method on them, and compares with the contact
sensor: MAE, RMSE, MAPE, Pearson's r and SNR per whole recording and per window of 10 and 30 s,
with bootstrap intervals by subject; by group and by heart rate; and the live pipeline's readings
with their confidence. Prints Markdown; --out writes that, JSON, a CSV of all windows, and pictures.
"""

_EPILOG = """\
layouts, and what DIR holds:
  ubfc-rppg    UBFC-rPPG DATASET_2   subjectN/{vid.avi, ground_truth.txt}
  ubfc-rppg-1  UBFC-rPPG DATASET_1   NAME/{vid.avi, gtdump.xmp}
  pure         PURE                  01-01/{01-01.json, 01-01/Image<ns>.png}
  cohface      COHFACE               N/{0..3}/{data.avi, data.hdf5}
  ubfc-phys    UBFC-Phys             sN/{vid_sN_Tk.avi, bvp_sN_Tk.csv}
  mmpd         MMPD                  subjectN/pN_i.mat
  scamps       SCAMPS                P000001.mat, ...
  simulated    from hrd simulate     NAME/{vid.avi, ground_truth.txt, recipe.json}
  testset      hrd's frozen simulated test set: no DIR, drawn on first use and kept (--cache)
  painted      a real colour trace on drawn faces: DIR is its .npz (rgb, t, bvp, bvp_t), or a folder
               of such files
  films        your own films, of whom one mean rate each is known: films.csv (a line `file,bpm`,
               then one for each film; bpm empty: no pulse) beside them

examples:
  hrd eval ubfc-rppg ~/data/UBFC/DATASET_2 --out ubfc       our rows under the paper's
  hrd eval testset --difficulty typical --clips 12          a quick look
  hrd eval testset --model "no KD=runs/plain/student.onnx"  two students side by side
  hrd eval films ~/clips --recompress --out clips           also as cheap recorders store them
  hrd eval pure ~/data/PURE --methods student,pos --limit 4 --json | jq '.sections[0].windows'

One bad recording does not end the run: it is reported, left out and counted. Exit codes: 0 done,
1 nothing could be evaluated or a method cannot run, 2 bad usage. docs/evaluation.md has the
protocol.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "eval",
        help="heart-rate errors on data sets, methods side by side",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layout", choices=_LAYOUTS, metavar="LAYOUT", help="see the list below")
    parser.add_argument(
        "dir", nargs="?", metavar="DIR", help="where the data set is (painted: the .npz)"
    )
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        help=f"comma-separated, of {', '.join(_METHODS)} (default: all that are there)",
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        default=[],
        metavar="[LABEL=]PATH",
        help="one more ONNX model from hrd export; may be given again",
    )
    parser.add_argument("--out", metavar="DIR", help="write the report and its pictures there")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="evaluate the first N recordings only"
    )
    parser.add_argument(
        "--reference",
        choices=("bvp", "rate"),
        help=(
            "true heart rate from the reference wave's spectrum, or the rate that the data set "
            "gives (default: bvp; simulated, testset and films: rate)"
        ),
    )
    parser.add_argument(
        "--detector",
        choices=("auto", "blazeface", "mediapipe", "opencv"),
        help="what finds the faces of real video (default: auto)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--difficulty",
        action="append",
        choices=_DIFFICULTIES,
        help="testset: only this one; may be given again (default: easy, typical, hard)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="testset: clips per difficulty (default: 36); painted: faces per kind (default: 2)",
    )
    parser.add_argument(
        "--recompress",
        action="store_true",
        help="films: each also as cheap recorders store it, in MPEG-4 at 256 kb/s and 20 fps and "
        "in H.264 at 300 kb/s",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="where drawn clips are kept, 7 to 12 MB each (default: hrd/eval in the user's cache)",
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and write if asked to."""
    from hrd.errors import HrdError, UsageError

    try:
        import scipy  # noqa: F401 - the filters of the protocols
    except ImportError:
        from hrd.missing import pip_install

        raise HrdError(f"Evaluation needs SciPy: {pip_install('hrd[eval]')}") from None
    from tqdm import tqdm

    from hrd.evaluation.methods import choose_methods
    from hrd.evaluation.report import markdown, write
    from hrd.evaluation.runner import RecordingResult
    from hrd.evaluation.session import Choice, evaluate, make_plan

    set_up_logging(args.log_level or "warning")
    config = effective_config(args)
    if args.workers < 1:
        raise UsageError(f"--workers {args.workers}: at least 1 is needed")
    names = args.methods.split(",") if args.methods is not None else None
    if names is not None:
        names = [name.strip() for name in names if name.strip()]
    specs, left_out = choose_methods(names, args.models)
    plan = make_plan(
        Choice(
            args.layout,
            args.dir,
            args.limit,
            args.difficulty,
            args.clips,
            args.cache,
            args.recompress,
        )
    )
    bar = tqdm(
        total=len(plan.entries), unit=" recording", desc=args.layout, file=sys.stderr, disable=None
    )

    def on_result(result: RecordingResult) -> None:
        if result.problem is not None:
            bar.write(f"hrd: left out: {result.problem}", file=sys.stderr)
        bar.set_postfix_str(result.name, refresh=False)
        bar.update()

    # frames tick in a second, passing bar: a recording of a minute takes a while
    ticks: Optional[tqdm] = None
    if args.workers == 1:
        ticks = tqdm(
            unit=" frames", file=sys.stderr, disable=None, leave=False, mininterval=0.5, position=1
        )
    try:
        report, results = evaluate(
            plan,
            specs,
            config.pipeline(),
            reference=args.reference,
            detector=config.face.detector,
            workers=args.workers,
            notes=left_out,
            on_result=on_result,
            on_frame=ticks.update if ticks is not None else None,
        )
    finally:
        if ticks is not None:
            ticks.close()
        bar.close()
    if args.json:
        print(json.dumps(report, separators=(",", ":"), allow_nan=False), flush=True)
    else:
        print(markdown(report), end="", flush=True)
    if args.out is not None:
        for path in write(expand(args.out), report, results):
            print(f"wrote {path}", file=sys.stderr)
    return 0
