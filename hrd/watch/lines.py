"""Readings as lines of text: for files, pipes, programs, and a terminal that is to show one."""

from __future__ import annotations

import array
import os
import shutil
import sys
import time
from collections import deque
from typing import BinaryIO, Deque, List, Optional, TextIO, Tuple

from hrd.client import ClientError, HeartRate, decode
from hrd.words import REASONS, STATES

_HISTORY = 30  # readings in the little curve
_BAR_CELLS = 10


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
    """The daemon's lines, byte for byte: readings (those with a bpm only if ``tracking``),
    ``everything``, or what is for the ``setup`` of the camera."""

    def __init__(
        self, out: BinaryIO, everything: bool, tracking: bool, setup: bool = False
    ) -> None:
        super().__init__(sys.stderr)
        self._raw = out
        self._everything = everything
        self._tracking = tracking
        self._setup = setup

    def line(self, line: bytes, reading: Optional[HeartRate]) -> None:
        if reading is not None:
            self.tally(reading)
        wanted = reading is not None and (reading.tracking or not self._tracking)
        if self._setup:
            wanted = b'"class":"SETUP"' in line[:20]
        if self._everything or wanted:
            self._raw.write(line)
            self._raw.flush()

    def lost(self, error: ClientError) -> None:
        print(f"hrd: {error} Waiting for it.", file=sys.stderr)


class SetupView(View):
    """How the camera sees the face, in a line each second."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._said_s = 0.0

    def line(self, line: bytes, reading: Optional[HeartRate]) -> None:
        from hrd.watch.setupview import advice, checks

        message = decode(line)
        if reading is not None:
            self.tally(reading)
        if message.get("class") != "SETUP" or abs(message["time"] - self._said_s) < 1.0:
            return
        self._said_s = message["time"]
        numbers = [f"{check.name} {check.value}" for check in checks(message)]
        said = "; ".join(advice(message))
        self._out.write("  ".join([_stamp(message["time"]), *numbers, said]) + "\n")
        self._out.flush()


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
