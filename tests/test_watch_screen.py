"""``hrd watch`` full screen, in a real terminal (tmux): what a user sees and types."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest

from hrd import protocol
from hrd.service.server import SocketServer
from hrd.types import Reading, Reason, State
from tests.needs import needs_program
from tests.socket_help import short_directory
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BRAILLE = re.compile("[\u2801-\u28ff]")


class Heart:
    """A daemon's server that tells of a pulse of 72 a minute, ten times a second."""

    def __init__(self, path: str) -> None:
        self.server = SocketServer(path, "1.2.3")
        self.reason: List[Reason] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def _beat(self) -> None:
        while not self._stop.wait(0.1):
            now_s = time.time()
            bvp = [math.sin(2 * math.pi * 1.2 * (now_s + k / 30.0)) for k in range(3)]
            self.server.publish(protocol.ppg_message(now_s, 30.0, bvp))
            reading = Reading(0.0, State.TRACKING, 72.0, 0.93, snr_db=8.0, fps=30.0)
            if self.reason:
                reading = Reading(0.0, State.UNSURE, reason=self.reason[0], fps=30.0)
            self.newest = protocol.hr_message(reading, now_s, 41.0)
            self.server.publish(self.newest)

    def __enter__(self) -> Heart:
        self.server.start()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.server.close()


_SERVERS = itertools.count()


class Terminal:
    """``hrd watch`` in a tmux of its own."""

    def __init__(self, folder: str, width: int, height: int, *args: str, **env: str) -> None:
        Path(folder, "tmux.conf").write_text("set -g status off\n")
        # a server that was told to end may not have gone yet: each has a socket of its own
        name = f"tmux{next(_SERVERS)}"
        socket, settled = os.path.join(folder, name), os.path.join(folder, "tmux.conf")
        self._tmux = [needs_program("tmux", "tmux"), "-S", socket, "-f", settled]
        settings = {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), **env}
        command = " ".join(
            [
                f"cd {shlex.quote(folder)};",
                "env",
                *(shlex.quote(f"{name}={value}") for name, value in settings.items()),
                shlex.quote(sys.executable),
                "-m hrd watch",
                *map(shlex.quote, args),
                '; echo "ended with $?"; cat',
            ]
        )
        self.do("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def do(self, *args: str) -> str:
        done = subprocess.run([*self._tmux, *args], capture_output=True, text=True, check=True)
        return done.stdout

    def lines(self, *args: str) -> List[str]:
        return self.do("capture-pane", "-p", *args).split("\n")[:-1]

    def text(self) -> str:
        return "\n".join(self.lines())

    def shows(self, words: str) -> None:
        try:
            eventually(lambda: words in self.text(), words)
        except AssertionError:
            raise AssertionError(f"{words!r} not in\n{self.text()}") from None

    def type(self, key: str) -> None:
        self.do("send-keys", key)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.do("kill-server")


@pytest.fixture
def folder() -> Iterator[str]:
    with short_directory() as path:
        yield path


@contextlib.contextmanager
def watching(
    folder: str, width: int = 80, height: int = 24, *args: str, **env: str
) -> Iterator[Terminal]:
    terminal = Terminal(
        folder, width, height, "--socket", os.path.join(folder, "hrd.sock"), *args, **env
    )
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_what_is_seen_and_how_it_ends(folder: str, width: int, height: int) -> None:
    with Heart(os.path.join(folder, "hrd.sock")), watching(folder, width, height) as terminal:
        terminal.shows("72.0 bpm")
        lines = terminal.lines()
        assert len(lines) == height
        text = "\n".join(lines)
        for words in (
            "confidence 0.93",
            "strong",
            "30.0 fps",
            "latency 41 ms",
            "pulse,",
            "bpm, 10",
        ):
            assert words in text
        assert lines[-1].split()[:2] == ["q", "quit"]
        eventually(lambda: len(BRAILLE.findall(terminal.text())) > 40, "a wave")
        before = terminal.text()
        eventually(lambda: terminal.text() != before, "the wave moves")
        terminal.type("?")
        terminal.shows("the daemon goes on")
        terminal.type("?")
        terminal.shows("72.0 bpm")
        terminal.type("q")
        terminal.shows("ended with 0")
        assert "72.0 bpm" not in terminal.text()  # what was there before is there again


def test_it_follows_the_terminals_size(folder: str) -> None:
    with Heart(os.path.join(folder, "hrd.sock")), watching(folder) as terminal:
        terminal.shows("q quit")
        for width, height in ((132, 43), (40, 12), (30, 5), (100, 30)):
            terminal.do("resize-window", "-x", str(width), "-y", str(height))
            eventually(
                lambda: len(terminal.lines()) == height and "72.0 bpm" in terminal.text(),  # noqa: B023
                f"{width}x{height}",
            )
        terminal.shows("bpm, 10 minutes")
        assert terminal.lines()[-1].strip().startswith("q quit")


def test_a_daemon_that_is_restarted_is_waited_for(folder: str) -> None:
    path = os.path.join(folder, "hrd.sock")
    with watching(folder, 80, 24, "--wait", "20") as terminal:
        with Heart(path):
            terminal.shows("72.0 bpm")
        terminal.shows("the daemon is gone")
        assert "72" not in terminal.lines()[2]
        assert "72.0 bpm" not in terminal.text()
        with Heart(path) as heart:
            terminal.shows("72.0 bpm")
            heart.reason.append(Reason.TOO_DARK)
            terminal.shows("what to do: turn on a light")
            assert "72.0 bpm" not in terminal.text()


def test_pause_and_save(folder: str) -> None:
    with Heart(os.path.join(folder, "hrd.sock")) as heart, watching(folder) as terminal:
        terminal.shows("72.0 bpm")
        terminal.type("p")
        terminal.shows("paused")
        heart.reason.append(Reason.MOTION)
        terminal.type("s")
        terminal.shows("saved hrd-")
        svg = next(Path(folder).glob("hrd-*.svg")).read_text()
        assert "72.0 bpm" in svg or "no bpm" in svg
        rows = next(Path(folder).glob("hrd-*.csv")).read_text().splitlines()
        assert any(",tracking,72.0,0.93," in row for row in rows)
        terminal.type("p")
        terminal.shows("sit still")


def test_two_daemons_are_two_tabs(folder: str) -> None:
    first, second = (os.path.join(folder, f"{name}.sock") for name in ("hrd", "desk"))
    with Heart(first), Heart(second) as other:
        other.reason.append(Reason.FACE_TOO_SMALL)
        with watching(folder, 100, 30, "--socket", second) as terminal:
            terminal.shows("72.0 bpm")
            terminal.type("Tab")
            terminal.shows("[2 desk]")
            terminal.shows("come closer")
            terminal.type("1")
            terminal.shows("72.0 bpm")


def test_without_colours_and_without_utf8(folder: str) -> None:
    with Heart(os.path.join(folder, "hrd.sock")):
        with watching(folder, 80, 24, NO_COLOR="1", LC_ALL="C") as terminal:
            terminal.shows("72.0 bpm")
            eventually(lambda: ":" in "".join(terminal.lines()[9:13]), "a wave of ASCII")
            assert terminal.text().isascii()
            assert not re.search(r"\x1b\[(\d+;)*[349][0-7]", "\n".join(terminal.lines("-e")))
        with watching(folder, TERM="dumb") as terminal:
            terminal.shows("72.0 bpm  confidence 0.93")  # lines
            assert "q quit" not in terminal.text()


def test_why_the_confidence_is_what_it_is(folder: str) -> None:
    heart = Heart(os.path.join(folder, "hrd.sock"))
    with heart, watching(folder, 90, 30) as terminal:
        terminal.shows("72.0 bpm")
        eventually(lambda: heart.server.wanted("FEATURES"), "it is asked for")
        terminal.type("w")
        terminal.shows("waiting for an estimate")
        features = {"snr_db": 7.0, "share_logit": 0.0, "posterior_logit": 1.0}
        explain = {
            "bpm": 72.0,
            "confidence": 0.93,
            "start_log_odds": 0.25,
            "features": {n: {"value": v, "log_odds": 0.5} for n, v in features.items()},
        }

        def told() -> bool:  # of the newest reading, which is replaced ten times a second
            newest = heart.newest
            heart.server.publish(protocol.features_message(newest["time"], "onnx", explain))
            return "7.0 dB; 50 % of it at this rate" in terminal.text()

        eventually(told, "what was measured")
        terminal.type("w")
        terminal.shows("bpm, 10 minutes")


def test_set_up_waits_for_the_daemons_view(folder: str) -> None:
    heart = Heart(os.path.join(folder, "hrd.sock"))
    with heart, watching(folder, 100, 30, "--setup") as terminal:
        terminal.shows("waiting for the daemon's view")
        eventually(lambda: heart.server.wanted("SETUP"), "it is asked for")
        heart.server.publish(
            {
                "class": "SETUP",
                "time": time.time(),
                "width_px": 640,
                "height_px": 480,
                "box": {"x_px": 200.0, "y_px": 100.0, "w_px": 30.0, "h_px": 30.0},
                "face_px": 30.0,
                "limits": {"face_px": 48.0},
                "in_the_way": ["FACE_TOO_SMALL"],
            }
        )
        terminal.shows("NO size      30 pixels (48 or more)")
        terminal.shows("come closer")
        terminal.type("c")
        eventually(lambda: not heart.server.wanted("SETUP"), "it is asked for no longer")


def test_once_ends_with_the_daemon_and_sums_up(folder: str) -> None:
    heart = Heart(os.path.join(folder, "hrd.sock"))
    with contextlib.ExitStack() as running:
        with heart:
            terminal = running.enter_context(watching(folder, 80, 24, "--once"))
            terminal.shows("72.0 bpm")
        terminal.shows("with a bpm: median 72.0")
        terminal.shows("ended with 0")
