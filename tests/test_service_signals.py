"""Signals, as a process gets them: the end in time, also while a library hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import List

import pytest

_CODE = """
import ctypes, sys
from hrd.service.signals import Signals

with Signals(reload=True) as signals:
    signals.on_hang = lambda: print("letting go", flush=True)
    print("ready", flush=True)
    if sys.argv[1] == "hang":
        # in C, where Python's handlers are not run: pthread_mutex_lock(3) goes on after a signal
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    while not signals.stop.wait(0.05):
        if signals.take_reload():
            print("reload", flush=True)
print("ended", flush=True)
"""


def run(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, how],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_in_good_health(number: signal.Signals) -> None:
    process = run("well")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "ended\n")


def test_sighup_asks_for_a_reload_each_time() -> None:
    process = run("well")
    assert process.stdout is not None
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "reload\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_hangs_in_a_library_is_ended_without_it() -> None:
    process = run("hang")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "letting go\n")


def test_handlers_are_put_back() -> None:
    from hrd.service.signals import Signals

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before: List[object] = [signal.getsignal(number) for number in numbers]
    descriptors = len(os.listdir("/proc/self/fd"))
    with Signals() as signals:
        assert signal.getsignal(signal.SIGTERM) not in before
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(10)
    assert [signal.getsignal(number) for number in numbers] == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
