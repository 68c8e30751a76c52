"""``hrd bench``: seconds per frame on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    effective_config,
    set_up_logging,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bench",
        help="seconds per frame: models, engines and every stage of the pipeline",
        description=(
            "Times every model and engine at hand, and the live pipeline stage by stage, next to "
            "the paper's figures for a Jetson Nano. Close other programs first; on a Jetson, set "
            "the power mode you will run with (nvpmodel, jetson_clocks)."
        ),
        epilog="example: hrd bench --json > bench.json",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="how long each model is timed (default: 5)",
    )
    parser.add_argument(
        "--source",
        metavar="FILE",
        help="video for the pipeline (default: 20 s of a drawn face, 640x480 MJPEG at 30 fps)",
    )
    parser.add_argument(
        "--chunk", type=int, default=30, metavar="FRAMES", help="frames per chunk (default: 30)"
    )
    parser.add_argument("--plot", metavar="DIR", help="a picture of it, bench.png, in this folder")
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from tqdm import tqdm

    from hrd.bench.clip import write_clip_apart
    from hrd.bench.device import describe
    from hrd.bench.live import time_pipeline
    from hrd.bench.models import time_models
    from hrd.bench.report import as_json, as_text
    from hrd.errors import UsageError

    if not 0.1 <= args.seconds <= 600.0:
        raise UsageError(f"--seconds must be between 0.1 and 600, not {args.seconds:g}")
    if not 1 <= args.chunk <= 3000:
        raise UsageError(f"--chunk must be between 1 and 3000 frames, not {args.chunk}")
    if args.plot is not None:
        from hrd.plots.bench import draw_bench
        from hrd.plots.style import folder_of

        picture = folder_of(args.plot, "--plot") / "bench.png"
    set_up_logging(args.log_level or "error")
    source, args.source = args.source, None
    config = effective_config(args)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hrd-bench-") as folder:
        if source is None:
            source = os.path.join(folder, "face.avi")
            with _bar(tqdm, "drawing a face"):
                write_clip_apart(source, 20.0)
        # the pipeline first: its memory is then its own and not the teacher's
        with _bar(tqdm, "live pipeline") as bar:
            live = time_pipeline(source, config, on_frame=bar.update)
    with _bar(tqdm, "models") as bar:
        models = time_models(
            args.seconds,
            args.chunk,
            config.engine.threads,
            on_model=lambda _: bar.update(),
            tensorrt=config.engine.tensorrt,
            build=config.engine.name == "tensorrt",
        )
    device = describe()
    if args.json:
        print(json.dumps(as_json(models, live, device), allow_nan=False))
    else:
        print(as_text(models, live, device))
    if args.plot is not None:
        draw_bench(picture, as_json(models, live, device))
        print(f"hrd: drew {picture}", file=sys.stderr)
    return 0


def _bar(tqdm, what):  # type: ignore[no-untyped-def]
    return tqdm(desc=what, file=sys.stderr, disable=None, leave=False, mininterval=0.5)
