"""A source in a process of its own: the same frames, and an end whatever it hangs in."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import numpy as np
import pytest

from hrd.capture.child import SLOTS, ChildSource
from hrd.capture.open import hangs_alone, open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceError
from hrd.types import Demand
from tests.socket_help import descriptors, eventually

QUICK = CaptureOptions(read_timeout_s=0.5, settle_s=0.0)
SPEC = "sim:bpm=72,seed=3,size=160x120"


@pytest.fixture
def source() -> Iterator[ChildSource]:
    with ChildSource(SPEC, QUICK) as child:
        yield child


def test_frames_are_those_of_the_source_itself(source: ChildSource) -> None:
    with open_source(SPEC, QUICK) as direct:
        assert source.info == direct.info
        assert source.live
        last_s = 0.0
        for _ in range(3 * SLOTS):  # every slot of the shared memory more than once
            frame, expected = source.read(), direct.read()
            while expected is not None and expected.index < frame.index:
                expected = direct.read()  # it was dropped while we were busy
            assert expected is not None
            np.testing.assert_array_equal(frame.image, expected.image)
            assert last_s < frame.time_s <= time.monotonic()
            last_s = frame.time_s


def test_frames_outlive_the_memory_they_came_in(source: ChildSource) -> None:
    first = source.read()
    before = first.image.copy()
    for _ in range(2 * SLOTS):
        source.read()
    source.close()
    np.testing.assert_array_equal(first.image, before)


def test_a_slow_reader_loses_frames_and_they_are_counted(source: ChildSource) -> None:
    source.read()
    time.sleep(0.7)  # 21 frames; 12 find room
    frames = [source.read() for _ in range(SLOTS + 2)]  # kept, so the last of them are copies
    assert source.dropped > 0
    assert frames[-1].index >= SLOTS + 2 + source.dropped


def test_what_cannot_be_opened_says_so_as_the_source_would() -> None:
    with pytest.raises(SourceError, match="no device /dev/video97"):
        ChildSource("/dev/video97", QUICK)
    with pytest.raises(SourceError, match="knows no 'bmp'"):
        ChildSource("sim:bmp=3", QUICK)


def read_on(source: ChildSource) -> None:
    """Until something is raised."""
    while True:
        source.read()


def _is_gone(pid: int) -> Callable[[], bool]:
    return lambda: not os.path.exists(f"/proc/{pid}")


def test_its_last_words_are_heard_though_it_did_not_listen_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell = ChildSource._tell

    def tell_twice(self: ChildSource, message: Dict[str, Any]) -> None:
        tell(self, message)
        tell(self, message)  # what it never reads
        self._process.wait(60)

    monkeypatch.setattr(ChildSource, "_tell", tell_twice)
    with pytest.raises(SourceError, match=r"There is no file /no/such\.mp4"):
        ChildSource("/no/such.mp4", CaptureOptions())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_crashes_is_an_error(source: ChildSource, how: signal.Signals) -> None:
    source.read()
    os.kill(source.pid, how)
    with pytest.raises(SourceError, match=f"was killed by {how.name}"):
        read_on(source)
    source.close()


def test_a_child_that_hangs_is_an_error_and_is_killed(source: ChildSource) -> None:
    source.read()
    os.kill(source.pid, signal.SIGSTOP)  # like a driver that does not come back
    with pytest.raises(SourceError, match="hangs in its driver"):
        read_on(source)
    source.close()
    eventually(_is_gone(source.pid), "the hung child is gone")


def test_a_stop_ends_the_wait_for_a_frame() -> None:
    stop = threading.Event()
    with ChildSource(SPEC, CaptureOptions(read_timeout_s=60.0), stop) as child:
        child.read()
        os.kill(child.pid, signal.SIGSTOP)
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(SourceError, match="being closed"):
            read_on(child)


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        child = ChildSource(SPEC, QUICK)
        (tmp_path / "pid").write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    eventually(_is_gone(int((tmp_path / "pid").read_text())), "the child of a dead parent is gone")


def test_nothing_is_left_open_or_running() -> None:
    ChildSource(SPEC, QUICK).close()
    before = descriptors()
    pids: List[int] = []
    for _ in range(3):
        with ChildSource(SPEC, QUICK) as child:
            child.read()
            pids.append(child.pid)
        child.close()  # may be called twice
    assert descriptors() == before
    for pid in pids:
        eventually(_is_gone(pid), "a closed child is gone")
    with pytest.raises(SourceError):
        ChildSource("/dev/video97", QUICK)
    assert descriptors() == before


def test_passwords_are_on_no_command_line() -> None:
    with ChildSource(SPEC, QUICK) as child:
        command = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert b"sim" not in command


def test_what_is_read_in_a_process_of_its_own() -> None:
    alone = ["/dev/video0", "v4l2:///dev/video1", "/dev/v4l/by-id/x", "rtsp://u:p@c/1", "HTTP://c/"]
    assert all(map(hangs_alone, alone))
    assert not any(map(hangs_alone, ["clip.mp4", "sim:bpm=72", "csi://0", "file:///x.mp4"]))


def test_a_parent_that_gives_up_at_once_leaves_a_child_that_ends_quietly() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-m", "hrd.capture.child", str(theirs.fileno())]
        with subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
        ) as child:
            theirs.close()
            ours.close()
            _, said = child.communicate(timeout=30)
    assert said == ""
    assert child.returncode == 0


_SILENT = """
import atexit, os, signal, socket, sys
from hrd.capture import child
from hrd.capture.source import FrameSource, SourceError, SourceInfo

class Silent(FrameSource):
    live = True
    info = SourceInfo("silent", "v4l2", 640, 480, 30.0, "MJPG")

    def read(self):
        raise SourceError("it has stopped delivering frames.")

    def close(self):
        os.kill(os.getpid(), signal.SIGTERM)  # the parent has had enough in the meantime
        print("closed", flush=True)

atexit.register(os.kill, os.getpid(), signal.SIGTERM)
child.open_source = lambda spec, options: Silent()
child.main()
"""


def test_a_camera_that_falls_silent_is_closed_in_order_whenever_the_end_is_asked_for() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(json.dumps({"spec": "x", "options": {}, "level": 30}).encode())
        command = [sys.executable, "-c", _SILENT, str(theirs.fileno())]
        done = subprocess.run(
            command, pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


_IN_AN_IMPORT = """
import os, signal
from hrd.capture import child

def open_source(spec, options):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except child._Gone:
        raise ImportError("cannot initialise module strings")

child.open_source = open_source
child.main()
"""


def test_an_end_in_the_middle_of_an_import_is_quiet_too() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(json.dumps({"spec": "x", "options": {}, "level": 30}).encode())
        command = [sys.executable, "-c", _IN_AN_IMPORT, str(theirs.fileno())]
        done = subprocess.run(
            command, pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_whoever_keeps_all_frames_gets_copies_in_time(source: ChildSource) -> None:
    kept = [source.read() for _ in range(3 * SLOTS)]
    pictures = [frame.image.copy() for frame in kept]
    for _ in range(SLOTS):
        source.read()
    for frame, picture in zip(kept, pictures):
        np.testing.assert_array_equal(frame.image, picture)


def test_what_is_needed_reaches_the_source_in_the_child() -> None:
    """A simulated camera takes no notice; what it delivers stays as it is."""
    with ChildSource(SPEC, QUICK) as child:
        child.ask(Demand(reduced=4, every_s=0.1))
        frames = [child.read() for _ in range(5)]
        assert child.demand == Demand(4, 0.1)
    assert all(frame.image.shape == (120, 160, 3) for frame in frames)
