"""``hrd config``: the configuration in force."""

from __future__ import annotations

import argparse

from hrd.cli.common import add_config_options, add_engine_options, effective_config
from hrd.config import to_toml


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "config",
        help="show the configuration in force",
        description=(
            "Prints the effective configuration as TOML: the defaults, the file over them, the "
            "flags over both. Redirect it to a file to start your own: hrd config > hrd.toml."
        ),
    )
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(to_toml(effective_config(args)), end="")
    return 0
