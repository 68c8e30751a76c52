"""The daemon as a process, mistreated in every way of docs/faults.md's table (`make test-faults`).

Each test injects one fault into a running daemon that reads a pulse of 72 bpm, listens to what is
published meanwhile, and measures how long it takes until there is a bpm again. The table ends up
in ``build/faults.md``. What needs a systemd is in ``tests/long/service.py``.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from tests.gpu_help import FakeGpu, make_fake_gpu
from tests.long.camera_server import FPS, LOOP_S, CameraServer, face_pictures, pictures
from tests.long.recorder import TRUE_BPM, WITHIN_BPM, Message, Recorder, Row, keep, said
from tests.long.running import Running, config
from tests.rtsp_server import RtspServer, rtp_frames
from tests.socket_help import short_directory

ROWS: List[Row] = []


def start(text: str, **popen: Any) -> Iterator[Tuple[Running, Recorder]]:
    with short_directory() as folder:
        daemon = Running(Path(folder), text, **popen)
        try:
            with Recorder(daemon.socket) as recorder:
                recorder.wait_for_bpm(0.0)
                yield daemon, recorder
                assert daemon.process.poll() is None, daemon.log.read_text()
                assert recorder.wrong() == []
            assert "Traceback" not in daemon.log.read_text()
            assert daemon.stop() == 0
            assert not os.path.exists(daemon.socket)
        finally:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()


def note(
    fault: str,
    how: str,
    recorder: Recorder,
    from_s: float,
    again_s: Optional[float],
    mended_s: Optional[float] = None,
    published: Optional[str] = None,
) -> None:
    """Keep a row. The time to recover counts from when the fault was mended, else from its
    beginning; what the pipeline said in the second before the fault was felt is left out."""
    end_s = again_s - 1e-6 if again_s is not None else time.monotonic()
    heard = said(one.message for one in recorder.since(from_s, end_s))
    since_s = from_s if mended_s is None else mended_s
    took_s = None if again_s is None else again_s - since_s
    ROWS.append(Row(fault, how, published or heard, took_s))


# The camera.


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraServer]:
    server = CameraServer(face_pictures())
    yield server
    server.unplug()


@pytest.fixture(scope="module")
def watched(camera: CameraServer) -> Iterator[Tuple[Running, Recorder]]:
    yield from start(config(camera.url))


def break_camera(
    camera: CameraServer,
    recorder: Recorder,
    fault: str,
    how: str,
    mode: str,
    state: str,
    last_s: float,
) -> None:
    recorder.wait_for_bpm(time.monotonic())
    from_s = time.monotonic()
    camera.mode = mode
    felt = recorder.wait_for_state(state, from_s)
    time.sleep(last_s)
    assert not any("bpm" in h.message for h in recorder.since(felt.at_s)), fault
    mended_s = time.monotonic()
    camera.mode = "face"
    bpm = recorder.wait_for_bpm(mended_s)
    note(fault, how, recorder, from_s, bpm.at_s, mended_s)


def test_camera_gone_and_back(camera: CameraServer, watched: Tuple[Running, Recorder]) -> None:
    daemon, recorder = watched
    from_s = time.monotonic()
    camera.unplug()
    lost = recorder.wait_for_state("no_camera", from_s)
    time.sleep(4.0)
    assert not any("bpm" in h.message for h in recorder.since(lost.at_s))
    assert daemon.status()["camera"]["failure"]
    mended_s = time.monotonic()
    camera.plug()
    bpm = recorder.wait_for_bpm(mended_s)
    how = "the network camera is gone for some seconds"
    note("camera gone and back", how, recorder, from_s, bpm.at_s, mended_s)


def test_camera_silent(camera: CameraServer, watched: Tuple[Running, Recorder]) -> None:
    how = "the network camera sends nothing for 12 s"
    break_camera(camera, watched[1], "camera silent", how, "silent", "no_camera", 10.0)


def test_frozen_frames(camera: CameraServer, watched: Tuple[Running, Recorder]) -> None:
    how = "the same picture for 14 s"
    break_camera(camera, watched[1], "frozen frames", how, "frozen", "no_camera", 12.0)


def test_5_fps(camera: CameraServer, watched: Tuple[Running, Recorder]) -> None:
    break_camera(camera, watched[1], "5 fps", "5 pictures a second", "slow", "unsure", 8.0)


def test_black_frames(camera: CameraServer, watched: Tuple[Running, Recorder]) -> None:
    how = "black pictures"
    break_camera(camera, watched[1], "black frames", how, "black", "no_face", 8.0)


def in_doubt(message: Message) -> bool:
    return message.get("reason") == "UNRELIABLE_TIMESTAMPS"


def test_camera_whose_clock_runs_wrong() -> None:
    face = "sim:bpm=72,variability=0,seed=5,size=320x240,fps={}"
    slow = pictures(face.format(24))  # 25 s, without a seam in the pulse
    frames = rtp_frames(pictures(face.format(30)) + slow + slow, fps=30)
    changed_s: List[float] = []

    def play(send: Callable[[List[bytes]], None], gone: threading.Event) -> None:
        due_s = time.monotonic()
        for index, frame in enumerate(frames):
            if index == LOOP_S * FPS:
                changed_s.append(time.monotonic())
            send(frame)
            due_s += 1 / (24 if changed_s else 30)
            if gone.wait(max(0.0, due_s - time.monotonic())):
                return

    with RtspServer(play) as server:
        for _, recorder in start(config(server.url)):
            doubt = recorder.wait(in_doubt, 0.0, "doubt about the clock")
            bpm = recorder.wait_for_bpm(doubt.at_s)
            how = "30 pictures a second, then 24 with the stamps of 30"
            note("camera whose clock runs wrong", how, recorder, changed_s[0], bpm.at_s)
            doubted = [h.at_s for h in recorder.since(doubt.at_s) if in_doubt(h.message)]
            assert len(doubted) <= 2 + doubted[-1] - doubted[0], "once a second, as always"


def test_camera_wedged(watched: Tuple[Running, Recorder]) -> None:
    daemon, recorder = watched
    recorder.wait_for_bpm(time.monotonic())
    (pid,) = daemon.children("hrd.capture.child")
    from_s = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    lost = recorder.wait_for_state("no_camera", from_s)
    bpm = recorder.wait_for_bpm(lost.at_s)
    assert daemon.children("hrd.capture.child") != [pid]
    note("camera wedged", "SIGSTOP of the capture process", recorder, from_s, bpm.at_s)


def test_capture_process_crashes(watched: Tuple[Running, Recorder]) -> None:
    daemon, recorder = watched
    (pid,) = daemon.children("hrd.capture.child")
    from_s = time.monotonic()
    os.kill(pid, signal.SIGSEGV)
    lost = recorder.wait_for_state("no_camera", from_s)
    bpm = recorder.wait_for_bpm(lost.at_s)
    how = "SIGSEGV of the capture process"
    note("driver or decoder crashes", how, recorder, from_s, bpm.at_s)


# The engine: TensorRT's stand-in, in a real worker process.


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGpu]:
    fake = make_fake_gpu(tmp_path_factory.mktemp("gpu"))
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def engine_config(
    camera: CameraServer, gpu: FakeGpu, tmp_path_factory: pytest.TempPathFactory
) -> str:
    cache = tmp_path_factory.mktemp("cache")
    return config(
        camera.url, engine=f'[engine.tensorrt]\npython = "{gpu.python}"\ncache_dir = "{cache}"\n'
    )


@pytest.fixture(scope="module")
def on_gpu(engine_config: str) -> Iterator[Tuple[Running, Recorder]]:
    for daemon, recorder in start(engine_config):
        until_engine(daemon, "tensorrt")
        yield daemon, recorder


def until_engine(daemon: Running, name: str) -> float:
    deadline_s = time.monotonic() + 90.0
    while daemon.status()["engine"]["name"] != name:
        assert time.monotonic() < deadline_s, daemon.status()["engine"]
        time.sleep(0.2)
    return time.monotonic()


@pytest.mark.parametrize(
    ("fault", "number"), [("engine killed", signal.SIGKILL), ("engine hung", signal.SIGSTOP)]
)
def test_engine(fault: str, number: signal.Signals, on_gpu: Tuple[Running, Recorder]) -> None:
    daemon, recorder = on_gpu
    until_engine(daemon, "tensorrt")
    recorder.wait_for_bpm(time.monotonic())
    (pid,) = daemon.children("hrd.engine.worker") or daemon.children("worker")
    before = daemon.status()["engine"]["fallbacks"]
    from_s = time.monotonic()
    os.kill(pid, number)
    while daemon.status()["engine"]["fallbacks"] == before:
        assert time.monotonic() < from_s + 60.0
        time.sleep(0.05)
    bpm = recorder.wait_for_bpm(time.monotonic())
    back_s = until_engine(daemon, "tensorrt") - from_s
    gaps = longest_gap_s(recorder, from_s - 1.0, bpm.at_s + 1.0)
    heard = said(one.message for one in recorder.since(from_s, bpm.at_s))
    note(
        fault,
        f"{number.name} of the TensorRT worker (its stand-in)",
        recorder,
        from_s,
        bpm.at_s,
        published=f"{heard}, at most {gaps:.1f} s apart; TensorRT is back after {back_s:.0f} s",
    )


def longest_gap_s(recorder: Recorder, from_s: float, to_s: float) -> float:
    times = [heard.at_s for heard in recorder.since(from_s, to_s)]
    return max(b - a for a, b in zip(times, times[1:]))


def test_corrupt_cache(engine_config: str, on_gpu: Tuple[Running, Recorder]) -> None:
    cache = Path(engine_config.split('cache_dir = "')[1].split('"')[0])
    engines = list(cache.glob("*.engine"))
    assert engines
    damaged: Dict[Path, bytearray] = {path: bytearray(path.read_bytes()) for path in engines}
    for path, data in damaged.items():
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
    from_s = time.monotonic()
    for daemon, recorder in start(engine_config):
        until_engine(daemon, "tensorrt")
        bpm = recorder.wait_for_bpm(from_s)
        how = "a flipped bit in every cached engine, then a start"
        note("corrupt cache", how, recorder, from_s, bpm.at_s)
        assert all(path.read_bytes() != bytes(data) for path, data in damaged.items())


# The machine: disk, clock, descriptors.


def test_corrupt_model(camera: CameraServer) -> None:
    from hrd.engine.card import models_dir

    broken = bytearray((models_dir() / "student.onnx").read_bytes())
    for daemon, recorder in start(config(camera.url)):
        path = daemon.folder / "model.onnx"
        path.write_bytes(bytes(broken[:5000]))
        text = config(camera.url, engine=f'model = "{path}"')
        from_s = time.monotonic()
        daemon.reload(text)  # while running: the sound one stays
        bpm = recorder.wait_for_bpm(from_s, count=3)
        assert "is not a readable ONNX model" in daemon.log.read_text()
        note(
            "corrupt model, at a reload",
            "a truncated ONNX file",
            recorder,
            from_s,
            bpm.at_s,
            published="bpm, from the model it had; the log says why",
        )
        other = daemon.folder / "other"
        other.mkdir()
        second = Running(other, text)
        assert second.process.wait(60) == 1  # at the start: one sentence, and no socket
        assert "is not a readable ONNX model" in second.log.read_text()
        assert not os.path.exists(second.socket)
        ROWS.append(
            Row(
                "corrupt model, at the start",
                "a truncated ONNX file",
                "nothing: hrd ends with one sentence, and systemd tries again",
                None,
            )
        )


def test_full_disk(camera: CameraServer) -> None:
    with open("/dev/full", "wb") as full:  # every line of the log fails with ENOSPC
        from_s = time.monotonic()
        for daemon, recorder in start(config(camera.url), stderr=full):
            daemon.process.send_signal(signal.SIGHUP)  # something to log
            bpm = recorder.wait_for_bpm(time.monotonic(), count=3)
            first = recorder.wait_for_bpm(0.0)
            assert bpm
            note(
                "full disk",
                "no byte can be written to the log; hrd writes nothing else",
                recorder,
                from_s,
                first.at_s,
            )


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {
    long value = 0;
    FILE *file = fopen(getenv("CLOCK_OFFSET_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &value) != 1) value = 0; fclose(file); }
    return value;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_REALTIME) at->tv_sec += offset();
    return result;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to shift the clock with")
def test_the_clock_is_set(camera: CameraServer, tmp_path: Path) -> None:
    (tmp_path / "shim.c").write_text(SHIM)
    shim, offset = tmp_path / "shim.so", tmp_path / "offset"
    compile_it = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        str(shim),
        str(tmp_path / "shim.c"),
        "-ldl",
    ]
    subprocess.run(compile_it, check=True)
    offset.write_text("0")
    environment = {**os.environ, "LD_PRELOAD": str(shim), "CLOCK_OFFSET_FILE": str(offset)}
    for _daemon, recorder in start(config(camera.url), env=environment):
        for shift_s, name in ((-3600, "clock set back an hour"), (86400, "clock set on a day")):
            recorder.wait_for_bpm(time.monotonic())
            from_s = time.monotonic()
            offset.write_text(str(shift_s))
            bpm = recorder.wait(shifted_by(shift_s), from_s, "a bpm with the new time")
            recorder.wait_for_bpm(bpm.at_s, count=5)
            heard = recorder.since(from_s)
            assert all("bpm" in h.message for h in heard), "the window was not touched"
            gap_s = longest_gap_s(recorder, from_s - 1.0, time.monotonic())
            note(
                name,
                "the C library's wall clock, by LD_PRELOAD",
                recorder,
                from_s,
                bpm.at_s,
                published=f"bpm throughout, at most {gap_s:.1f} s apart; `time` follows the clock",
            )
            offset.write_text("0")


def shifted_by(shift_s: float) -> Callable[[Message], bool]:
    return lambda m: "bpm" in m and abs(m["time"] - time.time() - shift_s) < 60


def test_descriptor_limit(camera: CameraServer) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    for daemon, recorder in start(config(camera.url), preexec_fn=limit):
        from_s = time.monotonic()
        clients = [connect(daemon.socket) for _ in range(80)]
        bpm = recorder.wait_for_bpm(from_s, count=5)
        assert longest_gap_s(recorder, from_s, bpm.at_s) < 3.0
        refused = daemon_says(clients[-1])
        assert "cannot open more connections" in refused
        for client in clients:
            client.close()
        again_s = time.monotonic()
        while "STATUS" not in ask_status(daemon.socket):
            assert time.monotonic() < again_s + 30
            time.sleep(0.1)
        note(
            "file-descriptor limit",
            "64 files at most, 80 clients",
            recorder,
            from_s,
            None,
            published="bpm to those connected; the others are told why not, and are taken later",
        )


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(30.0)
    client.connect(path)
    return client


def daemon_says(client: socket.socket) -> str:
    try:
        return client.recv(65536).decode()
    except ConnectionError as error:
        return str(error)


def ask_status(path: str) -> str:
    with connect(path) as client:
        client.sendall(b'{"class":"STATUS"}\n')
        data = b""
        while b'"STATUS"' not in data and b'"ERROR"' not in data:
            piece = client.recv(65536)
            if not piece:
                break
            data += piece
        return data.decode()


# The clients.


@pytest.fixture(scope="module")
def plain(camera: CameraServer) -> Iterator[Tuple[Running, Recorder]]:
    yield from start(config(camera.url))


def test_1000_clients(plain: Tuple[Running, Recorder]) -> None:
    daemon, recorder = plain
    needed = 1100 + 50
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    rss_mb, alone_s, alone_cpu_s = daemon.rss_mb(), time.monotonic(), daemon.cpu_s()
    time.sleep(5.0)
    alone = (daemon.cpu_s() - alone_cpu_s) / (time.monotonic() - alone_s)
    clients = [connect(daemon.socket) for _ in range(1000)]
    spread_ms: List[float] = []
    try:
        poll = select.epoll()
        for client in clients:
            client.setblocking(False)
            poll.register(client, select.EPOLLIN)
        by_fd = {client.fileno(): client for client in clients}
        arrivals: Dict[bytes, List[float]] = {}
        from_s, cpu_s = time.monotonic(), daemon.cpu_s()
        while time.monotonic() < from_s + 20.0:
            for fd, _ in poll.poll(0.1):
                data = by_fd[fd].recv(65536)
                now_s = time.monotonic()
                for line in data.splitlines():
                    if b'"HR"' in line:
                        arrivals.setdefault(line, []).append(now_s)
        busy = (daemon.cpu_s() - cpu_s) / (time.monotonic() - from_s)
        for times in arrivals.values():
            if len(times) == 1000:
                spread_ms.append(1e3 * (max(times) - min(times)))
        assert len(spread_ms) >= 5, "every client got every reading"
        more_mb = daemon.rss_mb() - rss_mb
    finally:
        for client in clients:
            client.close()
    note(
        "1,000 clients",
        "connected for 20 s, 1 Hz",
        recorder,
        from_s,
        None,
        published=f"bpm to all, the last {median(spread_ms):.0f} ms after the first; "
        f"{100 * (busy - alone):.1f} % of a core and {more_mb:.0f} MB more",
    )


def test_a_client_that_never_reads(plain: Tuple[Running, Recorder]) -> None:
    daemon, recorder = plain
    before = daemon.status()["clients"]["cut_off"]
    from_s = time.monotonic()
    with connect(daemon.socket) as client:
        deadline_s = from_s + 60.0
        client.settimeout(0.2)
        while daemon.status()["clients"]["cut_off"] == before:
            assert time.monotonic() < deadline_s
            try:  # asks and asks, and never reads
                client.sendall(b'{"class":"STATUS"}\n' * 50)
            except (socket.timeout, OSError):
                pass
            time.sleep(0.05)
    cut_s = time.monotonic() - from_s
    recorder.wait_for_bpm(time.monotonic())
    gap_s = longest_gap_s(recorder, from_s, time.monotonic())
    note(
        "a client that never reads",
        "asks for STATUS and reads nothing",
        recorder,
        from_s,
        None,
        published=f"bpm to all others, at most {gap_s:.1f} s apart; cut off after {cut_s:.0f} s",
    )


def test_a_client_that_sends_100_mb(plain: Tuple[Running, Recorder]) -> None:
    daemon, recorder = plain
    rss_mb, from_s = daemon.rss_mb(), time.monotonic()
    drained = threading.Event()
    with connect(daemon.socket) as client:
        thread = threading.Thread(target=drain, args=(client, drained), daemon=True)
        thread.start()
        block = b"x" * 1_000_000
        for _ in range(100):
            client.sendall(block)
        client.sendall(b"\n")
        sent_s = time.monotonic() - from_s
        assert drained.wait(30)
    recorder.wait_for_bpm(time.monotonic())
    grown_mb = daemon.rss_mb() - rss_mb
    assert grown_mb < 5
    gap_s = longest_gap_s(recorder, from_s - 2.0, time.monotonic())
    note(
        "a client that sends 100 MB",
        f"one line without an end, in {sent_s:.1f} s",
        recorder,
        from_s,
        None,
        published=f"bpm to all, at most {gap_s:.1f} s apart; one ERROR to it; "
        f"{max(0.0, grown_mb):.1f} MB more memory",
    )


def drain(client: socket.socket, said_error: threading.Event) -> None:
    try:
        while True:
            data = client.recv(65536)
            if b'"ERROR"' in data:
                said_error.set()
            if not data:
                return
    except OSError:
        pass


def test_two_daemons_at_once(camera: CameraServer, plain: Tuple[Running, Recorder]) -> None:
    daemon, recorder = plain
    from_s = time.monotonic()
    second = subprocess.run(
        [sys.executable, "-m", "hrd", "run", "--source", camera.url, "--socket", daemon.socket],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert "already listening" in second.stderr
    bpm = recorder.wait_for_bpm(time.monotonic())
    assert bpm
    note(
        "two daemons at once",
        "a second on the same socket",
        recorder,
        from_s,
        None,
        published="bpm from the first; the second ends with one sentence",
    )


def test_kill_9_without_systemd(camera: CameraServer, plain: Tuple[Running, Recorder]) -> None:
    daemon, recorder = plain
    from_s = time.monotonic()
    daemon.process.kill()
    daemon.process.wait()
    assert os.path.exists(daemon.socket)  # stale
    again = Running(daemon.folder, config(camera.url))
    daemon.process = again.process
    bpm = recorder.wait_for_bpm(from_s + 0.5)
    assert abs(bpm.message["bpm"] - TRUE_BPM) < WITHIN_BPM
    assert "replaced the stale socket" in again.log.read_text()
    note("kill -9 of the daemon", "`kill -9`, then a new one at once", recorder, from_s, bpm.at_s)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + keep(ROWS, "faults"))
