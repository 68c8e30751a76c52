"""CSI cameras of a Jetson, through a GStreamer child process.

No OpenCV wheel has GStreamer in it, and python3-gi belongs to the system's Python; a
``gst-launch-1.0`` child that writes raw frames to a pipe needs neither, and a crash in NVIDIA's
libraries stays out of the daemon.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Callable, List, Optional, Sequence

import cv2
import numpy as np

from hrd.capture import gdp
from hrd.capture.clock import StreamClock
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.childprocess import LastWords, end
from hrd.types import Frame

logger = logging.getLogger(__name__)

_F_SETPIPE_SZ = 1031  # <fcntl.h>; in Python's fcntl from 3.10 on
_PIPE_BYTES = 1 << 20
_SENSOR_SIZES = ((1280, 720), (1920, 1080), (3264, 2464))
_GRACE_S = 1.0


@dataclass(frozen=True)
class CsiSpec:
    """``csi://SENSOR`` or ``csi://SENSOR?flip=METHOD`` (nvvidconv's; 2: upside down)."""

    sensor: int
    flip: int = 0


def parse_csi(spec: str) -> CsiSpec:
    match = re.fullmatch(r"csi://(\d{1,2})?/?(?:\?flip=([0-7]))?", spec)
    if match is None:
        raise SourceError(
            f"{spec} does not name a CSI camera: use csi://0, or csi://0?flip=2 for one that is "
            "upside down."
        )
    return CsiSpec(int(match.group(1) or 0), int(match.group(2) or 0))


def argus_pipeline(spec: CsiSpec, options: CaptureOptions) -> str:
    """The elements from sensor to BGRx frames of exactly the size asked for.

    The sensor runs at the smallest of its usual sizes that holds the picture; ``nvvidconv`` cuts
    the middle to the picture's shape, scales and flips it in hardware.
    """
    width, height = options.width_px, options.height_px
    fitting = [size for size in _SENSOR_SIZES if size[0] >= width and size[1] >= height]
    sensor_w, sensor_h = fitting[0] if fitting else _SENSOR_SIZES[-1]
    rate = Fraction(options.fps).limit_denominator(1001)
    turned = spec.flip % 2 == 1  # odd methods swap width and height
    shape = Fraction(height, width) if turned else Fraction(width, height)
    cut_w = min(sensor_w, int(sensor_h * shape) // 2 * 2)
    cut_h = min(sensor_h, int(sensor_w / shape) // 2 * 2)
    left, top = (sensor_w - cut_w) // 2, (sensor_h - cut_h) // 2
    crop = ""
    if (cut_w, cut_h) != (sensor_w, sensor_h):
        crop = f" left={left} right={left + cut_w} top={top} bottom={top + cut_h}"
    return (
        f"nvarguscamerasrc sensor-id={spec.sensor} ! "
        f"video/x-raw(memory:NVMM),width={sensor_w},height={sensor_h},format=NV12,"
        f"framerate={rate.numerator}/{rate.denominator} ! "
        f"nvvidconv flip-method={spec.flip}{crop} ! "
        f"video/x-raw,format=BGRx,width={width},height={height}"
    )


def launch_command(pipeline: str, fd: int, timed: bool) -> List[str]:
    """The child's argv: ``pipeline``, a queue that drops the oldest frame, and a pipe.

    The frames go to a descriptor of their own: Argus chatters on standard output.
    """
    pay = "gdppay ! " if timed else ""
    sink = f"queue max-size-buffers=2 leaky=downstream ! {pay}fdsink fd={fd} sync=false"
    return ["gst-launch-1.0", "-q", *shlex.split(f"{pipeline} ! {sink}")]


def failure_line(lines: Sequence[str]) -> str:
    """The line that best tells why a child of GStreamer ended: its last ERROR, else its last."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if "ERROR" in line or "erroneous" in line or "rror:" in line]
    return (errors or said or ["it said nothing"])[-1]


class CsiSource(FrameSource):
    """Reads a Jetson's CSI camera.

    Live. Times: where GStreamer has ``gdppay`` (gst-plugins-bad, part of JetPack) each frame
    carries its PTS, which Argus takes from the sensor, and ``StreamClock`` places it on the
    ``time.monotonic()`` axis; where it is missing, frames get the time of their arrival, which
    jitters with the scheduler. Exposure is left automatic: ``gst-launch`` cannot change Argus'
    locks while it runs. ``close`` may be called from another thread and ends a waiting ``read``.

    ``pipeline`` makes the GStreamer elements that deliver BGRx frames of the size asked for.
    """

    live = True

    def __init__(
        self,
        spec: str,
        options: CaptureOptions,
        pipeline: Callable[[CsiSpec, CaptureOptions], str] = argus_pipeline,
    ) -> None:
        self._spec = spec
        self._options = options
        elements = pipeline(parse_csi(spec), options)
        if shutil.which("gst-launch-1.0") is None:
            raise SourceError(
                f"{spec} needs GStreamer: sudo apt-get install gstreamer1.0-tools "
                "gstreamer1.0-plugins-base."
            )
        self._timed = _has_element("gdppay")
        if not self._timed:
            logger.warning(
                "%s: GStreamer has no gdppay (gstreamer1.0-plugins-bad): using times of arrival",
                spec,
            )
        self._clock = StreamClock(spec, warm_up_s=0.5 if self._timed else 0.0)
        self._index = 0
        self._picture = np.empty((options.height_px, options.width_px, 4), np.uint8)  # BGRx
        self._lock = threading.Lock()
        self._closed = False
        self._fd = -1
        self._start(elements)
        try:
            self._first: Optional[Frame] = self._next_frame(options.open_timeout_s)
        except SourceError:
            self.close()
            raise
        self.info = SourceInfo(
            spec=spec,
            kind="csi",
            width_px=options.width_px,
            height_px=options.height_px,
            nominal_fps=options.fps,
            pixel_format="BGRx",
        )

    def read(self) -> Frame:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return self._next_frame(self._options.read_timeout_s)

    def close(self) -> None:
        self._closed = True
        self._first = None
        self._end_child()  # ends a read in another thread, which holds the lock
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _start(self, elements: str) -> None:
        read_fd, write_fd = os.pipe()
        try:
            fcntl.fcntl(write_fd, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # only a matter of fewer wake-ups
        try:
            self._child = subprocess.Popen(
                launch_command(elements, write_fd, self._timed),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_fd,),
                start_new_session=True,  # Ctrl-C is for hrd, which then ends the child properly
            )
        except OSError as error:
            os.close(read_fd)
            raise SourceError(
                f"{self._spec}: GStreamer cannot be started ({error.strerror}): reinstall "
                "gstreamer1.0-tools."
            ) from None
        finally:
            os.close(write_fd)
        self._fd = read_fd
        assert self._child.stdout is not None
        self._words = LastWords(self._child.stdout, 50, "gst-launch")

    def _end_child(self) -> None:
        # SIGINT makes gst-launch stop the pipeline in order; Argus killed in the middle of a
        # capture can stay wedged until its daemon is restarted
        end(self._child, (signal.SIGINT, _GRACE_S), (signal.SIGKILL, _GRACE_S))

    def _next_frame(self, timeout_s: float) -> Frame:
        with self._lock:
            while True:
                pts_s = self._receive(timeout_s)
                time_s = self._clock.place(pts_s, time.monotonic())
                if time_s is not None:
                    break
            image = cv2.cvtColor(self._picture, cv2.COLOR_BGRA2RGB)
        frame = Frame(image, time_s, self._index)
        self._index += 1
        return frame

    def _receive(self, timeout_s: float) -> Optional[float]:
        """Fill ``self._picture`` with the next frame; its PTS if it has one."""
        deadline_s = time.monotonic() + timeout_s
        picture = self._picture.data.cast("B")
        if not self._timed:
            self._fill(picture, deadline_s, timeout_s)
            return None
        header_bytes = bytearray(gdp.HEADER_BYTES)
        while True:
            self._fill(memoryview(header_bytes), deadline_s, timeout_s)
            try:
                header = gdp.parse_header(bytes(header_bytes))
            except ValueError as error:
                raise SourceError(f"{self._spec}: GStreamer sent nonsense ({error}).") from None
            if not header.is_frame:
                self._fill(memoryview(bytearray(header.payload_bytes)), deadline_s, timeout_s)
                continue
            if header.payload_bytes != len(picture):
                raise SourceError(
                    f"{self._spec} delivers frames of {header.payload_bytes} bytes instead of "
                    f"{len(picture)}: ask for another size."
                )
            self._fill(picture, deadline_s, timeout_s)
            return header.pts_s

    def _fill(self, buffer: memoryview, deadline_s: float, timeout_s: float) -> None:
        """Read exactly ``len(buffer)`` bytes from the child."""
        if self._closed or self._fd < 0:
            raise SourceError(f"{self._spec} is closed.")
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        filled = 0
        while filled < len(buffer):
            wait_ms = max(0.0, 1e3 * (deadline_s - time.monotonic()))
            if not poll.poll(wait_ms):
                raise SourceError(
                    f"{self._spec} has delivered no frame for {timeout_s:g} s: check the ribbon "
                    "cable, then restart Argus (sudo systemctl restart nvargus-daemon)."
                )
            count = os.readv(self._fd, [buffer[filled:]])
            if count == 0:
                raise SourceError(self._why_ended())
            filled += count

    def _why_ended(self) -> str:
        if self._closed:
            return f"{self._spec} is closed."
        self._end_child()
        line = failure_line(self._words.of_the_dead())
        if 'no element "nvarguscamerasrc"' in line:
            return (
                f"{self._spec} needs a Jetson with JetPack: GStreamer here has no nvarguscamerasrc."
            )
        return f"{self._spec} ended ({line}): check the camera and its cable."


def _has_element(name: str) -> bool:
    """Whether GStreamer knows an element; False too where it cannot be asked."""
    try:
        answer = subprocess.run(
            ["gst-inspect-1.0", "--exists", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
