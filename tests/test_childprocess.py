"""Children that answer, hang, die or will not die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Iterator

import pytest

from hrd.childprocess import LastWords, StoppedError, await_answer, end, how_it_ended
from tests.waiting import read_line


def child(code: str, **options: object) -> subprocess.Popen[bytes]:
    """Runs ``code``; a line of standard output says that it has come to its point."""
    return subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


STUBBORN = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
sys.stdin.close()
signal.pause()
"""


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    with child(STUBBORN) as process:
        assert process.stdout is not None
        read_line(process.stdout)
        yield process
        process.kill()


def test_one_that_ends_when_told() -> None:
    with child("print('ready', flush=True); import signal; signal.pause()") as process:
        assert process.stdout is not None
        read_line(process.stdout)
        assert end(process, (signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0))
        assert process.returncode == -signal.SIGTERM
        assert end(process, (signal.SIGKILL, 0.0))  # may be said again


def test_one_that_does_not_hear_is_killed(stubborn: subprocess.Popen[bytes]) -> None:
    assert not end(stubborn, (None, 0.0), (signal.SIGTERM, 0.0))
    assert stubborn.poll() is None
    assert end(stubborn, (signal.SIGTERM, 0.0), (signal.SIGKILL, 20.0))
    assert how_it_ended(stubborn) == "was killed by SIGKILL, perhaps for lack of memory"


def test_how_it_ended(stubborn: subprocess.Popen[bytes]) -> None:
    assert how_it_ended(stubborn, 0.0) is None
    with child("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)") as process:
        assert how_it_ended(process, 20.0) == "was killed by SIGSEGV"
    with child("raise SystemExit(3)") as process:
        assert how_it_ended(process, 20.0) == "exited with code 3"


def test_its_last_words_are_kept_and_its_pipe_is_never_full() -> None:
    code = "import sys\nfor k in range(200000): print('line', k, file=sys.stderr)"
    with child(code, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        words = LastWords(process.stderr, 3, "test")
        assert how_it_ended(process, 20.0) == "exited with code 0"
        assert words.of_the_dead() == ("line 199997", "line 199998", "line 199999")


def test_an_answer_the_end_of_time_and_a_stop() -> None:
    reading, writing = os.pipe()
    stop = threading.Event()
    far_s = time.monotonic() + 1000.0
    with pytest.raises(TimeoutError):
        await_answer(reading, time.monotonic() - 1.0, stop)
    os.write(writing, b"x")
    await_answer(reading, far_s, stop)
    assert os.read(reading, 1) == b"x"

    waiting = threading.Thread(target=stop.set)
    waiting.start()
    with pytest.raises(StoppedError):
        await_answer(reading, far_s, stop)
    waiting.join()
    os.close(writing)
    await_answer(reading, far_s)  # the end is something to read
    os.close(reading)
