"""``hrd web``: what a running daemon says, in a browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Optional

from hrd.errors import UsageError
from hrd.protocol import DEFAULT_SOCKET

_LEAST_TOKEN_CHARS = 16


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "web",
        help="live view of a running daemon in a browser",
        description=(
            "Serves one page that shows what a running daemon says, and an overlay for OBS at"
            " /overlay. It listens on this machine alone unless --listen says otherwise; then who"
            " looks needs a token, which is part of the address that is printed. No picture of"
            " anyone is sent. A daemon that goes away is waited for. Ctrl-C ends it."
        ),
        epilog="example: hrd web --listen 0.0.0.0:8088",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default="127.0.0.1:8088",
        help="where to listen (default: 127.0.0.1:8088)",
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help=f"the daemon's socket (default: the config's, else {DEFAULT_SOCKET})",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file (default: /etc/hrd/hrd.toml if there is one)"
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file with the token to ask for (default: none on this machine alone, else one that"
        " is made at each start)",
    )
    parser.add_argument(
        "--name",
        metavar="HOST",
        action="append",
        default=[],
        help="a further name under which this machine is reached; several times for several",
    )
    parser.add_argument(
        "--max-viewers",
        metavar="N",
        type=int,
        default=64,
        help="pages that may be open at once (default: 64)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; raises ``HrdError``."""
    import asyncio

    from hrd.cli.watch import configured_socket
    from hrd.web.guard import Guard, own_names, parse_listen

    listen = parse_listen(args.listen)
    if not 1 <= args.max_viewers <= 1000:
        raise UsageError(f"--max-viewers must be between 1 and 1000, not {args.max_viewers}")
    token = _token(args.token_file)
    made = token is None and not listen.loopback
    if made:
        import secrets

        token = secrets.token_urlsafe(18)
    names = own_names() | {name.lower() for name in args.name}
    guard = Guard(listen.loopback and not args.name, token, frozenset(names))
    path = args.socket or configured_socket(args.config)

    from hrd.web.main import serve

    return asyncio.run(serve(path, listen, guard, args.max_viewers, made, _say))


def _say(text: str) -> None:
    print(f"hrd: {text}", file=sys.stderr, flush=True)


def _token(path: Optional[str]) -> Optional[str]:
    """The token in a file; ``UsageError`` if it is none, or others may read it."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
        mode = os.stat(path).st_mode
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the token file {path} cannot be read: {why}") from None
    if mode & 0o004:
        raise UsageError(f"everybody may read the token file {path}: chmod o-r {path}")
    if len(text) < _LEAST_TOKEN_CHARS or not text.isprintable() or " " in text:
        raise UsageError(
            f"the token in {path} must be one word of {_LEAST_TOKEN_CHARS} characters at least: "
            "openssl rand -hex 16"
        )
    return text
