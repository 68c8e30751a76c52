"""hrd as a service of a real systemd, mistreated (`make test-service`).

The tests are one story and run in order, on one container. Its faults end up as a table in
``build/service-faults.md``.
"""

from __future__ import annotations

import json
import os
import time
from typing import Iterator, List

import pytest

from tests.long import container
from tests.long.container import Box
from tests.long.models import HANG, faulty_student
from tests.long.recorder import Recorder, Row, keep, said

_WHY_NOT = container.prepare()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

SOURCE = "sim:bpm=72,variability=0,seed=5,size=320x240"
CONFIG = """[source]
spec = "{source}"
own_process = "always"
[source.capture]
settle_s = 0.0
[engine]
name = "onnx"
model = "{model}"
[metrics]
enabled = {metrics}
"""
ROWS: List[Row] = []


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with container.installed(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture(scope="module")
def recorder(box: Box) -> Iterator[Recorder]:
    # /proc shows the container's files: its socket can be reached from here
    with Recorder(f"/proc/{box._leader}/root/run/hrd/hrd.sock") as listening:
        yield listening


def configure(
    box: Box, source: str = SOURCE, model: str = "student", metrics: bool = False
) -> None:
    text = CONFIG.format(source=source, model=model, metrics=str(metrics).lower())
    (box.shared / "hrd.toml").write_text(text)
    box.run("sh", "-c", "cat /shared/hrd.toml > /etc/hrd/hrd.toml")


def shown(box: Box, name: str) -> str:
    return box.run("systemctl", "show", "-p", name, "--value", "hrd.service").strip()


def main_pid(box: Box) -> int:
    return int(shown(box, "MainPID"))


def children(box: Box) -> List[int]:
    """The daemon's own processes: the capture child."""
    text = box.run("pgrep", "-f", "hrd.capture.child", check=False)
    return [int(pid) for pid in text.split()]


def journal(box: Box, *options: str) -> str:
    return box.run("journalctl", "-u", "hrd", "--no-pager", "-o", "cat", *options)


def stop(box: Box) -> float:
    """Seconds that systemd needed to end it; it does so by force after TimeoutStopSec=5."""
    box.run("systemctl", "stop", "hrd")
    times_s = [float(shown(box, f"{name}Monotonic")) / 1e6 for name in _STOPPING]
    assert "State 'stop-sigterm' timed out" not in journal(box)
    return times_s[1] - times_s[0]


# systemd's own times of the last stop: told to, and over
_STOPPING = ("ActiveExitTimestamp", "InactiveEnterTimestamp")


def test_the_units_are_right(box: Box) -> None:
    box.run("mkdir", "-p", "/tmp/units")
    for unit in ("hrd.service", "hrd.socket"):
        box.run(
            "sh", "-c", f"cp /opt/hrd/lib/python3*/site-packages/hrd/systemd/{unit} /tmp/units/"
        )
    verify = box.call(
        "systemd-analyze", "verify", "/tmp/units/hrd.service", "/tmp/units/hrd.socket"
    )
    assert (verify.returncode, verify.stdout) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20"]
    judged = box.call(*security, "/tmp/units/hrd.service")
    assert judged.returncode == 0, judged.stdout
    print(judged.stdout.strip().splitlines()[-1])


def test_install_shows_what_it_does_and_may_be_repeated(box: Box) -> None:
    before = box.run("sh", "-c", "ls -la /etc /etc/systemd/system; cat /etc/passwd")
    planned = box.run("hrd", "service", "install", "--dry-run")
    assert box.run("sh", "-c", "ls -la /etc /etc/systemd/system; cat /etc/passwd") == before
    assert planned.count("would") == 7
    done = box.run("hrd", "service", "install")
    assert [line.split()[0] for line in done.splitlines()] == [
        line.split()[1] for line in planned.splitlines()
    ]
    again = box.run("hrd", "service", "install")
    assert all(line.split()[0] == "done" for line in again.splitlines()), again
    listing = box.run(
        "stat", "-c", "%a %U %G %n", "/run/hrd", "/run/hrd/hrd.sock", "/etc/hrd/hrd.toml"
    )
    assert listing.splitlines() == [
        "750 hrd hrd /run/hrd",
        "660 hrd hrd /run/hrd/hrd.sock",
        "640 root hrd /etc/hrd/hrd.toml",
    ]
    assert "is active, enabled at boot" in box.run("hrd", "service", "status")
    assert box.run("systemd-analyze", "verify", "/etc/systemd/system/hrd.service") == ""


def test_without_a_camera_it_waits_and_simulates_nothing(box: Box, recorder: Recorder) -> None:
    began_s = time.monotonic()
    for _ in range(3):
        began_s = recorder.wait_for_state("no_camera", began_s).at_s + 1e-3
    assert "There is no camera" in shown(box, "StatusText")
    assert shown(box, "NRestarts") == "0"


def test_a_reload_takes_up_the_config_and_keeps_the_clients(box: Box, recorder: Recorder) -> None:
    configure(box)
    began_s, pid = time.monotonic(), main_pid(box)
    box.run("systemctl", "reload", "hrd")
    bpm = recorder.wait_for_bpm(began_s)
    assert bpm.message["bpm"] == pytest.approx(72, abs=3)
    assert main_pid(box) == pid
    assert shown(box, "StatusText") == "tracking"  # and no heart rate where anybody may read it
    # an invalid config changes nothing
    box.run("sh", "-c", "echo 'speed = 11' >> /etc/hrd/hrd.toml")
    began_s = time.monotonic()
    box.run("systemctl", "reload", "hrd")
    recorder.wait_for_bpm(began_s, count=3)
    assert "the configuration stays as it was" in journal(box)
    configure(box)


def test_who_may_read_it(box: Box, recorder: Recorder) -> None:
    watch = "/opt/hrd/bin/hrd watch --json --count 1"
    refused = box.call("runuser", "-u", "nobody", "--", "sh", "-c", watch)
    assert refused.returncode == 1
    assert "hrd" in refused.stdout
    assert "Traceback" not in refused.stdout
    box.run("useradd", "--groups", "hrd", "friend")
    assert '"class":"HR"' in box.run("runuser", "-u", "friend", "--", "sh", "-c", watch)
    # nothing that the camera saw has been written, and no network socket is open
    for folder in ("/var/cache/hrd", "/run/hrd", "/etc/hrd"):
        files = box.run("find", folder, "-type", "f", "-newer", "/etc/systemd/system/hrd.service")
        assert files.strip() in ("", "/etc/hrd/hrd.toml")
    sockets = box.run(
        "sh", "-c", f"cat /proc/{main_pid(box)}/net/tcp /proc/{main_pid(box)}/net/udp"
    )
    assert len(sockets.splitlines()) == 2  # the headings


def test_kill_9(box: Box, recorder: Recorder) -> None:
    recorder.wait_for_bpm(time.monotonic())
    began_s, pid = time.monotonic(), main_pid(box)
    box.run("kill", "-9", str(pid))
    back = recorder.wait(lambda m: m["class"] == "VERSION", began_s, "the socket is usable again")
    bpm = recorder.wait_for_bpm(began_s + 0.05)
    assert main_pid(box) != pid
    assert shown(box, "NRestarts") == "1"
    heard = recorder.since(began_s, bpm.at_s - 1e-6)
    socket_s = back.at_s - began_s
    ROWS.append(
        Row(
            "kill -9 of the daemon",
            "`kill -9`, systemd",
            f"{said(one.message for one in heard)}; the socket answers after {socket_s:.1f} s",
            bpm.at_s - began_s,
        )
    )


def test_the_capture_process_hangs(box: Box, recorder: Recorder) -> None:
    recorder.wait_for_bpm(time.monotonic())
    (pid,) = children(box)
    began_s = time.monotonic()
    box.run("kill", "-STOP", str(pid))
    lost = recorder.wait_for_state("no_camera", began_s)
    bpm = recorder.wait_for_bpm(lost.at_s)
    assert pid not in children(box)
    assert shown(box, "NRestarts") == "1"  # the daemon itself went on
    heard = recorder.since(began_s + 1.2, bpm.at_s - 1e-6)
    assert not any("bpm" in h.message for h in recorder.since(lost.at_s, bpm.at_s - 1e-6))
    row = Row(
        "camera wedged",
        "SIGSTOP of the capture process",
        said(one.message for one in heard),
        bpm.at_s - began_s,
    )
    ROWS.append(row)


def test_the_engine_hangs_and_the_watchdog_ends_it(box: Box, recorder: Recorder) -> None:
    faulty_student(box.shared / "hang.onnx", HANG, after_chunks=14)
    os.chmod(box.shared / "hang.onnx", 0o644)
    box.run("cp", "/shared/hang.onnx", "/opt/hrd/model.onnx")
    configure(box, model="/opt/hrd/model.onnx")
    restarts = int(shown(box, "NRestarts"))
    began_s = time.monotonic()
    box.run("systemctl", "reload", "hrd")
    recorder.wait_for_bpm(began_s + 1.0)
    # what replaces it is sound; the daemon that runs has the faulty one in memory
    box.run(
        "sh",
        "-c",
        "cp /opt/hrd/lib/python3*/site-packages/hrd/models/student.onnx /opt/hrd/model.onnx",
    )
    back = recorder.wait(
        lambda m: m["class"] == "VERSION", time.monotonic(), "killed and started again", 120.0
    )
    bpm = recorder.wait_for_bpm(back.at_s)
    last = recorder.since(began_s, back.at_s)[-1]
    assert int(shown(box, "NRestarts")) == restarts + 1
    assert "Watchdog timeout" in journal(box)
    heard = recorder.since(last.at_s + 1e-6, bpm.at_s - 1e-6)
    row = Row(
        "engine hung (pipeline stuck)",
        "an ONNX model with an endless loop; the watchdog (15 s) kills, systemd restarts",
        f"{said(one.message for one in heard)}; silence for {back.at_s - last.at_s:.1f} s",
        bpm.at_s - last.at_s,
    )
    ROWS.append(row)


def test_sigterm_ends_it_within_2_s_even_while_the_engine_hangs(
    box: Box, recorder: Recorder
) -> None:
    box.run("cp", "/shared/hang.onnx", "/opt/hrd/model.onnx")
    began_s = time.monotonic()
    box.run("systemctl", "restart", "hrd")
    recorder.wait_for_bpm(began_s)
    while True:  # until it says nothing any more
        heard = recorder.since(began_s)
        if time.monotonic() - heard[-1].at_s > 4.0:
            break
        time.sleep(0.2)
    ended_s = stop(box)
    ROWS.append(
        Row("SIGTERM while the engine hangs", f"ends within {ended_s:.1f} s", "nothing", None)
    )
    assert "the pipeline hangs: hrd ends without it" in journal(box)
    box.run("test", "!", "-e", "/run/hrd/hrd.sock")
    assert children(box) == []
    configure(box)


def test_sigterm_in_good_health(box: Box, recorder: Recorder) -> None:
    began_s = time.monotonic()
    box.run("systemctl", "reset-failed", "hrd")
    box.run("systemctl", "start", "hrd")
    recorder.wait_for_bpm(began_s)
    ended_s = stop(box)
    ROWS.append(Row("SIGTERM", f"ends within {ended_s:.1f} s", "nothing", None))
    assert shown(box, "Result") == "success"
    box.run("test", "!", "-e", "/run/hrd/hrd.sock")
    assert children(box) == []


def test_a_full_disk(box: Box, recorder: Recorder) -> None:
    box.run(
        "mount", "-t", "tmpfs", "-o", "size=64k,mode=0750,uid=hrd,gid=hrd", "full", "/var/cache/hrd"
    )
    box.call("sh", "-c", "cat /dev/zero > /var/cache/hrd/filler")
    began_s = time.monotonic()
    box.run("systemctl", "start", "hrd")
    bpm = recorder.wait_for_bpm(began_s)
    heard = recorder.since(began_s, bpm.at_s - 1e-6)
    box.run("systemctl", "stop", "hrd")
    box.run("umount", "-l", "/var/cache/hrd")
    ROWS.append(
        Row(
            "full disk",
            "a start with no byte free for the cache",
            said(one.message for one in heard),
            bpm.at_s - began_s,
        )
    )


def test_a_bad_config_is_said_and_not_tried_for_ever(box: Box) -> None:
    box.run("sh", "-c", "echo 'speed = 11' >> /etc/hrd/hrd.toml")
    assert box.call("systemctl", "start", "hrd").returncode != 0
    assert shown(box, "ExecMainStatus") == "2"
    assert shown(box, "ActiveState") == "failed"
    assert "unknown key" in journal(box, "-n", "5")
    box.run("systemctl", "reset-failed", "hrd")
    configure(box)


def test_metrics_on_localhost(box: Box, recorder: Recorder) -> None:
    configure(box, metrics=True)
    began_s = time.monotonic()
    done = box.run("hrd", "service", "install")  # the network is opened as far as that needs it
    assert "localhost only" in done
    recorder.wait_for_bpm(began_s)
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9808/metrics').read().decode())"
    text = box.run("python3", "-c", code)
    assert "\nhrd_bpm 7" in text
    assert 'hrd_stage_seconds_count{stage="engine"}' in text
    assert box.run("systemd-analyze", "security", "--no-pager", "--threshold=20", "hrd") != ""
    configure(box)
    assert "no network at all" in box.run("hrd", "service", "install")


def test_the_journal_has_fields(box: Box) -> None:
    text = box.run("journalctl", "-u", "hrd", "-o", "json", "HRD_STATE=tracking", "-n", "1")
    entry = json.loads(text)
    assert entry["HRD_STATE"] == "tracking"
    assert entry["PRIORITY"] == "6"
    assert entry["LOGGER"] == "hrd.service.transitions"
    assert "Traceback" not in journal(box)


def test_socket_activation(box: Box, recorder: Recorder) -> None:
    done = box.run("hrd", "service", "install", "--socket-activation")
    assert "hrd.socket" in done
    assert "done" in box.run("hrd", "service", "install", "--socket-activation")
    recorder_began_s = time.monotonic()  # the recorder is the first client, and starts it
    recorder.wait_for_bpm(recorder_began_s)
    assert shown(box, "ActiveState") == "active"
    assert box.run("systemctl", "is-enabled", "hrd.service", "hrd.socket", check=False).split() == [
        "disabled",
        "enabled",
    ]
    pid = main_pid(box)
    began_s = time.monotonic()
    box.run("kill", "-9", str(pid))
    recorder.wait_for_bpm(began_s + 0.5)
    box.run("systemctl", "stop", "hrd.service")
    box.run("test", "-S", "/run/hrd/hrd.sock")  # systemd's, not the daemon's
    recorder.wait_for_bpm(time.monotonic())


def test_uninstall_leaves_what_was_there_before(box: Box, recorder: Recorder) -> None:
    recorder.close()
    assert "would" in box.run("hrd", "service", "uninstall", "--dry-run")
    box.run("hrd", "service", "uninstall")
    box.run("test", "-e", "/etc/hrd/hrd.toml")
    box.run("hrd", "service", "uninstall", "--purge")
    left = box.run(
        "sh",
        "-c",
        "ls -d /etc/hrd /run/hrd /var/cache/hrd /etc/systemd/system/hrd.*; id hrd",
        check=False,
    )
    assert left.count("No such file") == 4, left
    assert "no such user" in left
    assert box.call("hrd", "service", "status").returncode == 1
    box.run("hrd", "service", "uninstall")  # may be repeated


def test_nothing_published_was_wrong(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorder.wrong() == []
    assert len(recorder.since(0.0)) > 60
    with capsys.disabled():
        print("\n" + keep(ROWS, "service-faults"))
