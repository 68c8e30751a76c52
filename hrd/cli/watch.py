"""``hrd watch``: what a running daemon says, live in the terminal."""

from __future__ import annotations

import argparse
import array
import math
import os
import shutil
import sys
import threading
import time
from collections import deque
from typing import BinaryIO, Callable, Deque, List, Optional, Sequence, TextIO, Tuple

from hrd.client import Client, ClientError, HeartRate, NoDaemonError, decode
from hrd.paths import SYSTEM_CONFIG
from hrd.protocol import DEFAULT_SOCKET
from hrd.words import REASONS, STATES

_RETRY_S = 0.2
_SILENCE_S = 10.0  # the daemon speaks once a second: then something is wrong
_HISTORY = 30  # readings in the little curve
_BAR_CELLS = 10


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "watch",
        help="live view of a running daemon",
        description=(
            "Shows what a running daemon says: one line that changes in a terminal, one line per"
            " reading elsewhere. A daemon that goes away is waited for. Ctrl-C ends it."
        ),
        epilog="example: hrd watch --json --tracking --count 1 | jq .bpm",
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
    view: View = (
        JsonView(sys.stdout.buffer, args.all, args.tracking) if args.json else view_for(sys.stdout)
    )
    try:
        path = args.socket or _configured(args.config)
        connect(path, args.wait, _say, args.pid).close()
        with Client(
            path,
            timeout_s=max(_SILENCE_S, args.wait),
            reconnect=not args.once,
            on_lost=view.lost,
        ) as client:
            follow(client, view, args.count, args.tracking)
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


def _say(text: str) -> None:
    print(f"hrd: {text}", file=sys.stderr)


def _configured(config: Optional[str]) -> str:
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


def follow(client: Client, view: View, count: Optional[int], tracking: bool) -> None:
    """Show the daemon's lines until ``count`` readings have been among them."""
    left = count
    for line in client.lines():
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


class View:
    """One line of text per reading: for files, pipes and logs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.count = 0
        self.rates_bpm = array.array("f")  # of days, if need be

    def line(self, line: bytes, reading: Optional[HeartRate]) -> None:
        """A line of the daemon, and the reading in it if it holds one."""
        if reading is not None:
            self.tally(reading)
            self.show(reading)

    def tally(self, reading: HeartRate) -> None:
        """Count it, for the summary."""
        self.count += 1
        if reading.bpm is not None:
            self.rates_bpm.append(reading.bpm)

    def show(self, reading: HeartRate) -> None:
        self._out.write(plain_line(reading) + "\n")
        self._out.flush()

    def lost(self, error: ClientError) -> None:
        """The daemon is gone and is waited for."""
        self._out.write(f"{_stamp(time.time())}  {_LOST}\n")
        self._out.flush()

    def close(self) -> None:
        """Leave the terminal as it should be; may be called twice."""


class JsonView(View):
    """The daemon's lines, byte for byte: readings (those with a bpm only if ``tracking``), or
    ``everything``."""

    def __init__(self, out: BinaryIO, everything: bool, tracking: bool) -> None:
        super().__init__(sys.stderr)
        self._raw = out
        self._everything = everything
        self._tracking = tracking

    def line(self, line: bytes, reading: Optional[HeartRate]) -> None:
        if reading is not None:
            self.tally(reading)
        wanted = reading is not None and (reading.tracking or not self._tracking)
        if self._everything or wanted:
            self._raw.write(line)
            self._raw.flush()

    def lost(self, error: ClientError) -> None:
        _say(f"{error} Waiting for it.")


class LiveView(View):
    """One line that changes, as wide as the terminal allows.

    ``fancy``: the terminal can show block characters; ``bold``: it understands text attributes.
    """

    def __init__(self, out: TextIO, fancy: bool, bold: bool) -> None:
        super().__init__(out)
        self._fancy = fancy
        self._bold = bold
        self._recent_bpm: Deque[Optional[float]] = deque(maxlen=_HISTORY)
        self._shown = False

    def show(self, reading: HeartRate) -> None:
        self._recent_bpm.append(reading.bpm if reading.tracking else None)
        line = live_line(reading, list(self._recent_bpm), _width(), self._fancy, self._bold)
        self._draw(line)

    def lost(self, error: ClientError) -> None:
        self._draw(_LOST[: _width()])

    def _draw(self, line: str) -> None:
        self._shown = True  # first: Ctrl-C may come at any time
        self._out.write("\r" + line + "\x1b[K")
        self._out.flush()

    def close(self) -> None:
        if self._shown:
            self._out.write("\n")
            self._out.flush()
            self._shown = False


_LOST = "no bpm: the daemon is gone; waiting for it"


def _width() -> int:
    return shutil.get_terminal_size().columns - 1  # the last column would wrap


def view_for(out: TextIO) -> View:
    """The view that suits the output."""
    if not out.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return View(out)
    fancy = (out.encoding or "").lower().replace("-", "") == "utf8"
    return LiveView(out, fancy=fancy, bold="NO_COLOR" not in os.environ)


def plain_line(reading: HeartRate) -> str:
    """A reading as a line of a log, with the local time of its newest frame."""
    parts = [_stamp(reading.time_s), _headline(reading)]
    return "  ".join(parts + [text for text in _details(reading) if text])


def _stamp(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))


def live_line(
    reading: HeartRate, recent_bpm: List[Optional[float]], width: int, fancy: bool, bold: bool
) -> str:
    """The line of the live view, at most ``width`` characters wide.

    What matters least goes first when the terminal is narrow: the curve, then the details from
    the right; the headline is cut last.
    """
    parts = [("♥ " if fancy and reading.tracking else "") + _headline(reading)]
    if reading.tracking and reading.confidence is not None:
        parts.append(_bar(reading.confidence, fancy) + f" {100 * reading.confidence:3.0f} %")
        parts.append(STATES["tracking"])
    parts += [text for text in _details(reading, confidence=False) if text]
    if fancy and sum(bpm is not None for bpm in recent_bpm) >= 2:
        parts.append(sparkline(recent_bpm))
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts.pop()
    parts[0] = parts[0][: max(0, width)]
    if bold:
        parts[0] = f"\x1b[1m{parts[0]}\x1b[0m"
    return "  ".join(parts)


def sparkline(values: List[Optional[float]]) -> str:
    """A curve of eight heights between the least and the greatest value (10 bpm apart at least,
    so that calm looks calm); a gap where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high - low < 10.0:
        middle = (low + high) / 2.0
        low, high = middle - 5.0, middle + 5.0
    blocks = "▁▂▃▄▅▆▇█"
    top = len(blocks) - 1
    return "".join(
        " " if value is None else blocks[round(top * (value - low) / (high - low))]
        for value in values
    ).lstrip()


def _headline(reading: HeartRate) -> str:
    if reading.tracking:
        return f"{reading.bpm:5.1f} bpm"
    state = STATES.get(reading.state, reading.state)
    if reading.reason is None:
        return f"no bpm: {state}"
    known = REASONS.get(reading.reason)
    return f"no bpm: {state}, {known.short if known else reading.reason}"


def _details(reading: HeartRate, confidence: bool = True) -> Tuple[str, ...]:
    return (
        f"confidence {reading.confidence:.2f}"
        if confidence and reading.confidence is not None
        else "",
        f"snr {reading.snr_db:.1f} dB" if reading.snr_db is not None else "",
        f"{reading.fps:.1f} fps" if reading.fps is not None else "",
    )


def _bar(share: float, fancy: bool) -> str:
    cells = int(round(_BAR_CELLS * min(1.0, max(0.0, share))))
    full, empty = ("█", "░") if fancy else ("#", ".")
    return full * cells + empty * (_BAR_CELLS - cells)


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
