from __future__ import annotations

import os
import shlex
import shutil
import struct
import threading
import time

import numpy as np
import pytest

from hrd.capture import csi, gdp
from hrd.capture.csi import (
    CsiSource,
    CsiSpec,
    argus_pipeline,
    failure_line,
    launch_command,
    parse_csi,
)
from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceError
from tests.waiting import eventually

SMALL = CaptureOptions(width_px=64, height_px=48, fps=60.0)

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="gst-launch-1.0 is not installed (gstreamer1.0-tools, gstreamer1.0-plugins-base)",
)


def pattern(name: str, live: bool = True, num_buffers: int = -1):
    """A pipeline maker that puts GStreamer's test source in the place of a sensor."""

    def pipeline(spec: CsiSpec, options: CaptureOptions) -> str:
        return (
            f"videotestsrc is-live={str(live).lower()} pattern={name} num-buffers={num_buffers} "
            f"foreground-color=0xff1080f0 ! video/x-raw,format=BGRx,width={options.width_px},"
            f"height={options.height_px},framerate={int(options.fps)}/1"
        )

    return pipeline


@pytest.fixture(params=["timed", "by arrival"])
def timed(request, monkeypatch):
    if request.param == "timed" and not csi._has_element("gdppay"):
        pytest.skip("GStreamer has no gdppay (gstreamer1.0-plugins-bad)")
    monkeypatch.setattr(csi, "_has_element", lambda name: request.param == "timed")
    return request.param == "timed"


# Pure helpers


def test_specs():
    assert parse_csi("csi://0") == CsiSpec(0, 0)
    assert parse_csi("csi://") == CsiSpec(0, 0)
    assert parse_csi("csi://1?flip=2") == CsiSpec(1, 2)
    with pytest.raises(SourceError, match="csi://0"):
        parse_csi("csi://front")


def test_pipeline_cuts_the_middle_to_shape():
    assert argus_pipeline(CsiSpec(1, 2), CaptureOptions()) == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM),width=1280,height=720,format=NV12,framerate=30/1 ! "
        "nvvidconv flip-method=2 left=160 right=1120 top=0 bottom=720 ! "
        "video/x-raw,format=BGRx,width=640,height=480"
    )


def test_pipeline_of_the_sensors_own_shape_is_not_cut():
    text = argus_pipeline(CsiSpec(0), CaptureOptions(width_px=1920, height_px=1080, fps=29.97))
    assert "width=1920,height=1080,format=NV12,framerate=2997/100 " in text
    assert "left=" not in text


def test_pipeline_turned_by_a_quarter():
    text = argus_pipeline(CsiSpec(0, 1), CaptureOptions(width_px=480, height_px=640))
    assert "flip-method=1 left=160 right=1120 top=0 bottom=720 !" in text


def test_command_keeps_frames_away_from_standard_output():
    command = launch_command("a b=1 ! video/x-raw(memory:NVMM),width=2", 7, timed=True)
    assert shlex.join(command).startswith("gst-launch-1.0 -q a b=1 ")
    assert "video/x-raw(memory:NVMM),width=2" in command
    assert command[-5:] == ["gdppay", "!", "fdsink", "fd=7", "sync=false"]
    assert "gdppay" not in launch_command("a", 7, timed=False)


def test_the_telling_line_is_the_last_error():
    said = ["Setting up", "ERROR: from element x: No cameras available", "Freeing pipeline", ""]
    assert failure_line(said) == "ERROR: from element x: No cameras available"
    assert failure_line(["one", "two", ""]) == "two"
    assert failure_line([]) == "it said nothing"


def gdp_header(kind: int = 1, length: int = 12, pts_ns: int = 1_500_000_000, major: int = 1):
    return struct.pack(">BBBBHIQ", major, 0, 1, 0, kind, length, pts_ns) + bytes(44)


def test_gdp_header():
    assert gdp.parse_header(gdp_header()) == gdp.GdpHeader(True, 12, 1.5)
    assert gdp.parse_header(gdp_header(pts_ns=2**64 - 1)).pts_s is None
    assert not gdp.parse_header(gdp_header(kind=2)).is_frame


@pytest.mark.parametrize(
    "data", [b"", bytes(62), b"\xff" * 62, gdp_header(major=2), gdp_header(kind=70, length=2**30)]
)
def test_what_is_no_gdp_header_is_refused(data):
    with pytest.raises(ValueError, match="GDP"):
        gdp.parse_header(data)


# The child


@needs_gstreamer
def test_frames_come_whole_and_in_colour(timed):
    source = CsiSource("csi://0", SMALL, pattern("solid-color"))
    child = source._child
    try:
        assert (source.info.kind, source.live) == ("csi", True)
        before_s = time.monotonic()
        frames = [source.read() for _ in range(12)]
    finally:
        source.close()
    assert [f.index for f in frames] == list(range(12))
    for got in frames:
        assert got.image.shape == (48, 64, 3)
        assert got.image.flags["C_CONTIGUOUS"]
        assert (got.image == (0x10, 0x80, 0xF0)).all()
    times_s = np.array([f.time_s for f in frames])
    assert (np.diff(times_s) > 0).all()
    assert before_s - 2.0 < times_s[0] < times_s[-1] < time.monotonic()
    if timed:  # the source's own clock, whatever the load of this machine does to arrivals
        steps = np.diff(times_s) * 60
        assert steps == pytest.approx(np.round(steps), abs=0.01)
    assert child.returncode is not None, "the child was left behind"


@needs_gstreamer
def test_a_child_that_ends_is_a_failure_and_leaves_no_zombie(timed):
    # without is-live the test source runs as fast as it is read
    source = CsiSource("csi://0", SMALL, pattern("black", num_buffers=90))
    child = source._child
    with pytest.raises(SourceError, match=r"^csi://0 ended \(.*\): check the camera"):
        for _ in source:
            pass
    assert child.returncode is not None
    source.close()
    source.close()
    with pytest.raises(SourceError, match="is closed"):
        source.read()


@needs_gstreamer
def test_the_childs_last_words_are_in_the_message(timed):
    with pytest.raises(SourceError) as caught:
        CsiSource("csi://0", SMALL, lambda spec, options: "filesrc location=/nonexistent")
    assert "ERROR" in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_gstreamer
def test_a_computer_that_is_no_jetson_is_told_so(timed):
    if csi._has_element("nvarguscamerasrc") and not timed:
        pytest.skip("this is a Jetson")
    with pytest.raises(SourceError, match="needs a Jetson with JetPack"):
        CsiSource("csi://0", SMALL)


@needs_gstreamer
def test_a_silent_child_is_a_failure(timed):
    options = CaptureOptions(width_px=64, height_px=48, open_timeout_s=0.5)
    descriptors = len(os.listdir("/proc/self/fd"))
    began_s = time.monotonic()
    with pytest.raises(SourceError, match=r"no frame for 0\.5 s"):
        CsiSource("csi://0", options, lambda *_: "videotestsrc is-live=true ! valve drop=true")
    assert time.monotonic() - began_s >= 0.5
    # a thread of its own closes what the child said last
    eventually(lambda: len(os.listdir("/proc/self/fd")) == descriptors, "no descriptor is lost")


@needs_gstreamer
def test_frames_of_another_size_are_noticed(timed):
    if not timed:
        pytest.skip("bare bytes have no size")
    larger = CaptureOptions(width_px=80, height_px=48, fps=60.0)
    with pytest.raises(SourceError, match="frames of 15360 bytes instead of 12288"):
        CsiSource("csi://0", SMALL, lambda spec, options: pattern("black")(spec, larger))


@needs_gstreamer
def test_close_from_another_thread_ends_a_waiting_read(timed):
    source = CsiSource("csi://0", SMALL, pattern("black"))
    errors = []

    def read_on() -> None:
        try:
            while True:
                source.read()
        except SourceError as error:
            errors.append(str(error))

    reader = threading.Thread(target=read_on)
    reader.start()
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert errors == ["csi://0 is closed."]
    assert source._child.returncode is not None


def test_a_child_that_ignores_the_signal_is_killed(tmp_path, monkeypatch):
    script = tmp_path / "gst-launch-1.0"
    script.write_text("#!/bin/sh\ntrap '' INT TERM\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(csi, "_has_element", lambda name: False)
    monkeypatch.setattr(csi, "_GRACE_S", 0.1)
    children = []
    real_popen = csi.subprocess.Popen

    def popen(*args, **kwargs):
        children.append(real_popen(*args, **kwargs))
        return children[-1]

    monkeypatch.setattr(csi.subprocess, "Popen", popen)
    options = CaptureOptions(width_px=64, height_px=48, open_timeout_s=0.3)
    with pytest.raises(SourceError, match="delivered no frame"):
        CsiSource("csi://0", options)
    assert [child.returncode for child in children] == [-9]


def test_without_gstreamer_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(csi.shutil, "which", lambda name: None)
    with pytest.raises(SourceError, match=r"apt-get install gstreamer1\.0-tools"):
        CsiSource("csi://0", SMALL)
