"""What the kernel says of V4L2 devices: asked by ioctl, with the standard library only."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import List, Optional, Tuple

from hrd.capture.source import SourceError

# <linux/videodev2.h>; the same numbers on x86-64 and aarch64
_VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), 104 bytes
_VIDIOC_ENUM_FMT = 0xC0405602  # _IOWR('V', 2, struct v4l2_fmtdesc), 64 bytes
_VIDIOC_REQBUFS = 0xC0145608  # _IOWR('V', 8, struct v4l2_requestbuffers), 20 bytes
_CAP_VIDEO_CAPTURE = 0x00000001
_CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
_CAP_STREAMING = 0x04000000
_CAP_DEVICE_CAPS = 0x80000000
_BUF_TYPE_VIDEO_CAPTURE = 1
_MAX_FORMATS = 64
_MEMORY_MMAP = 1

TEGRA_DRIVER = "tegra-video"
"""The Jetson's driver of raw CSI sensors: their frames are Bayer, before the ISP."""


@dataclass(frozen=True)
class Capability:
    """What ``VIDIOC_QUERYCAP`` answers, as far as it matters here."""

    driver: str
    card: str
    captures: bool


def parse_capability(data: bytes) -> Capability:
    """Decode ``struct v4l2_capability`` (104 bytes)."""
    driver, card, _bus, _version, capabilities, device_caps = struct.unpack_from(
        "=16s32s32sIII", data
    )
    caps = device_caps if capabilities & _CAP_DEVICE_CAPS else capabilities
    frames = caps & (_CAP_VIDEO_CAPTURE | _CAP_VIDEO_CAPTURE_MPLANE)
    return Capability(
        driver=driver.split(b"\0")[0].decode("utf-8", "replace"),
        card=card.split(b"\0")[0].decode("utf-8", "replace"),
        captures=bool(frames and caps & _CAP_STREAMING),
    )


def query_capability(fd: int) -> Capability:
    """Ask an open device; raises ``OSError`` (ENOTTY: not a V4L2 device)."""
    answer = bytearray(104)
    fcntl.ioctl(fd, _VIDIOC_QUERYCAP, answer, True)
    return parse_capability(bytes(answer))


@dataclass(frozen=True)
class Description:
    """A device as ``hrd doctor`` shows it. ``formats``: their four letters, as the driver lists
    them."""

    driver: str
    card: str
    captures: bool
    formats: Tuple[str, ...]


def describe(path: str) -> Description:
    """Ask a device what it is and offers; raises ``OSError``."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        capability = query_capability(fd)
        formats = query_formats(fd) if capability.captures else ()
        return Description(capability.driver, capability.card, capability.captures, formats)
    finally:
        os.close(fd)


def query_formats(fd: int) -> Tuple[str, ...]:
    """The pixel formats of an open device, as YUYV or MJPG."""
    formats: List[str] = []
    for index in range(_MAX_FORMATS):
        answer = bytearray(64)
        struct.pack_into("=II", answer, 0, index, _BUF_TYPE_VIDEO_CAPTURE)
        try:
            fcntl.ioctl(fd, _VIDIOC_ENUM_FMT, answer, True)
        except OSError:  # EINVAL: that was the last
            break
        formats.append(answer[44:48].decode("ascii", "replace"))
    return tuple(formats)


def _check_idle(fd: int) -> None:
    """Raise ``OSError`` (EBUSY) if another program streams from the device.

    Asking for no buffers frees none that are not ours, and is refused while they are another's.
    """
    request = struct.pack("=5I", 0, _BUF_TYPE_VIDEO_CAPTURE, _MEMORY_MMAP, 0, 0)
    try:
        fcntl.ioctl(fd, _VIDIOC_REQBUFS, bytearray(request), True)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise  # anything else concerns drivers with other buffers, not who uses them


def check_camera(path: str) -> Capability:
    """Raise ``SourceError`` saying why ``path`` cannot be used as a camera, if it cannot."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise SourceError(f"There is no device {path}: {_what_there_is()}.") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be reached ({error.strerror}): check it.") from None
    if not stat.S_ISCHR(status.st_mode):
        raise SourceError(f"{path} is not a device: name a camera such as /dev/video0.")
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(_why_not_open(path, error)) from None
    try:
        capability = query_capability(fd)
        if capability.driver == TEGRA_DRIVER:
            raise SourceError(
                f"{path} is a CSI sensor whose frames are raw: use csi://0 instead (csi://1 for "
                "the second)."
            )
        if not capability.captures:
            raise SourceError(
                f"{path} ({capability.card}) delivers no pictures: {_what_there_is(path)}."
            )
        _check_idle(fd)
    except OSError as error:
        raise SourceError(_why_not_open(path, error)) from None
    finally:
        os.close(fd)
    return capability


def _why_not_open(path: str, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{path} may not be opened by this user: add yourself to the video group "
            "(sudo usermod -aG video $USER) and log in again."
        )
    if error.errno == errno.EBUSY:
        return f"{path} is in use by another program: close it (fuser {path} names it)."
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{path} is not a camera: name one such as /dev/video0."
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.EIO):
        return f"{path} does not answer ({error.strerror}): unplug the camera and plug it in again."
    return f"{path} cannot be opened ({error.strerror}): check the camera."


def video_devices() -> List[str]:
    """All ``/dev/videoN``, lowest number first."""
    numbered = []
    for path in glob.glob("/dev/video*"):
        match = re.fullmatch(r"/dev/video(\d+)", path)
        if match:
            numbered.append((int(match.group(1)), path))
    return [path for _, path in sorted(numbered)]


def _what_there_is(but: Optional[str] = None) -> str:
    others = [path for path in video_devices() if path != but]
    return f"try {', '.join(others)}" if others else "plug in a camera"


def first_camera() -> Optional[str]:
    """Spec of the first camera, None where there is none.

    The lowest ``/dev/videoN`` that delivers pictures; ``csi://N`` where that is a Jetson's raw
    CSI sensor. A device that this user may not open counts as a camera: opening it then says
    what to do, which passing over it would hide.
    """
    for path in video_devices():
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            return path
        except OSError:
            continue
        try:
            capability = query_capability(fd)
        except OSError:
            continue
        finally:
            os.close(fd)
        if capability.driver == TEGRA_DRIVER:
            return "csi://0"  # lower sensors would have come first
        if capability.captures:
            return path
    return None
