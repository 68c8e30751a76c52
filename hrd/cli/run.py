"""``hrd run``: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    add_file_options,
    add_source_option,
    effective_config,
    set_up_logging,
)
from hrd.cli.parser import Parser


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "run",
        help="the daemon: camera in, readings out on a UNIX socket",
        description=(
            "Reads a camera and offers heart-rate readings on a UNIX socket, until SIGTERM or\n"
            "Ctrl-C (or the end of a video file). See them with: hrd watch."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if isinstance(parser, Parser):
        parser.late_epilog = _epilog
    add_source_option(parser)
    parser.add_argument("--loop", action="store_true", help="play a video file again and again")
    parser.add_argument(
        "--socket", metavar="PATH", help="where to listen (default: /run/hrd/hrd.sock)"
    )
    parser.add_argument(
        "--persist",
        action="store_true",
        help=(
            "as a service does: wait for a camera that is not there yet instead of giving up, and "
            "never use the simulated one in its place"
        ),
    )
    add_file_options(parser)
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def _epilog() -> str:
    from hrd.cli.help import sources_text

    return (
        "example without a camera: hrd run --source sim:bpm=72 --socket /tmp/hrd.sock\n\n"
        f"what --source takes:\n{sources_text()}"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    # before NumPy is loaded: its matrices are small, and a pool of threads costs memory
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config = effective_config(args)
    set_up_logging(config.log.level, limited=True)
    if not args.persist:  # a service waits for what is not there yet
        from hrd.capture.open import check_spec

        check_spec(config.source.spec)
    from hrd.service.serve import serve

    if not serve(config, args.persist, lambda: effective_config(args)):
        # a thread that hangs in a driver would hang the interpreter's own end as well
        logging.shutdown()
        sys.stderr.flush()
        os._exit(0)
    return 0
