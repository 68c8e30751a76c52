"""``hrd watch``, run as a user would: its own process, pipes and a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from hrd import HeartRate, protocol
from hrd.cli.main import main
from hrd.service.server import SocketServer
from hrd.types import Reason, State
from hrd.watch import lines as watch
from hrd.words import REASONS, STATES
from tests.socket_help import PATIENCE_S, hr, no_hr, ppg, short_directory
from tests.waiting import eventually, read_line

ROOT = Path(__file__).parent.parent


@pytest.fixture
def path() -> Iterator[str]:
    with short_directory() as directory:
        yield os.path.join(directory, "hrd.sock")


@pytest.fixture
def server(path: str) -> Iterator[SocketServer]:
    with SocketServer(path, "1.2.3") as running:
        yield running


@contextlib.contextmanager
def feeding(server: SocketServer, message: Callable[[int], Dict[str, Any]]) -> Iterator[None]:
    """Publish ``message(0), message(1), ...`` as a daemon in a hurry would."""
    stop = threading.Event()

    def feed() -> None:
        n = 0
        while not stop.wait(0.005):
            server.publish(message(n))
            n += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def start(*args: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hrd", "watch", *args],
        cwd=str(ROOT),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        **options,
    )


def finish(process: subprocess.Popen[bytes]) -> List[str]:
    """Standard output's and standard error's lines, of a process that ends by itself."""
    with process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return out.decode().splitlines() + err.decode().splitlines()


def every_third_tracking(n: int) -> Dict[str, Any]:
    return hr(n) if n % 3 == 0 else no_hr(n)


def test_plain_lines(server: SocketServer, path: str) -> None:
    with feeding(server, every_third_tracking):
        process = start("--socket", path, "--count", "6")
        lines = finish(process)
    assert process.returncode == 0
    assert len(lines) == 6
    stamp = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  "
    tracking = [
        line
        for line in lines
        if re.fullmatch(stamp + r" 72\.0 bpm  confidence 0\.90  30\.0 fps", line)
    ]
    none = [
        line
        for line in lines
        if re.fullmatch(stamp + r"no bpm: no face, nobody to be seen  30\.0 fps", line)
    ]
    assert (len(tracking), len(none)) == (2, 4)


def test_counting_tracking_readings_only(server: SocketServer, path: str) -> None:
    with feeding(server, every_third_tracking):
        process = start("--socket", path, "--count", "3", "--tracking")
        lines = finish(process)
    assert process.returncode == 0
    assert sum(" bpm  confidence " in line for line in lines) == 3
    assert " bpm  confidence " in lines[-1]
    assert len(lines) >= 7


def test_json_lines_pass_unchanged(server: SocketServer, path: str) -> None:
    def message(n: int) -> Dict[str, Any]:
        return hr(n, new=" é ")

    for extra, before in (([], []), (["--all"], [protocol.version_message("1.2.3")])):
        with feeding(server, message):
            process = start("--socket", path, "--json", "--count", "4", *extra)
            out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, b"")
        lines = out.splitlines(keepends=True)
        assert lines[: len(before)] == [protocol.encode(one) for one in before]
        del lines[: len(before)]
        first = round(json.loads(lines[0])["time"]) - 1_700_000_000
        assert lines == [protocol.encode(message(first + k)) for k in range(4)]


def test_json_with_tracking_prints_readings_with_a_bpm_only(
    server: SocketServer, path: str
) -> None:
    with feeding(server, every_third_tracking):
        process = start("--socket", path, "--json", "--count", "2", "--tracking")
        lines = finish(process)
    assert [json.loads(line)["bpm"] for line in lines] == [72.0, 72.0]  # as jq .bpm reads them


def test_waiting_for_a_daemon_that_starts_later(path: str) -> None:
    process = start("--socket", path, "--count", "1", "--wait", "20")
    assert process.stderr is not None
    said = read_line(process.stderr).decode()
    assert said == f"hrd: no daemon at {path} yet; waiting up to 20 s\n"
    with SocketServer(path, "1.2.3") as server:
        server.publish(hr(1))
        lines = finish(process)
    assert process.returncode == 0
    assert [line for line in lines if "72.0 bpm" in line] == lines


def test_waiting_ends_with_the_process_that_was_to_listen(path: str) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as starting:
        process = start("--socket", path, "--wait", "600", "--pid", str(starting.pid))
        assert process.stderr is not None
        assert b"waiting up to 600 s" in read_line(process.stderr)
        starting.communicate()
    lines = finish(process)
    assert process.returncode == 1
    assert lines[-1].startswith("hrd: No daemon is listening")


@pytest.mark.parametrize("wait", ["0", "0.3"])
def test_no_daemon(path: str, wait: str) -> None:
    process = start("--socket", path, "--wait", wait)
    lines = finish(process)
    assert process.returncode == 1
    assert lines[-1].startswith(f"hrd: No daemon is listening on {path}")
    assert len(lines) == (1 if wait == "0" else 2)


def test_a_restart_of_the_daemon_is_survived(path: str) -> None:
    with SocketServer(path, "1.2.3") as server:
        server.publish(hr(1))
        process = start("--socket", path, "--count", "3")
        assert process.stdout is not None
        assert b"72.0 bpm" in read_line(process.stdout)
    assert read_line(process.stdout).endswith(b"no bpm: the daemon is gone; waiting for it\n")
    with SocketServer(path, "1.2.4") as server:
        server.publish(no_hr(2))
        assert b"no bpm: no face" in read_line(process.stdout)
        server.publish(hr(3))
        lines = finish(process)
    assert process.returncode == 0
    assert len(lines) == 1
    assert "72.0 bpm" in lines[0]


def test_json_over_a_restart_has_nothing_but_readings(path: str) -> None:
    with SocketServer(path, "1.2.3") as server:
        server.publish(hr(1))
        process = start("--socket", path, "--json", "--count", "2")
        assert process.stdout is not None
        assert process.stderr is not None
        assert read_line(process.stdout) == protocol.encode(hr(1))
    assert b"closed the connection" in read_line(process.stderr)
    with SocketServer(path, "1.2.4") as server:
        server.publish(hr(2))
        lines = finish(process)
    assert (process.returncode, lines) == (0, [protocol.encode(hr(2)).decode().strip()])


def test_once_ends_with_the_daemon_and_sums_up(path: str) -> None:
    with SocketServer(path, "1.2.3") as server:
        server.publish(no_hr(1))
        process = start("--socket", path, "--once")
        assert process.stdout is not None
        read_line(process.stdout)
        server.publish(hr(2))
        read_line(process.stdout)
    lines = finish(process)
    assert process.returncode == 0
    assert lines == ["2 readings, 1 with a bpm: median 72.0, from 72.0 to 72.0"]


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_ctrl_c(server: SocketServer, path: str, json_: List[str]) -> None:
    server.publish(hr(1))
    process = start("--socket", path, *json_)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    lines = finish(process)
    assert process.returncode == 0
    assert not [line for line in lines if "Traceback" in line or "hrd:" in line]


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_ctrl_c_while_waiting(path: str, json_: List[str]) -> None:
    process = start("--socket", path, "--wait", "60", *json_)
    assert process.stderr is not None
    assert b"waiting" in read_line(process.stderr)
    process.send_signal(signal.SIGINT)
    assert finish(process) == []
    assert process.returncode == 0


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_nobody_reads_the_output_any_more(
    server: SocketServer, path: str, json_: List[str]
) -> None:
    with feeding(server, hr):
        process = start("--socket", path, *json_)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.mark.parametrize(
    "args", [["--count", "0"], ["--count", "x"], ["--wait", "-1"], ["--wait", "nan"], ["--what"]]
)
def test_bad_usage(args: List[str]) -> None:
    process = start(*args)
    lines = finish(process)
    assert process.returncode == 2
    assert args[0] in lines[-1]


# In a terminal.


def _terminal(
    path: str, *args: str, columns: int = 100, until: Optional[bytes] = None, **env: str
) -> str:
    """What ``hrd watch --line`` writes to a terminal; Ctrl-C comes once ``until`` is seen."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **env}
    environment.pop("NO_COLOR", None)
    environment.setdefault("PYTHONUTF8", "1")
    environment.update({name: value for name, value in env.items() if name == "NO_COLOR"})
    process = start(
        "--line", "--socket", path, *args, stdout=slave, stderr=slave, stdin=slave, env=environment
    )
    os.close(slave)
    shown = b""
    deadline_s = time.monotonic() + PATIENCE_S
    with process:
        while time.monotonic() < deadline_s:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            shown += data
            if until is not None and until in shown:
                process.send_signal(signal.SIGINT)
                until = None
        assert process.wait(PATIENCE_S) == 0
    os.close(master)
    return shown.decode("utf-8")


def _drawn(shown: str) -> List[str]:
    """The successive states of the one line, without the escapes."""
    assert shown.endswith("\x1b[K\r\n")  # the prompt comes on a line of its own
    assert shown.count("\n") == 1
    return [
        re.sub(r"\x1b\[\d*[mK]", "", line).strip() for line in shown.split("\r") if line.strip()
    ]


def test_live_line_in_a_terminal(server: SocketServer, path: str) -> None:
    with feeding(server, every_third_tracking):
        shown = _terminal(path, "--count", "10", "--tracking")
    lines = _drawn(shown)
    assert len(lines) >= 28
    assert "no bpm: no face, nobody to be seen  30.0 fps" in lines[-2]
    assert lines[-1].startswith("♥  72.0 bpm  █████████░  90 %  tracking  30.0 fps  ")
    assert "▅" in lines[-1] or "▄" in lines[-1]
    assert "\x1b[1m♥  72.0 bpm\x1b[0m" in shown


def test_live_line_in_a_narrow_plain_terminal(server: SocketServer, path: str) -> None:
    with feeding(server, hr):
        shown = _terminal(
            path, "--count", "5", columns=40, NO_COLOR="1", PYTHONUTF8="0", PYTHONIOENCODING="ascii"
        )
    assert "\x1b[1m" not in shown
    assert _drawn(shown)[-1] == "72.0 bpm  #########.  90 %  tracking"


def test_ctrl_c_in_a_terminal(server: SocketServer, path: str) -> None:
    server.publish(hr(1))
    shown = _terminal(path, until=b"bpm")
    assert len(_drawn(shown)) == 1


def test_a_dumb_terminal_gets_plain_lines(server: SocketServer, path: str) -> None:
    server.publish(hr(1))
    shown = _terminal(path, "--count", "1", TERM="dumb")
    assert "\x1b" not in shown
    assert shown.endswith("72.0 bpm  confidence 0.90  30.0 fps\r\n")


# The pieces.

TRACKING = HeartRate(
    time_s=1.0, state="tracking", bpm=71.84, confidence=0.934, snr_db=7.9, fps=29.97
)


@pytest.mark.parametrize("width", range(0, 120, 7))
@pytest.mark.parametrize("fancy", [True, False])
def test_the_line_is_never_wider_than_the_terminal(width: int, fancy: bool) -> None:
    unsure = HeartRate(time_s=1.0, state="unsure", reason="MOTION", snr_db=0.1, fps=29.0)
    for reading in (TRACKING, unsure):
        line = watch.live_line(reading, [70.0, None, 75.0] * 10, width, fancy, bold=False)
        assert len(line) <= width


def test_what_matters_least_goes_first() -> None:
    def line(width: int) -> str:
        return watch.live_line(TRACKING, [60.0, 70.0], width, fancy=True, bold=False)

    whole = "♥  71.8 bpm  █████████░  93 %  tracking  snr 7.9 dB  30.0 fps  ▁█"
    assert line(200) == whole
    assert line(len(whole)) == whole
    assert line(len(whole) - 1) == whole[:-4]
    assert line(12) == "♥  71.8 bpm"
    assert line(5) == "♥  71"


def test_sparkline() -> None:
    assert watch.sparkline([60.0, 65.0, 70.0]) == "▁▅█"
    assert watch.sparkline([None, 60.0, None, 70.0]) == "▁ █"
    assert set(watch.sparkline([72.0, 72.4, 71.8])) <= {"▄", "▅"}  # calm looks calm
    assert watch.sparkline([]) == watch.sparkline([None]) == ""


def test_every_state_and_reason_has_its_words() -> None:
    assert set(STATES) == {state.value for state in State}
    assert set(REASONS) == {reason.value for reason in Reason}


def test_words_that_are_not_known_are_shown_as_they_are() -> None:
    line = watch.plain_line(HeartRate(time_s=1.0, state="asleep", reason="LATE"))
    assert line.endswith("no bpm: asleep, LATE")
    line = watch.plain_line(HeartRate(time_s=1.0, state="asleep"))
    assert line.endswith("no bpm: asleep")


def test_an_output_that_is_no_terminal_gets_plain_lines() -> None:
    view = watch.view_for(io.StringIO())
    assert type(view) is watch.View


def test_waveform_is_no_reading(server: SocketServer, path: str) -> None:
    server.publish(ppg(0))
    server.publish(hr(1))
    assert main(["watch", "--socket", path, "--count", "1"]) == 0


SETUP = {
    "class": "SETUP",
    "time": 1_700_000_000.0,
    "width_px": 640,
    "height_px": 480,
    "box": {"x_px": 200.0, "y_px": 100.0, "w_px": 30.0, "h_px": 30.0},
    "face_px": 30.0,
    "luma": 120.0,
    "limits": {"face_px": 48.0, "luma": 25.0},
    "in_the_way": ["FACE_TOO_SMALL"],
}


def test_set_up_in_a_pipe_is_a_line_a_second(server: SocketServer, path: str) -> None:
    process = start("--socket", path, "--setup")
    eventually(lambda: server.wanted("SETUP"), "it is asked for")
    for n in range(7):
        server.publish({**SETUP, "time": 1_700_000_000.0 + n / 5.0})
    lines = [read_line(process.stdout).decode() for _ in range(2)]  # type: ignore[arg-type]
    process.send_signal(signal.SIGINT)
    assert finish(process) == []
    assert "size 30 pixels  light 120 of 255  the face is too small: come closer" in lines[0]


def test_set_up_as_json_is_what_the_daemon_sent(server: SocketServer, path: str) -> None:
    process = start("--socket", path, "--setup", "--json", "--count", "1")
    eventually(lambda: server.wanted("SETUP"), "it is asked for")
    server.publish(SETUP)
    server.publish(hr(1))
    assert [json.loads(line) for line in finish(process)] == [SETUP]
