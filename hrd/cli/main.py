"""The ``hrd`` command: one module per subcommand, each loaded when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from typing import List, Optional, Sequence

from hrd import __version__
from hrd.cli.parser import Parser, first_word
from hrd.cli.shown import without_secrets
from hrd.cli.streams import OutputError, give_up_output, prepare
from hrd.errors import HrdError, Kind

COMMANDS = (
    "run",
    "watch",
    "web",
    "measure",
    "bench",
    "doctor",
    "config",
    "service",
    "build-engine",
    "simulate",
    "train",
    "export",
    "reproduce",
    "eval",
    "record",
    "compare",
    "calibrate",
    "record-set",
    "help",
    "completion",
)


def build_parser(command: Optional[str] = None) -> Parser:
    """The whole command line, or only what is needed to read one command's."""
    parser = Parser(
        prog="hrd",
        description=(
            "A real-time heart-rate daemon: a camera sees a face, a small network reads the pulse "
            "in its skin, and a UNIX socket offers the bpm, or says why there is none."
        ),
        epilog=(
            "Start with: hrd doctor; hrd run; and in another terminal hrd watch. "
            "hrd help tells about more than commands."
        ),
    )
    parser.add_argument("--version", action="version", version=f"hrd {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in COMMANDS if command is None else (command,):
        module = importlib.import_module(f"hrd.cli.{name.replace('-', '_')}")
        module.add_parser(subparsers)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Exit codes: 0 done, 1 a failure said in one sentence on stderr, 2 bad usage."""
    prepare()
    words = sys.argv[1:] if argv is None else argv
    try:
        try:
            return _run(words)
        finally:
            if sys.exc_info()[0] is not BrokenPipeError:
                sys.stdout.flush()
    except OutputError as error:
        give_up_output()
        _complain(str(error), words)
        return 1
    except HrdError as error:
        _complain(str(error), words)
        return 2 if error.kind is Kind.USAGE else 1
    except ImportError as error:
        from hrd.missing import sentence

        _complain(sentence(error), words)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has gone
        give_up_output()
        return 0
    except OSError as error:  # a file or folder that no command has foreseen
        _debug("where it happened")
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}", words)
        return 1


def _complain(sentence: str, words: Sequence[str]) -> None:
    print(f"hrd: {without_secrets(sentence, words)}", file=sys.stderr)


def _debug(text: str) -> None:
    """For --log-level debug: the traceback of what is being handled."""
    import logging

    logging.getLogger(__name__).debug(text, exc_info=True)


def _run(argv: List[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
        from hrd.cli.completion import complete

        complete(build_parser())
    Parser.words = argv
    parser = build_parser(first_word(argv, COMMANDS))
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help()
        return 2
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
