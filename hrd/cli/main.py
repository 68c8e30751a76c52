"""The ``hrd`` command: one module per subcommand, heavy imports only in the one that runs."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from hrd import __version__
from hrd.cli import (
    bench,
    build_engine,
    config,
    doctor,
    eval,
    export,
    measure,
    run,
    service,
    simulate,
    train,
    watch,
)
from hrd.errors import HrdError, UsageError

_COMMANDS = (
    run,
    watch,
    measure,
    bench,
    doctor,
    config,
    service,
    build_engine,
    simulate,
    train,
    export,
    eval,
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="hrd",
        description=(
            "A real-time heart-rate daemon: a camera sees a face, a small network reads the pulse "
            "in its skin, and a UNIX socket offers the bpm, or says why there is none."
        ),
        epilog="Start with: hrd doctor; hrd run; and in another terminal hrd watch.",
    )
    parser.add_argument("--version", action="version", version=f"hrd {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Exit codes: 0 done, 1 a failure said in one sentence on stderr, 2 bad usage."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help()
        return 2
    try:
        return int(args.run(args))
    except UsageError as error:
        print(f"hrd: {error}", file=sys.stderr)
        return 2
    except HrdError as error:
        print(f"hrd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; keep Python from complaining once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
