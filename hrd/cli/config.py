"""``hrd config``: the configuration in force."""

from __future__ import annotations

import argparse
import dataclasses
import sys

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
            "file to start your own: hrd config > hrd.toml. The address of a camera is printed "
            "without user, password and what else in it may be secret."
        ),
    )
    parser.add_argument("--bare", action="store_true", help="without the comments")
    parser.add_argument(
        "--show-secrets", action="store_true", help="print the camera's address as it is"
    )
    add_source_option(parser)
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from hrd.capture.address import printable, shown_address
    from hrd.config_text import explained, to_toml

    config = effective_config(args)
    shown = shown_address(config.source.spec)
    if shown != printable(config.source.spec) and not args.show_secrets:
        config = dataclasses.replace(config, source=dataclasses.replace(config.source, spec=shown))
        print(
            "hrd: the camera's address is printed without what is secret in it; "
            "--show-secrets prints it as it is.",
            file=sys.stderr,
        )
    print(to_toml(config) if args.bare else explained(config, origins(args)), end="")
    return 0
