"""What the doctor says of machines that are not this one."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from hrd.capture import devices
from hrd.config import Config, from_table
from hrd.doctor import CHECKS, Finding, Verdict, camera, examine, machine, service, software
from hrd.doctor.finding import Verdict as SameVerdict

CONFIG = Config()


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A Nano's files, in a folder; gives the function that writes more of them."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    cpu = "sys/devices/system/cpu"
    write("proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
    write("var/lib/nvpmodel/status", "pmode:0000")
    write(f"{cpu}/online", "0-3\n")
    write(f"{cpu}/cpu0/cpufreq/scaling_governor", "schedutil\n")
    write(f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq", "1479000\n")
    write(f"{cpu}/cpu0/cpufreq/scaling_max_freq", "1479000\n")
    gpu = "sys/devices/57000000.gpu/devfreq/57000000.gpu"
    write(f"{gpu}/available_frequencies", "76800000 153600000 921600000\n")
    write(f"{gpu}/max_freq", "921600000\n")
    write("proc/meminfo", "MemTotal: 4059712 kB\nMemAvailable: 2500000 kB\nSwapTotal: 2029840 kB\n")
    return write


def only(findings: List[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_nano_that_is_set_up_well(jetson: Callable[[str, str], None]) -> None:
    power = only(machine.power(CONFIG))
    assert power.verdict is Verdict.OK
    assert power.text == "NVIDIA Jetson Nano Developer Kit, power mode 0, CPUs 0-3"
    assert [f.text for f in machine.clocks(CONFIG)] == [
        "CPU up to 1479 MHz, governor schedutil",
        "GPU up to 921 MHz",
    ]
    assert only(machine.memory(CONFIG)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("path", "text", "check", "remedy"),
    [
        ("var/lib/nvpmodel/status", "pmode:0001", machine.power, "sudo nvpmodel -m 0"),
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "powersave",
            machine.clocks,
            "sudo jetson_clocks",
        ),
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
            "918000",
            machine.clocks,
            "sudo jetson_clocks",
        ),
        (
            "sys/devices/57000000.gpu/devfreq/57000000.gpu/max_freq",
            "614400000",
            machine.clocks,
            "sudo jetson_clocks",
        ),
        (
            "proc/meminfo",
            "MemTotal: 2029840 kB\nMemAvailable: 900000 kB\nSwapTotal: 0 kB",
            machine.memory,
            "swapon",
        ),
        ("proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 90000 kB", machine.memory, "ps aux"),
    ],
)
def test_a_nano_with_something_amiss(
    jetson: Callable[[str, str], None], path: str, text: str, check: Any, remedy: str
) -> None:
    jetson(path, text)
    warned = [f for f in check(CONFIG) if f.verdict is Verdict.WARN]
    assert remedy in str(only(warned).remedy)


def test_a_machine_that_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for check in (machine.power, machine.clocks, machine.memory):
        assert only(check(CONFIG)).verdict is Verdict.OK


def test_versions_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: Dict[str, str] = {}
    monkeypatch.setattr(software, "version", lambda name: installed.get(name))
    assert only(software.packages(CONFIG)).verdict is Verdict.OK
    installed.update(
        {
            "hrd": "0.0.1",
            "mediapipe": "0.10.9",
            "protobuf": "4.25.1",
            "onnxruntime": "1.16.3",
            "onnxruntime-gpu": "1.16.3",
        }
    )
    findings = software.packages(from_table({"metrics": {"enabled": True}}))
    assert [f.verdict for f in findings] == [Verdict.WARN] * 4
    text = " ".join(f.text for f in findings)
    assert all(word in text for word in ("0.0.1", "protobuf 4.25.1", "overwrite", "prometheus"))
    assert all(f.remedy and "pip " in f.remedy for f in findings)


def format_answers(fourccs: List[str]) -> Callable[..., int]:
    """An ioctl of a driver that lists these formats."""

    def ioctl(fd: int, request: int, answer: bytearray, mutate: bool = True) -> int:
        index, kind = struct.unpack_from("=II", answer, 0)
        assert (request, kind, len(answer)) == (0xC0405602, 1, 64)
        if index >= len(fourccs):
            raise OSError(errno.EINVAL, "that was the last")
        answer[44:48] = fourccs[index].encode()
        return 0

    return ioctl


def test_formats_as_the_driver_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", format_answers(["YUYV", "MJPG"]))
    assert devices.query_formats(3) == ("YUYV", "MJPG")
    monkeypatch.setattr(fcntl, "ioctl", format_answers([]))
    assert devices.query_formats(3) == ()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Dict[str, Any]:
    """Cameras: what each is, or the error that opening it gives."""
    found: Dict[str, Any] = {}

    def describe(path: str) -> devices.Description:
        if isinstance(found[path], Exception):
            raise found[path]
        return found[path]

    monkeypatch.setattr(camera, "video_devices", lambda: sorted(found))
    monkeypatch.setattr(camera, "describe", describe)
    monkeypatch.setattr(camera, "check_camera", lambda path: None)
    monkeypatch.setattr(os, "access", lambda path, mode: "forbidden" not in path)
    return found


def webcam(*formats: str) -> devices.Description:
    return devices.Description("uvcvideo", "HD Webcam", True, formats)


def test_cameras_and_their_formats(nodes: Dict[str, Any]) -> None:
    nodes["/dev/video0"] = webcam("YUYV", "MJPG")
    nodes["/dev/video1"] = devices.Description("uvcvideo", "HD Webcam", False, ())
    nodes["/dev/video2"] = webcam("H264")
    nodes["/dev/video3"] = OSError(errno.EIO, "Input/output error")
    first, metadata, wrong, broken = camera.cameras(CONFIG)
    assert (first.verdict, first.text) == (
        Verdict.OK,
        "/dev/video0: HD Webcam (uvcvideo), YUYV, MJPG",
    )
    assert metadata.verdict is Verdict.OK
    assert wrong.verdict is Verdict.WARN
    assert "H264" in wrong.text
    assert broken.verdict is Verdict.WARN  # one camera is enough
    assert broken.remedy == "unplug the camera and plug it in again"


def test_the_only_camera_is_forbidden(
    nodes: Dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes["/dev/forbidden0"] = webcam("YUYV")
    monkeypatch.setattr(camera, "_group_of", lambda node: "video")
    finding = only(camera.cameras(CONFIG))
    assert finding.verdict is Verdict.FAIL
    assert finding.remedy == "sudo usermod -aG video $USER, then log in again"


def test_no_camera_is_no_matter_where_another_source_is_set(nodes: Dict[str, Any]) -> None:
    assert only(camera.cameras(CONFIG)).verdict is Verdict.WARN
    spec = {"source": {"spec": "rtsp://user:secret@camera/1"}}
    finding = only(camera.cameras(from_table(spec)))
    assert finding.verdict is Verdict.OK
    assert "secret" not in finding.text


def test_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [4242])

    class Group:
        gr_gid = 17

    def getgrnam(name: str) -> Group:
        if name != "hrd":
            raise KeyError(name)
        return Group()

    monkeypatch.setattr(service.grp, "getgrnam", getgrnam)
    finding = only(service.groups(CONFIG))
    assert finding.verdict is Verdict.WARN
    assert str(finding.remedy).startswith("sudo usermod -aG hrd ")
    monkeypatch.setattr(os, "getgroups", lambda: [17])
    assert only(service.groups(CONFIG)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("state", "fresh", "verdict", "remedy"),
    [
        ("active", True, Verdict.OK, None),
        ("active", False, Verdict.WARN, "sudo hrd service install"),
        ("failed", True, Verdict.WARN, "journalctl -u hrd -n 20 says why"),
        ("inactive", True, Verdict.WARN, "sudo systemctl start hrd"),
    ],
)
def test_the_service(
    state: str,
    fresh: bool,
    verdict: Verdict,
    remedy: Optional[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.Path, "is_dir", lambda self: True)
    monkeypatch.setattr(service.Path, "exists", lambda self: True)
    monkeypatch.setattr(service, "up_to_date", lambda host, config: fresh)
    monkeypatch.setattr(service, "_systemctl", lambda *words: state)
    finding = only(service.unit(CONFIG))
    assert (finding.verdict, finding.remedy) == (verdict, remedy)


def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Config) -> List[Finding]:
        raise RuntimeError("oh")

    good = ("disk", machine.disk)
    monkeypatch.setattr("hrd.doctor.CHECKS", (("power", broken), good))
    first, *rest = examine(CONFIG)
    assert (first.topic, first.verdict) == ("power", SameVerdict.FAIL)
    assert rest
    assert {name for name, _ in CHECKS} >= {"engine", "camera", "socket"}
