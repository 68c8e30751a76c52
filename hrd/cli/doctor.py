"""``hrd doctor``: what works here, and what to do about the rest."""

from __future__ import annotations

import argparse
import json
import sys

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    add_source_option,
    effective_config,
    set_up_logging,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what works on this machine, and what to do about the rest",
        description=(
            "Looks at everything that hrd run needs and says what mends what is missing. Exits "
            "with 1 if hrd run could not run. With --camera it watches the chosen camera for ten "
            "seconds instead, as hrd run would, and says what to change about rate, exposure, "
            "light and face; sit still in front of it meanwhile."
        ),
    )
    parser.add_argument("--json", action="store_true", help="a list of findings as JSON")
    parser.add_argument(
        "--camera",
        action="store_true",
        help="watch the camera for ten seconds: rate, exposure, light, face, signal",
    )
    add_source_option(parser)
    parser.add_argument("--socket", metavar="PATH", help="as for hrd run")
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine and print."""
    from hrd.doctor import Verdict, examine, examine_camera

    set_up_logging(args.log_level or "error")
    config = effective_config(args)
    findings = []
    colours = {Verdict.OK: "32", Verdict.WARN: "33", Verdict.FAIL: "31"}
    if args.camera and not args.json:
        print("watching for ten seconds: sit still in front of the camera", file=sys.stderr)
    for finding in examine_camera(config) if args.camera else examine(config):
        findings.append(finding)
        if args.json:
            continue
        mark = finding.verdict.value
        if sys.stdout.isatty():
            mark = f"\033[{colours[finding.verdict]}m{mark}\033[0m" + " " * (4 - len(mark))
        print(f"{mark:4}  {finding.topic:10} {finding.text}", flush=True)
        if finding.remedy:
            print(f"{'':16} -> {finding.remedy}", flush=True)
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings)
    if args.json:
        rows = [
            {
                "topic": f.topic,
                "verdict": f.verdict.value,
                "text": f.text,
                "remedy": f.remedy,
                "values": f.values,
            }
            for f in findings
        ]
        print(json.dumps([{k: v for k, v in row.items() if v is not None} for row in rows]))
    elif args.camera:
        warned = any(finding.verdict is not Verdict.OK for finding in findings)
        print("change what is marked" if warned else "nothing is to be changed")
    elif failed:
        print("hrd run could not run here: mend what is marked fail")
    else:
        print("hrd run can run here")
    return 1 if failed else 0
