from __future__ import annotations

import errno
import logging
import os
import stat
import struct
from types import SimpleNamespace
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np
import pytest

from hrd.capture import devices, jpeg
from hrd.capture.devices import check_camera, first_camera, parse_capability
from hrd.capture.exposure import Action, ExposureGovernor
from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceError
from hrd.capture.v4l2 import (
    Mode,
    V4l2Source,
    _opencv_capture,
    choose_mode,
    format_preferences,
    fourcc_code,
    fourcc_text,
)
from hrd.errors import UsageError
from hrd.picture import Region, average
from hrd.types import Demand, Layout, Packing

PERIOD_S = 1 / 30


class FakeCamera:
    """Behaves as OpenCV's V4L2 backend does, in a time of its own."""

    def __init__(
        self,
        formats: Optional[Dict[str, float]] = None,
        size: Optional[Tuple[int, int]] = None,
        opens: bool = True,
        frames: int = 10_000,
        driver_time: str = "monotonic",
        lockable: bool = True,
        level_when_manual: Optional[int] = None,
        damaged: Tuple[int, ...] = (),
        path: str = "",
        raw: bool = False,
    ) -> None:
        self.raw = raw
        self.formats = {"YUYV": 30.0, "MJPG": 30.0} if formats is None else formats
        self.now_s = 5000.0
        self.props: Dict[int, float] = {}
        self.fixed_size = size
        self.opens = opens
        self.frames = frames
        self.driver_time = driver_time
        self.lockable = lockable
        self.level_when_manual = level_when_manual
        self.damaged = damaged
        self.count = 0
        self.level = 100
        self.released = 0
        self.sets: List[Tuple[int, float]] = []
        self.format = next(iter(self.formats), "YUYV")
        self.props[cv2.CAP_PROP_AUTO_EXPOSURE] = 3
        self.props[cv2.CAP_PROP_EXPOSURE] = 156

    def open(self, path: str) -> FakeCamera:
        return self

    def clock(self) -> float:
        return self.now_s

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def release(self) -> None:
        self.released += 1

    def set(self, prop: int, value: float) -> bool:
        self.sets.append((prop, value))
        if prop == cv2.CAP_PROP_FOURCC:
            if fourcc_text(value) in self.formats:
                self.format = fourcc_text(value)
            return True
        automatic = (cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_AUTO_WB, cv2.CAP_PROP_EXPOSURE)
        if prop in automatic and not self.lockable:
            return False
        self.props[prop] = value
        return True

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_FOURCC:
            return float(fourcc_code(self.format))
        if prop == cv2.CAP_PROP_FPS:
            return self.formats[self.format]
        if prop == cv2.CAP_PROP_FRAME_WIDTH and self.fixed_size:
            return self.fixed_size[0]
        if prop == cv2.CAP_PROP_FRAME_HEIGHT and self.fixed_size:
            return self.fixed_size[1]
        if prop == cv2.CAP_PROP_POS_MSEC:
            captured_s = self.now_s - 0.012
            return (
                1e3
                * {"monotonic": captured_s, "zero": 0.0, "wall": captured_s + 1.7e9}[
                    self.driver_time
                ]
            )
        return self.props.get(prop, 0.0)

    def grab(self) -> bool:
        if self.count >= self.frames:
            return False
        self.count += 1
        self.now_s += PERIOD_S
        return True

    def retrieve(self) -> Tuple[bool, Optional[np.ndarray]]:
        if self.count in self.damaged:
            return False, None
        width = int(self.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self.get(cv2.CAP_PROP_FRAME_HEIGHT))
        manual = self.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
        level = self.level
        if manual and self.level_when_manual is not None:
            level = self.level_when_manual
        image = np.full((height, width, 3), level, np.uint8)
        image[..., 0] = 7  # blue
        if self.raw and self.props.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
            if self.format == "MJPG":
                return True, cv2.imencode(".jpg", image)[1].reshape(1, -1)
            yuyv = np.full((height, width, 2), 128, np.uint8)
            yuyv[..., 0] = level
            return True, yuyv
        return True, image


def open_fake(camera: FakeCamera, **options) -> V4l2Source:
    settings = dict({"lock_exposure": False}, **options)
    return V4l2Source(
        "/dev/null",  # exists, so that a loss is not taken for an unplugged camera
        CaptureOptions(**settings),
        open_capture=camera.open,
        check=lambda path: None,
        clock=camera.clock,
    )


# Formats


def test_fourcc_there_and_back():
    assert fourcc_code("MJPG") == 0x47504A4D
    assert fourcc_text(fourcc_code("YUYV")) == "YUYV"
    assert fourcc_text(-1.0) == "????"


def test_uncompressed_is_preferred_where_usb_2_can_carry_it():
    assert format_preferences(CaptureOptions(width_px=640, height_px=480, fps=30))[0] == "YUYV"
    assert format_preferences(CaptureOptions(width_px=1280, height_px=720, fps=30))[0] == "MJPG"
    assert format_preferences(CaptureOptions(pixel_format="MJPG")) == ("MJPG",)


def mode(pixel_format: str, fps: float) -> Mode:
    return Mode(pixel_format, 640, 480, fps)


@pytest.mark.parametrize(
    ("offers", "best"),
    [
        ([("YUYV", mode("YUYV", 30)), ("MJPG", mode("MJPG", 30))], 0),
        ([("YUYV", mode("YUYV", 10)), ("MJPG", mode("MJPG", 30))], 1),
        ([("YUYV", mode("YUYV", 15)), ("MJPG", mode("MJPG", 15))], 0),
        ([("YUYV", mode("NV12", 30)), ("MJPG", mode("MJPG", 15))], 1),
        ([("YUYV", mode("NV12", 30)), ("MJPG", mode("NV12", 30))], 0),
    ],
)
def test_choice_of_the_mode(offers, best):
    assert choose_mode(offers, 30.0) == best


def test_asks_for_format_size_rate_and_few_buffers():
    camera = FakeCamera()
    with open_fake(camera, width_px=320, height_px=240, fps=30.0) as source:
        assert source.info.pixel_format == "YUYV"
        assert (source.info.width_px, source.info.height_px) == (320, 240)
        assert source.live
    properties = [prop for prop, _ in camera.sets]
    assert properties[0] == cv2.CAP_PROP_FOURCC  # before the size and rate that depend on it
    assert camera.props[cv2.CAP_PROP_FPS] == 30.0
    assert camera.props[cv2.CAP_PROP_BUFFERSIZE] == 2


def test_auto_turns_to_mjpg_where_yuyv_is_slow():
    camera = FakeCamera(formats={"YUYV": 10.0, "MJPG": 30.0})
    with open_fake(camera) as source:
        assert (source.info.pixel_format, source.info.nominal_fps) == ("MJPG", 30.0)


def test_auto_returns_to_the_better_of_two_slow_formats():
    camera = FakeCamera(formats={"YUYV": 20.0, "MJPG": 15.0})
    with open_fake(camera) as source:
        assert source.info.pixel_format == "YUYV"
    assert camera.format == "YUYV"


def test_auto_takes_what_there_is(caplog):
    camera = FakeCamera(formats={"NV12": 25.0}, size=(800, 600))
    with caplog.at_level(logging.WARNING), open_fake(camera) as source:
        assert (source.info.pixel_format, source.info.width_px) == ("NV12", 800)
    assert "set itself to 800x600 at 25 fps" in caplog.text


def test_a_refused_format_is_an_error_that_names_the_offer():
    camera = FakeCamera(formats={"YUYV": 30.0})
    with pytest.raises(SourceError, match=r"does not deliver MJPG .* \(it offers YUYV\)"):
        open_fake(camera, pixel_format="MJPG")
    assert camera.released == 1


# Frames


def test_frames_are_rgb_with_the_drivers_times():
    camera = FakeCamera()
    with open_fake(camera) as source:
        frames = [source.read() for _ in range(4)]
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert np.diff([f.time_s for f in frames]) == pytest.approx([PERIOD_S] * 3)
    assert frames[-1].time_s == pytest.approx(camera.now_s - 0.012)
    assert frames[0].image.shape == (480, 640, 3)
    assert frames[0].image[0, 0].tolist() == [100, 100, 7]
    assert camera.released == 1


def test_raw_pictures_are_taken_as_they_are():
    with open_fake(FakeCamera(raw=True)) as source:
        frame = source.read()
        assert source.info.width_px == 640
    assert frame.layout == Layout(Packing.YUYV, 640, 480, chroma=(2, 1))
    grey = (100 - 16) * 255 / 219
    np.testing.assert_allclose(average(frame, Region(50, 50, 90, 90), 36, 36), grey, atol=0.1)


@pytest.mark.skipif(not jpeg.AVAILABLE, reason="simplejpeg is not installed")
def test_jpeg_is_decoded_as_small_as_is_asked_for():
    camera = FakeCamera(formats={"MJPG": 30.0}, raw=True, damaged=(4,))
    with open_fake(camera) as source:
        assert source.read().image.shape == (480, 640, 3)
        source.ask(Demand(reduced=2, every_s=0.1))
        frames = [source.read() for _ in range(3)]
    assert all(frame.image.shape == (240, 320, 3) for frame in frames)
    assert frames[0].layout == Layout(Packing.RGB, 640, 480, reduced=2)
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([0.1, 0.1])
    assert [len(frame.earlier_s) for frame in frames] == [2, 2, 2]
    assert np.diff([frame.index for frame in frames]).tolist() == [3, 3]
    np.testing.assert_allclose(frames[0].image[0, 0], [100, 100, 7], atol=3)


def test_opencv_says_nothing_of_its_own(capfd):
    if not hasattr(cv2, "setLogLevel"):
        pytest.skip("this OpenCV is told by the environment alone")
    assert not _opencv_capture("/dev/video97").isOpened()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("driver_time", ["zero", "wall"])
def test_useless_driver_times_give_way_to_the_time_of_the_grab(driver_time, caplog):
    camera = FakeCamera(driver_time=driver_time)
    with caplog.at_level(logging.WARNING), open_fake(camera) as source:
        frames = [source.read() for _ in range(6)]
    assert frames[-1].time_s == camera.now_s
    assert np.diff([f.time_s for f in frames]) == pytest.approx([PERIOD_S] * 5)
    assert caplog.text.count("time stamps are of no use") == 1


def test_damaged_frames_are_left_out_and_said_once(caplog):
    camera = FakeCamera(damaged=(3, 5, 6))
    with caplog.at_level(logging.WARNING), open_fake(camera) as source:
        steps = np.diff([source.read().time_s for _ in range(5)])
    assert steps == pytest.approx([PERIOD_S * n for n in (2, 3, 1, 1)])
    assert caplog.text.count("damaged") == 1


def test_nothing_but_damaged_frames_is_a_failure():
    camera = FakeCamera(damaged=tuple(range(2, 10_000)))
    with open_fake(camera, read_timeout_s=2.0) as source:
        with pytest.raises(SourceError, match="no usable frame for 2 s"):
            source.read()
        assert camera.count == pytest.approx(60, abs=3)


def test_a_camera_that_stops_is_a_failure():
    camera = FakeCamera(frames=5)
    with open_fake(camera) as source:
        for _ in range(4):
            source.read()
        with pytest.raises(SourceError, match="has stopped delivering frames"):
            source.read()
    assert camera.released == 1


def test_an_unplugged_camera_is_named_as_such(tmp_path):
    path = tmp_path / "video0"
    path.touch()
    camera = FakeCamera(frames=2)
    source = V4l2Source(
        str(path),
        CaptureOptions(lock_exposure=False),
        open_capture=camera.open,
        check=lambda path: None,
        clock=camera.clock,
    )
    source.read()
    path.unlink()
    with pytest.raises(SourceError, match="was unplugged"):
        source.read()
    source.close()
    source.close()
    assert camera.released == 1
    with pytest.raises(SourceError, match="is closed"):
        source.read()


def test_a_camera_that_does_not_open_or_gives_nothing():
    camera = FakeCamera(opens=False)
    with pytest.raises(SourceError, match="does not start"):
        open_fake(camera)
    assert camera.released == 1
    camera = FakeCamera(frames=0)
    with pytest.raises(SourceError, match="opens but delivers no picture"):
        open_fake(camera)
    assert camera.released == 1


# Exposure


def test_exposure_is_locked_after_settling_and_freed_at_the_end(caplog):
    camera = FakeCamera()
    opened_s = camera.now_s
    with caplog.at_level(logging.INFO):
        source = open_fake(camera, lock_exposure=True, settle_s=1.5)
        assert camera.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3
        assert camera.props[cv2.CAP_PROP_AUTO_WB] == 1
        frame = source.read()
    assert frame.index == 0
    assert frame.time_s - opened_s == pytest.approx(2.0, abs=0.2)  # settled and checked
    assert camera.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert camera.props[cv2.CAP_PROP_AUTO_WB] == 0
    assert (cv2.CAP_PROP_EXPOSURE, 156) in camera.sets
    assert "exposure locked at 156, white balance locked" in caplog.text
    source.close()
    assert camera.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3
    assert camera.props[cv2.CAP_PROP_AUTO_WB] == 1


def test_a_driver_that_does_not_lock_is_left_alone(caplog):
    camera = FakeCamera(lockable=False)
    with caplog.at_level(logging.INFO), open_fake(camera, lock_exposure=True) as source:
        source.read()
        source.read()
    assert caplog.text.count("exposure stays automatic") == 1


def test_a_lock_that_changes_the_picture_is_taken_back():
    camera = FakeCamera(level_when_manual=20)
    with open_fake(camera, lock_exposure=True) as source:
        frame = source.read()
        assert frame.image[0, 0, 0] == 100
        assert camera.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3
        locks = camera.sets.count((cv2.CAP_PROP_AUTO_EXPOSURE, 1))
        for _ in range(3000):
            source.read()
        assert camera.sets.count((cv2.CAP_PROP_AUTO_EXPOSURE, 1)) == locks == 1


def run_governor(governor, level, seconds, start_s):
    """Push 30 frames per second of one brightness; (time, action) of all that is not NONE."""
    actions = []
    for i in range(int(seconds * 30)):
        time_s = start_s + i / 30
        action = governor.push(level, time_s)
        if action is not Action.NONE:
            actions.append((time_s, action))
    return actions


def test_governor_meters_anew_when_the_light_has_changed_for_long():
    governor = ExposureGovernor(settle_s=1.0)
    assert [a for _, a in run_governor(governor, 100, 90, 0.0)] == [Action.LOCK]
    assert governor.locked
    assert run_governor(governor, 30, 3, 90.0) == []  # somebody walks past
    assert run_governor(governor, 100, 10, 93.0) == []
    actions = run_governor(governor, 30, 10, 103.0)
    assert [a for _, a in actions] == [Action.UNLOCK, Action.LOCK]
    assert actions[0][0] == pytest.approx(108.0, abs=0.7)
    assert actions[1][0] - actions[0][0] == pytest.approx(1.0, abs=0.1)
    assert governor.locked
    assert governor.usable


def test_governor_does_not_meter_anew_more_than_once_a_minute():
    governor = ExposureGovernor(settle_s=1.0)
    actions = []
    for k in range(30):  # the light is switched every eight seconds
        actions += run_governor(governor, 200 if k % 2 else 20, 8, 8.0 * k)
    unlocks = [t for t, a in actions if a is Action.UNLOCK]
    assert len(unlocks) in (3, 4)
    assert min(np.diff(unlocks)) >= 60.0


def test_governor_withholds_frames_until_the_lock_is_checked():
    governor = ExposureGovernor(settle_s=1.0)
    usable = []
    for i in range(90):
        governor.push(100.0, i / 30)
        usable.append(governor.usable)
    assert usable.index(True) == 45
    assert all(usable[45:])


# Devices


def capability(
    driver: bytes = b"uvcvideo", device_caps: int = 0x04200001, capabilities: int = 0x84A00001
) -> bytes:
    return struct.pack(
        "=16s32s32sIII12x", driver, b"C920", b"usb-1", 0x050F00, capabilities, device_caps
    )


def test_capability_of_a_camera_and_of_its_metadata_node():
    camera = parse_capability(capability())
    assert (camera.driver, camera.card, camera.captures) == ("uvcvideo", "C920", True)
    assert not parse_capability(capability(device_caps=0x04A00000)).captures
    assert not parse_capability(capability(device_caps=0x00000001)).captures  # read() only
    assert parse_capability(capability(device_caps=0x04001000)).captures  # multi-planar
    # a driver too old for device_caps
    assert parse_capability(capability(device_caps=0, capabilities=0x04000001)).captures


class FakeKernel:
    """Device nodes that answer as told, in place of os.open and ioctl."""

    def __init__(self, monkeypatch) -> None:
        self.answers: Dict[str, object] = {}
        self.busy: set = set()
        self.open_fds: Dict[int, str] = {}
        real_stat = os.stat
        monkeypatch.setattr(devices.glob, "glob", lambda pattern: list(self.answers))
        monkeypatch.setattr(
            devices.os,
            "stat",
            lambda path, **kw: (
                SimpleNamespace(st_mode=stat.S_IFCHR | 0o660)
                if path in self.answers
                else real_stat(path, **kw)
            ),
        )
        monkeypatch.setattr(devices.os, "open", self.open)
        monkeypatch.setattr(devices.os, "close", lambda fd: self.open_fds.pop(fd))
        monkeypatch.setattr(devices.fcntl, "ioctl", self.ioctl)

    def open(self, path: str, flags: int) -> int:
        answer = self.answers[path]
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        fd = 1000 + len(self.open_fds)
        self.open_fds[fd] = path
        return fd

    def ioctl(self, fd: int, request: int, data: bytearray, mutate: bool) -> int:
        path = self.open_fds[fd]
        if request == 0x80685600:
            assert len(data) == 104
            data[:] = self.answers[path]  # type: ignore[call-overload]
        else:
            assert request == 0xC0145608
            assert len(data) == 20
            if path in self.busy:
                raise OSError(errno.EBUSY, "Device or resource busy")
        return 0


@pytest.fixture
def kernel(monkeypatch):
    fake = FakeKernel(monkeypatch)
    yield fake
    assert fake.open_fds == {}, "a descriptor was left open"


def test_check_names_the_remedy(kernel):
    kernel.answers = {
        "/dev/video0": capability(),
        "/dev/video1": capability(device_caps=0x04A00000),
        "/dev/video2": errno.EACCES,
        "/dev/video3": errno.EBUSY,
        "/dev/video4": errno.ENODEV,
        "/dev/video5": capability(),
        "/dev/video6": capability(driver=b"tegra-video"),
    }
    kernel.busy = {"/dev/video5"}
    assert check_camera("/dev/video0").card == "C920"
    expected = {
        "/dev/video1": "delivers no pictures",
        "/dev/video2": r"video group \(sudo usermod -aG video \$USER\)",
        "/dev/video3": "in use by another program",
        "/dev/video4": "does not answer",
        "/dev/video5": "in use by another program",
        "/dev/video6": "use csi://0",
    }
    for path, pattern in expected.items():
        with pytest.raises(SourceError, match=pattern) as caught:
            check_camera(path)
        assert path in str(caught.value)
        assert str(caught.value).endswith(".")


def test_check_of_what_is_no_camera(tmp_path):
    with pytest.raises(SourceError, match="There is no device /dev/video987"):
        check_camera("/dev/video987")
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="is not a device"):
        check_camera(str(tmp_path / "video0"))
    with pytest.raises(SourceError, match="is not a camera"):
        check_camera("/dev/null")  # the real ioctl, on a real character device


def test_first_camera_is_the_lowest_that_captures(kernel):
    kernel.answers = {
        "/dev/video10": capability(),
        "/dev/video2": capability(),
        "/dev/video1": capability(device_caps=0x04A00000),
        "/dev/video0": errno.ENODEV,
        "/dev/video-enc": capability(),
    }
    assert first_camera() == "/dev/video2"


def test_first_camera_on_a_jetson_is_its_csi_sensor(kernel):
    kernel.answers = {"/dev/video0": capability(driver=b"tegra-video")}
    assert first_camera() == "csi://0"


def test_first_camera_that_is_forbidden_is_not_passed_over(kernel):
    kernel.answers = {"/dev/video0": errno.EACCES, "/dev/video1": capability()}
    assert first_camera() == "/dev/video0"


def test_no_camera(kernel):
    assert first_camera() is None


# Options


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width_px", 0),
        ("width_px", 641),
        ("height_px", 100_000),
        ("fps", 0.0),
        ("fps", float("nan")),
        ("pixel_format", "H264"),
        ("settle_s", -1.0),
        ("read_timeout_s", 0.0),
    ],
)
def test_options_that_cannot_be_meant(field, value):
    with pytest.raises(UsageError, match=field):
        CaptureOptions(**{field: value})
