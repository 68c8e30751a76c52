"""``hrd record-set``: record one person beside an oximeter, on their explicit wish."""

from __future__ import annotations

import argparse
import re
import sys
import threading

from hrd.paths import expand


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "record-set",
        help="record face video beside an oximeter, in UBFC-rPPG's layout (KEEPS VIDEO)",
        description=(
            "Walks a person through a set of recordings: camera check, oximeter, then some minutes "
            "each of sitting still, talking, turning the head, and after stairs. THIS COMMAND "
            "KEEPS VIDEO OF A FACE, in the folder given by --into and nowhere else: record nobody "
            "without their consent, and see docs/recordings.md. Writes TASK/NAME/{vid.avi, "
            "ground_truth.txt, reference.csv}: each TASK is a data set for hrd eval ubfc-rppg, hrd "
            "train --recordings and hrd reproduce --own."
        ),
        epilog=(
            "example: hrd record-set 07 --into /media/encrypted/set --source /dev/video0 "
            "--reference cms50:/dev/ttyUSB0"
        ),
    )
    parser.add_argument("name", metavar="NAME", help="a number or code for the person, not a name")
    parser.add_argument("--into", metavar="DIR", required=True, help="the folder to keep it in")
    parser.add_argument(
        "--source", metavar="SOURCE", default="auto", help="the camera (default: the first one)"
    )
    parser.add_argument(
        "--reference", metavar="DEVICE", required=True, help="the oximeter: cms50:/dev/ttyUSB0"
    )
    parser.add_argument(
        "--minutes", type=float, default=2.0, metavar="N", help="length of each part (2)"
    )
    parser.add_argument(
        "--tasks",
        default="still,talk,turn,stairs",
        metavar="NAMES",
        help="which parts, comma-separated (still,talk,turn,stairs)",
    )
    parser.add_argument(
        "--consent", action="store_true", help="the person has agreed: do not ask again"
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for Enter before each part"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, check, record; 1 if the camera will not do, 130 if it was stopped."""
    from hrd.capture.open import first_camera, open_source
    from hrd.capture.options import CaptureOptions
    from hrd.capture.paced import PacedSource
    from hrd.capture.source import FrameSource
    from hrd.devices.open import open_reference
    from hrd.devices.sample import Device
    from hrd.errors import HrdError, UsageError
    from hrd.face.detect import open_detector
    from hrd.recordset import check_camera, record_task, tasks_named

    if not re.fullmatch(r"[\w-]{1,40}", args.name):
        raise UsageError("NAME must be of letters, digits, _ and -, such as 07")
    if not 0.1 <= args.minutes <= 60.0:
        raise UsageError(f"--minutes must be between 0.1 and 60, not {args.minutes:g}")
    tasks = tasks_named(args.tasks.split(","))
    device = open_reference(args.reference)
    if not isinstance(device, Device):
        raise UsageError("--reference must be a device that is read live: cms50:/dev/ttyUSB0")
    spec = args.source if args.source != "auto" else first_camera()
    if spec is None:
        raise HrdError("there is no camera: plug one in, or name it with --source")
    into = expand(args.into)
    print(
        f"This keeps VIDEO of the person's face, and their pulse, in {into}. Nothing is kept "
        f"elsewhere or sent. To remove it: rm -r {into}/*/{args.name}"
    )
    if not args.consent and input("Does the person agree? Type yes: ").strip().lower() != "yes":
        print("nothing was recorded")
        return 1
    stop = threading.Event()

    def camera() -> FrameSource:
        source = open_source(spec, CaptureOptions())
        return source if source.live else PacedSource(source, stop)

    detector = open_detector("auto")
    with camera() as source:
        checked = check_camera(source, detector)
    detector.close()
    faces = f"{100 * checked.faces:.0f} %"
    print(f"camera: {checked.fps:.1f} pictures a second, a face in {faces} of them")
    if checked.problem is not None:
        raise HrdError(checked.problem)
    for task in tasks:
        print(f"\n{task.name}, {args.minutes:g} minutes: {task.asked}", flush=True)
        if not args.no_wait:
            input("Finger in the oximeter, hand still. Press Enter to begin: ")

        def told(passed_s: float) -> None:
            if sys.stderr.isatty():
                whole_s = 60.0 * args.minutes
                print(f"\r{passed_s:.0f} of {whole_s:.0f} s ", end="", file=sys.stderr, flush=True)

        with camera() as source:
            folder = record_task(
                into / task.name / args.name, source, device, 60.0 * args.minutes, told
            )
        print(f"kept: {folder}")
    first = tasks[0].name
    print(
        f"\nnext: hrd eval ubfc-rppg {into / first}; to remove it all: rm -r {into}/*/{args.name}"
    )
    return 0
