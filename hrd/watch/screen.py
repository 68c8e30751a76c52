"""The full screen: curses, keys, and the loop that brings the view to the terminal.

Only what has changed is drawn: the wave's characters under its beam fifteen times a second, all
else when a message has come and once a second.
"""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from hrd.watch import picture
from hrd.watch.canvas import Canvas, Style
from hrd.watch.feed import Feed
from hrd.watch.layout import Place, Shown, draw, places, wave_area
from hrd.watch.model import Model
from hrd.watch.sweep import Sweep

PICTURES_PER_S = 15
_NOTE_S = 4.0
_DEAF = 100  # as many keys that are none in no time: the terminal has gone


def usable() -> bool:
    """Whether the terminal can show a full screen: it is one, and its cursor can be moved."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        curses.setupterm(fd=sys.stdout.fileno())
        return curses.tigetstr("cup") is not None
    except curses.error:
        return False


def show(feeds: Sequence[Feed], setup: bool, folder: Path) -> None:
    """Show the daemons until ``q``, Ctrl-C or the end of all feeds. Raises ``ClientError``
    where one cannot be read. ``folder``: where pictures are saved."""
    locale.setlocale(locale.LC_ALL, "")
    fancy = locale.nl_langinfo(locale.CODESET).lower().replace("-", "") == "utf8"
    try:
        with _full_screen() as window:
            _Screen(window, feeds, setup, folder, fancy).run()
    except KeyboardInterrupt:
        pass
    errors = [feed.error for feed in feeds if feed.error is not None]
    if errors and len(errors) == len(feeds):
        raise errors[0]


@contextlib.contextmanager
def _full_screen() -> Iterator[curses.window]:
    window = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        window.keypad(True)
        with contextlib.suppress(curses.error):
            curses.curs_set(0)
        yield window
    finally:
        window.keypad(False)
        with contextlib.suppress(curses.error):
            curses.curs_set(1)
        curses.echo()
        curses.nocbreak()
        curses.endwin()


class _Screen:
    def __init__(
        self,
        window: curses.window,
        feeds: Sequence[Feed],
        setup: bool,
        folder: Path,
        fancy: bool,
    ) -> None:
        self._window = window
        self._feeds = feeds
        self._folder = folder
        self._fancy = fancy
        self._styles = _attributes()
        self._tab = 0
        self._paused = self._help = False
        self._setup = setup
        self._why = False
        self._note, self._note_until_s = "", 0.0
        self._canvas = Canvas(1, 1)
        self._before: Optional[Canvas] = None
        self._sweep: Optional[Sweep] = None
        self._place: Optional[Place] = None
        self._drawn: Tuple[object, ...] = ()
        self._redraw = True
        self._size = window.getmaxyx()
        window.timeout(round(1000 / PICTURES_PER_S))

    def run(self) -> None:
        """Until the end."""
        last_s = time.monotonic()
        deaf = 0
        while True:
            key = self._window.getch()
            now_s = time.monotonic()
            deaf = deaf + 1 if key == -1 and now_s - last_s < 0.005 else 0
            if deaf > _DEAF or (key != -1 and not self._key(key)):
                return
            if all(feed.ended.is_set() for feed in self._feeds):
                return
            self._fit()
            self._turn(now_s, now_s - last_s)
            last_s = now_s

    def _fit(self) -> None:
        """Follow the terminal's size: curses tells of a change with a key, and not of every one."""
        with contextlib.suppress(OSError, curses.error):
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
            if (lines, columns) != self._window.getmaxyx() and lines > 0 and columns > 0:
                curses.resizeterm(lines, columns)
        size = self._window.getmaxyx()
        if size != self._size:
            self._size = size
            self._before = None
            self._redraw = True

    def _turn(self, now_s: float, passed_s: float) -> None:
        with contextlib.ExitStack() as locks:
            for feed in self._feeds:
                locks.enter_context(feed.lock)
            models = [model for feed in self._feeds for model in feed.models()]
            self._tab = min(self._tab, len(models) - 1)
            model = models[self._tab]
            if self._paused and not self._redraw:
                return
            if not self._paused:
                model.wave.advance(passed_s)
            state = (model, model.version, int(now_s), now_s < self._note_until_s)
            if self._redraw or state != self._drawn:
                self._drawn, self._redraw = state, False
                self._draw_all(model, models, now_s)
                self._paint()
            elif self._sweep is not None and self._place is not None:
                self._paint_columns(self._sweep.advance(model.wave))
        self._window.refresh()  # this may wait for a slow line, the lock must not

    def _draw_all(self, model: Model, models: List[Model], now_s: float) -> None:
        height, width = self._window.getmaxyx()
        self._canvas = Canvas(width, height, self._fancy)
        where = places(width, height)
        area = None
        if where.wave is not None and not (self._help or self._setup or self._why):
            area = wave_area(where.wave)
        if area != self._place or self._sweep is None:
            self._place = area
            self._sweep = Sweep(area.width, area.height) if area is not None else None
        shown = Shown(
            self._tab,
            tuple(_short_name(model.name, len(models)) for model in models),
            self._paused,
            self._help,
            self._setup,
            self._why,
            self._note if now_s < self._note_until_s else "",
        )
        draw(self._canvas, model, shown, now_s, self._sweep.seconds if self._sweep else 0.0)
        if self._sweep is not None:
            if model.wave.position_s is None:
                self._sweep = Sweep(self._sweep.dots.columns, self._sweep.dots.rows)
            self._sweep.advance(model.wave)
            self._put_columns(range(self._sweep.dots.columns))

    def _put_columns(self, columns: Sequence[int]) -> None:
        assert self._sweep is not None
        assert self._place is not None
        dots = self._sweep.dots
        for column in columns:
            for row in range(dots.rows):
                char = dots.char(column, row, self._fancy)
                self._canvas.put(self._place.x + column, self._place.y + row, char, Style.WAVE)

    def _paint_columns(self, columns: Set[int]) -> None:
        """Bring some columns of the wave to the terminal."""
        assert self._sweep is not None
        assert self._place is not None
        if not columns:
            return
        self._put_columns(sorted(columns))
        first, last = min(columns), max(columns)
        if last - first > len(columns) + 2:  # at either end: the beam has come round
            first, last = 0, self._sweep.dots.columns - 1
        attribute = self._styles[Style.WAVE]
        x = self._place.x + first
        for row in range(self._place.height):
            chars = self._canvas.chars[self._place.y + row]
            self._add(self._place.y + row, x, "".join(chars[x : x + last - first + 1]), attribute)

    def _paint(self) -> None:
        """Bring the canvas to the terminal, row by row, where it differs from what is there."""
        canvas, before = self._canvas, self._before
        if before is None or (before.width, before.height) != (canvas.width, canvas.height):
            self._window.erase()
            before = None
        for y in range(canvas.height):
            chars, styles = canvas.chars[y], canvas.styles[y]
            if before is not None and chars == before.chars[y] and styles == before.styles[y]:
                continue
            start = 0
            for x in range(1, canvas.width + 1):
                if x == canvas.width or styles[x] is not styles[start]:
                    self._add(y, start, "".join(chars[start:x]), self._styles[styles[start]])
                    start = x
        self._before = canvas

    def _add(self, y: int, x: int, text: str, attribute: int) -> None:
        with contextlib.suppress(curses.error):  # the last corner, and a window made smaller
            self._window.addstr(y, x, text, attribute)

    def _key(self, key: int) -> bool:
        """Do what a key asks for; False to end."""
        self._redraw = True
        char = chr(key) if 0 < key < 256 else ""
        if char in ("q", "Q"):
            return False
        if char == "?":
            self._help = not self._help
        elif char == "\x1b":
            self._help = False
        elif char == "p":
            self._paused = not self._paused
        elif char == "c":
            self._choose(setup=not self._setup)
        elif char == "w":
            self._choose(why=not self._why)
        elif char == "s":
            self._save()
        elif char == "\t":
            self._tab += 1
            self._tab %= max(1, self._count())
        elif char.isdigit() and 0 < int(char) <= self._count():
            self._tab = int(char) - 1
        elif char == "\x0c":  # Ctrl-L: whatever else has written on the terminal
            self._before = None
            self._window.clear()
        return True

    def _choose(self, setup: bool = False, why: bool = False) -> None:
        """Which view is below what is said: one of these, or waveform and rates."""
        self._setup, self._why = setup, why
        for feed in self._feeds:
            feed.want_setup(setup)

    def _count(self) -> int:
        count = 0
        for feed in self._feeds:
            with feed.lock:
                count += len(feed.models())
        return count

    def _save(self) -> None:
        models = []
        for feed in self._feeds:
            with feed.lock:
                models += [list(model.history) for model in feed.models()]
        try:
            name = picture.save(self._canvas, models[self._tab], self._folder, time.time())
            self._note = f"saved {name}.svg and .csv in {self._folder}"
        except OSError as error:
            self._note = f"cannot save in {self._folder}: {error.strerror or error}"
        self._note_until_s = time.monotonic() + _NOTE_S


def _short_name(path: str, tabs: int) -> str:
    """For a tab: without what all sockets' paths have in common."""
    if tabs == 1:
        return path
    socket, _, face = path.partition(" ")
    stem = Path(socket).stem
    name = Path(socket).parent.name if stem == "hrd" else stem
    return f"{name} {face}".strip()


def _attributes() -> Dict[Style, int]:
    """What each style is on this terminal; without colour where there is none or none is wanted
    (NO_COLOR)."""
    found = {
        Style.PLAIN: curses.A_NORMAL,
        Style.DIM: curses.A_DIM,
        Style.BOLD: curses.A_BOLD,
        Style.GOOD: curses.A_NORMAL,
        Style.WARN: curses.A_BOLD,
        Style.BAD: curses.A_BOLD,
        Style.WAVE: curses.A_NORMAL,
    }
    if os.environ.get("NO_COLOR"):
        return found
    try:
        curses.start_color()
        if not curses.has_colors():
            return found
        curses.use_default_colors()
        ground = -1
    except curses.error:
        return found
    colours = {
        Style.GOOD: curses.COLOR_GREEN,
        Style.WARN: curses.COLOR_YELLOW,
        Style.BAD: curses.COLOR_RED,
        Style.WAVE: curses.COLOR_CYAN,
    }
    for number, (style, colour) in enumerate(colours.items(), 1):
        curses.init_pair(number, colour, ground)
        found[style] |= curses.color_pair(number)
    return found
