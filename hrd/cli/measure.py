"""``hrd measure``: heart rate of video files."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Optional

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    add_file_options,
    effective_config,
    set_up_logging,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "measure",
        help="heart rate of video files",
        description=(
            "Runs the daemon's own pipeline over video files, as fast as it goes. Prints the "
            "readings second by second and the whole clip's heart rate; where hrd is not sure, "
            "it prints why instead."
        ),
        epilog="example: hrd measure clip.mp4 --json | jq .bpm",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="video file, or sim:seconds=20")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line")
    parser.add_argument("--ppg", action="store_true", help="with --json: the waveform too")
    add_file_options(parser)
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every file; 1 if any could not be read."""
    from tqdm import tqdm

    from hrd.capture.address import shown_address
    from hrd.engine.select import open_engine
    from hrd.errors import HrdError
    from hrd.face.detect import open_detector
    from hrd.measure import Measurement, measure_file

    set_up_logging(args.log_level or "warning")
    config = effective_config(args)
    engine = config.engine
    selection = open_engine(
        engine.name, engine.model, engine.threads, engine.tensorrt, config.pipeline().hop_frames
    )
    detector = open_detector(config.face.detector)
    failed = False
    for path in args.files:
        result: Optional[Measurement] = None
        with tqdm(
            desc=shown_address(path),
            unit=" frames",
            file=sys.stderr,
            disable=None,
            leave=False,
            mininterval=0.5,
        ) as bar:
            try:
                result = measure_file(
                    path,
                    detector,
                    selection,
                    config,
                    on_frame=lambda _: bar.update(),  # noqa: B023 - called within this turn only
                    keep_pulse=args.json and args.ppg,
                )
            except HrdError as error:
                failed = True
                message = str(error)
        if result is None:
            print(f"hrd: {message}", file=sys.stderr)
            if args.json:
                refusal = {"file": shown_address(path), "error": message}
                print(json.dumps(refusal, separators=(",", ":")), flush=True)
        elif args.json:
            print(json.dumps(result.as_json(), separators=(",", ":"), allow_nan=False), flush=True)
        else:
            _print(result)
    selection.engine.close()
    detector.close()
    return 1 if failed else 0


def _print(result) -> None:  # type: ignore[no-untyped-def]
    fps = f", {result.fps:.2f} fps" if result.fps else ""
    engine = result.engine + (f", {result.model}" if result.model else "")
    print(f"{result.file}: {result.seconds:.1f} s{fps} ({engine})")
    for reading in result.readings:
        if reading.bpm is not None:
            said = f"{reading.bpm:6.1f} bpm  confidence {reading.confidence:.2f}"
        else:
            said = f"{'-':>6}      {reading.state.value}: {reading.reason.value}"
        print(f"  {reading.time_s:7.1f} s  {said}")
    if result.bpm is not None:
        print(f"  whole clip: {result.bpm:.1f} bpm, confidence {result.confidence:.2f}")
    elif result.cuts_s:
        cuts = ", ".join(f"{time_s:.1f} s" for time_s in result.cuts_s[:3])
        print(f"  whole clip: no bpm; it is cut (at {cuts}), and its parts do not tell one rate")
    else:
        print("  whole clip: no bpm; the signal does not support one")
