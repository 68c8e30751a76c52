"""``hrd config``: the configuration in force."""

from __future__ import annotations

import argparse

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    add_source_option,
    effective_config,
    origins,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "config",
        help="show the configuration in force",
        description=(
            "Prints the effective configuration as TOML: the defaults, the file over them, the "
            "flags over both. Comments say what each key means, its unit, what is allowed, its "
            "default, and where its value came from if it is not the default. Redirect it to a "
            "file to start your own: hrd config > hrd.toml."
        ),
    )
    parser.add_argument("--bare", action="store_true", help="without the comments")
    add_source_option(parser)
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from hrd.config_text import explained, to_toml

    config = effective_config(args)
    print(to_toml(config) if args.bare else explained(config, origins(args)), end="")
    return 0
