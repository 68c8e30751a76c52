"""``hrd watch``: what a running daemon says, live in the terminal."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import time
from collections import deque
from typing import BinaryIO, Deque, List, Optional, TextIO, Tuple

from hrd.client import Client, HeartRate, NoDaemonError, decode
from hrd.paths import SYSTEM_CONFIG
from hrd.protocol import DEFAULT_SOCKET

_RETRY_S = 0.2
_SILENCE_S = 10.0  # the daemon speaks once a second: then something is wrong
_HISTORY = 30  # readings in the little curve
_BAR_CELLS = 10

_STATES = {
    "no_camera": "no camera",
    "no_face": "no face",
    "warming_up": "warming up",
    "tracking": "tracking",
    "unsure": "unsure",
}

_REASONS = {
    "CAMERA_LOST": "the camera is gone",
    "NO_FACE": "nobody to be seen",
    "FACE_TOO_SMALL": "the face is too small: come closer",
    "TOO_DARK": "too dark: turn on a light",
    "TOO_BRIGHT": "too bright: less light, or away from the window",
    "MOTION": "too much movement: sit still",
    "LOW_FRAME_RATE": "the camera delivers too few frames",
    "WEAK_SIGNAL": "the pulse is too weak to be sure",
    "FILLING_WINDOW": "collecting the first seconds",
}


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "watch",
        help="live view of a running daemon",
        description=(
            "Shows what a running daemon says: one line that changes in a terminal, one line per"
            " reading elsewhere. Ctrl-C ends it."
        ),
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
        "--json", action="store_true", help="print the daemon's lines as they come, unchanged"
    )
    parser.add_argument(
        "--count", metavar="N", type=_positive, help="stop after N readings (default: never)"
    )
    parser.add_argument(
        "--tracking", action="store_true", help="count only the readings that have a bpm"
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="how long to wait for a daemon that is still starting (default: 0)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Returns 0 after ``--count`` readings, at Ctrl-C, and when nobody reads the output any more;
    raises ``ClientError`` if the daemon cannot be reached or goes away."""
    try:
        client = connect(args.socket or _configured(args.config), args.wait)
        with client:
            if args.json:
                pass_through(client, sys.stdout.buffer, args.count, args.tracking)
            else:
                show(client, view_for(sys.stdout), args.count, args.tracking)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit: let it flush into nothing.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return 0
    return 0


def _configured(config: Optional[str]) -> str:
    """The socket's path in the config; ``UsageError`` if one is named that cannot be meant."""
    if config is None and not os.access(SYSTEM_CONFIG, os.R_OK):
        return DEFAULT_SOCKET  # the usual case, without loading what reads a config
    from hrd.config import load_config

    return load_config(config).socket.path


def connect(path: str, wait_s: float) -> Client:
    """A client, waiting up to ``wait_s`` for the daemon; raises ``ClientError``."""
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            return Client(path, timeout_s=max(_SILENCE_S, wait_s))
        except NoDaemonError:
            if time.monotonic() + _RETRY_S > deadline_s:
                raise
            time.sleep(_RETRY_S)  # a file's appearing cannot be waited for with less


def pass_through(client: Client, out: BinaryIO, count: Optional[int], tracking: bool) -> None:
    """Copy the daemon's lines, byte for byte, until ``count`` readings have been among them."""
    left = count
    for line in client.lines():
        out.write(line)
        out.flush()
        if left is None:
            continue
        message = decode(line)
        if message.get("class") == "HR" and (not tracking or message.get("state") == "tracking"):
            left -= 1
            if left == 0:
                return


def show(client: Client, view: View, count: Optional[int], tracking: bool) -> None:
    """Show readings until ``count`` of them have come."""
    left = count
    try:
        for reading in client:
            view.show(reading)
            if left is not None and (reading.tracking or not tracking):
                left -= 1
                if left == 0:
                    return
    finally:
        view.close()


class View:
    """One line of text per reading: for files, pipes and logs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, reading: HeartRate) -> None:
        self._out.write(plain_line(reading) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Leave the terminal as it should be."""


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
        width = shutil.get_terminal_size().columns - 1  # the last column would wrap
        line = live_line(reading, list(self._recent_bpm), width, self._fancy, self._bold)
        self._shown = True  # first: Ctrl-C may come at any time
        self._out.write("\r" + line + "\x1b[K")
        self._out.flush()

    def close(self) -> None:
        if self._shown:
            self._out.write("\n")
            self._out.flush()
            self._shown = False


def view_for(out: TextIO) -> View:
    """The view that suits the output."""
    if not out.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return View(out)
    fancy = (out.encoding or "").lower().replace("-", "") == "utf8"
    return LiveView(out, fancy=fancy, bold="NO_COLOR" not in os.environ)


def plain_line(reading: HeartRate) -> str:
    """A reading as a line of a log, with the local time of its newest frame."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(reading.time_s))
    return "  ".join([stamp, _headline(reading)] + [text for text in _details(reading) if text])


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
        parts.append(_STATES["tracking"])
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
    state = _STATES.get(reading.state, reading.state)
    if reading.reason is None:
        return f"no bpm: {state}"
    why = _REASONS.get(reading.reason, reading.reason)
    return f"no bpm: {state}, {why}"


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
