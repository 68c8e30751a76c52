"""``hrd watch``: what a running daemon says, live in the terminal."""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from hrd.client import Client, ClientError, HeartRate, NoDaemonError, decode
from hrd.errors import UsageError
from hrd.paths import SYSTEM_CONFIG
from hrd.protocol import DEFAULT_SOCKET
from hrd.watch.lines import JsonView, SetupView, View, view_for

_RETRY_S = 0.2
_SILENCE_S = 10.0  # the daemon speaks once a second: then something is wrong


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "watch",
        help="live view of a running daemon",
        description=(
            "Shows what a running daemon says: the pulse wave, the rate and why there is none, full"
            " screen in a terminal (q ends it, ? explains); elsewhere one line per reading. A"
            " daemon that goes away is waited for."
        ),
        epilog="example: hrd watch --json --tracking --count 1 | jq .bpm",
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        action="append",
        help=f"the daemon's socket (default: the config's, else {DEFAULT_SOCKET}); several times:"
        " a tab of the full screen for each",
    )
    parser.add_argument(
        "--setup",
        action="store_true",
        help="how the camera sees the face, for setting it up; with --json: its SETUP lines",
    )
    parser.add_argument(
        "--line", action="store_true", help="one line that changes instead of the full screen"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file (default: /etc/hrd/hrd.toml if there is one)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the daemon's readings as they come, unchanged"
    )
    parser.add_argument(
        "--all", action="store_true", help="with --json: every line, not the readings alone"
    )
    parser.add_argument(
        "--count", metavar="N", type=_positive, help="stop after N readings (default: never)"
    )
    parser.add_argument(
        "--tracking",
        action="store_true",
        help="count only the readings that have a bpm; with --json, print only these",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="how long to wait for a daemon that is still starting (default: 0)",
    )
    parser.add_argument(
        "--pid",
        metavar="PID",
        type=_positive,
        help="with --wait: give up when this process has ended, as tail --pid does",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="end with the daemon instead of waiting for the next one, and sum up",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Returns 0 after ``--count`` readings, at Ctrl-C and, with ``--once``, at the daemon's end;
    raises ``ClientError`` if the daemon cannot be reached to begin with."""
    paths: List[str] = args.socket or [configured_socket(args.config)]
    if not (args.json or args.line or args.count or args.tracking) and sys.stdout.isatty():
        from hrd.watch import screen

        if screen.usable():
            return _full_screen(args, paths)
    if len(paths) > 1:
        raise UsageError("several --socket need the full screen of a terminal: give one of them.")
    path = paths[0]
    view = _view(args)
    try:
        connect(path, args.wait, _say, args.pid).close()
        with Client(
            path,
            timeout_s=max(_SILENCE_S, args.wait),
            reconnect=not args.once,
            on_lost=view.lost,
        ) as client:
            follow(client, view, args.count, args.tracking, args.setup)
    except KeyboardInterrupt:
        pass
    except ClientError as error:
        if not (args.once and view.count and error.passing):
            raise
    finally:
        view.close()
    if args.once and not args.json:
        print(summary(view.count, view.rates_bpm))
    return 0


def _full_screen(args: argparse.Namespace, paths: Sequence[str]) -> int:
    """The view that fills the terminal; curses and what it needs are loaded here."""
    from hrd.watch import screen
    from hrd.watch.feed import Feed

    for path in paths:
        connect(path, args.wait, _say, args.pid).close()
    feeds = [Feed(path, args.once, args.setup) for path in paths]
    try:
        screen.show(feeds, args.setup, Path.cwd())
    finally:
        for feed in feeds:
            feed.close()
    if args.once:
        rates_bpm = [bpm for feed in feeds for bpm in feed.rates_bpm]
        print(summary(sum(feed.count for feed in feeds), rates_bpm))
    return 0


def _view(args: argparse.Namespace) -> View:
    if args.json:
        return JsonView(sys.stdout.buffer, args.all, args.tracking, args.setup)
    return SetupView(sys.stdout) if args.setup else view_for(sys.stdout)


def _say(text: str) -> None:
    print(f"hrd: {text}", file=sys.stderr)


def configured_socket(config: Optional[str]) -> str:
    """The socket's path in the config; ``UsageError`` if one is named that is invalid."""
    if config is None and not os.access(SYSTEM_CONFIG, os.R_OK):
        return DEFAULT_SOCKET  # the usual case, without loading what reads a config
    from hrd.config import load_config

    return load_config(config).socket.path


def connect(
    path: str, wait_s: float, say: Callable[[str], object], pid: Optional[int] = None
) -> Client:
    """A client, waiting up to ``wait_s`` for the daemon, and no longer than the process ``pid``
    lives; raises ``ClientError``."""
    deadline_s = time.monotonic() + wait_s
    said = False
    while True:
        try:
            return Client(path, timeout_s=max(_SILENCE_S, wait_s))
        except NoDaemonError:
            if time.monotonic() + _RETRY_S > deadline_s or not _lives(pid):
                raise
            if not said:
                say(f"no daemon at {path} yet; waiting up to {wait_s:g} s")
                said = True
            threading.Event().wait(_RETRY_S)  # nothing tells of a file that appears


def _lives(pid: Optional[int]) -> bool:
    """Whether there is such a process; True for None."""
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def follow(
    client: Client, view: View, count: Optional[int], tracking: bool, setup: bool = False
) -> None:
    """Show the daemon's lines until ``count`` readings have been among them."""
    left = count
    for line in client.lines(setup=setup):
        message = decode(line)
        reading = HeartRate.from_message(message) if message.get("class") == "HR" else None
        view.line(line, reading)
        if left is not None and reading is not None and (reading.tracking or not tracking):
            left -= 1
            if left == 0:
                return


def summary(count: int, rates_bpm: Sequence[float]) -> str:
    """What was seen, in a line: of ``count`` readings, those with a bpm."""
    from statistics import median

    said = f"{count} reading{'' if count == 1 else 's'}, {len(rates_bpm)} with a bpm"
    if not rates_bpm:
        return said
    low, high = min(rates_bpm), max(rates_bpm)
    return f"{said}: median {median(rates_bpm):.1f}, from {low:.1f} to {high:.1f}"


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (value >= 0.0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, not {text!r}")
    return value
