"""Network cameras: RTSP, and what else FFmpeg plays live from an address."""

from __future__ import annotations

import logging
import re
import time
from typing import Any, Dict, Generator, Optional
from urllib.parse import urlsplit

from hrd.capture.clock import StreamClock
from hrd.capture.decode import LiveDecoder, frame_pts_s, video_stream
from hrd.capture.jpeg import DamagedPicture
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.picture import layout_of
from hrd.types import Frame

logger = logging.getLogger(__name__)

_UNTIMED_FORMATS = ("mpjpeg", "mjpeg")
"""Demuxers that number their pictures at an assumed 25 fps: times of arrival are truer."""


class StreamSource(FrameSource):
    """Reads a live stream with PyAV, RTSP over TCP.

    Live: frames are stamped on the ``time.monotonic()`` axis by their PTS (see ``StreamClock``),
    or by their arrival where they carry none. Opening ends or fails within
    ``options.open_timeout_s``; a stream that falls silent for ``options.read_timeout_s``, ends or
    breaks off raises ``SourceError``: a live stream has no proper end. A password in the address
    appears in no message.
    """

    live = True

    def __init__(self, url: str, options: CaptureOptions) -> None:
        self._name = without_password(url)
        self._options = options
        self._container: Optional[Any] = None
        container = self._connect(url)
        try:
            stream = video_stream(container)
            if stream is None:
                raise SourceError(f"{self._name} carries no picture: check the camera's address.")
            if container.duration is not None and container.duration > 0:
                raise SourceError(
                    f"{self._name} is a recording and not live: download it and give the file."
                )
        except SourceError:
            container.close()
            raise
        stream.thread_type = "SLICE"  # threads by frame would hold several frames back
        self._timed = container.format.name not in _UNTIMED_FORMATS
        self._clock = StreamClock(self._name)
        # asked anew for each picture: whoever reads may put its own in place
        self._decoder = LiveDecoder(stream, lambda count: self.allocate(count))
        self._bad_packets = 0
        self._container = container
        self._pictures = self._decode(container, stream)
        rate = stream.average_rate or stream.guessed_rate
        try:
            first = self._next_frame()
        except SourceError:
            self.close()
            raise
        self._first: Optional[Frame] = first
        self.info = SourceInfo(
            spec=self._name,
            kind="stream",
            width_px=layout_of(first).width_px,
            height_px=layout_of(first).height_px,
            nominal_fps=float(rate) if rate else None,
            pixel_format=self._decoder.pixel_format,
        )

    def read(self) -> Frame:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return self._next_frame()

    def close(self) -> None:
        self._first = None
        if self._container is not None:
            self._pictures.close()
            self._container.close()
            self._container = None

    def _connect(self, url: str) -> Any:
        import av

        options = self._options
        began_s = time.monotonic()
        settings: Dict[str, str] = {"fflags": "nobuffer", "flags": "low_delay"}
        if urlsplit(url).scheme.startswith("rtsp"):
            settings.update(rtsp_transport="tcp", allowed_media_types="video")
        try:
            return av.open(
                url, options=settings, timeout=(options.open_timeout_s, options.read_timeout_s)
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # cut short, FFmpeg's protocols give errors of many kinds: the clock tells better
            late = time.monotonic() - began_s >= options.open_timeout_s
            raise SourceError(self._why_not_open(error, late)) from None

    def _why_not_open(self, error: Exception, late: bool) -> str:
        import av

        name = self._name
        if late or isinstance(error, (av.error.ExitError, TimeoutError)):
            return (
                f"{name} did not answer within {self._options.open_timeout_s:g} s: "
                "check that the camera is on and in the network."
            )
        if isinstance(error, av.error.HTTPUnauthorizedError):
            return (
                f"{name} wants another user or password: put them into the address "
                "(rtsp://user:password@camera/path)."
            )
        if isinstance(error, (av.error.HTTPNotFoundError, av.error.HTTPForbiddenError)):
            return f"{name} has no such stream ({error.strerror}): check the path in the address."
        if isinstance(error, av.error.InvalidDataError):
            return f"{name} answers, but not as a camera does: check the address."
        why = getattr(error, "strerror", None) or error
        return f"{name} cannot be opened ({why}): check the address and that the camera is on."

    def _decode(self, container: Any, stream: Any) -> Generator[Any, None, None]:
        """Pictures as they come; raises ``SourceError`` at whatever ends the stream."""
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                raise SourceError(f"{self._name} ended: check the camera.") from None
            except (av.error.ExitError, TimeoutError):
                raise SourceError(
                    f"{self._name} sent nothing for {self._options.read_timeout_s:g} s: "
                    "check the camera and the network."
                ) from None
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(
                    f"{self._name} was lost ({error.strerror}): check the camera and the network."
                ) from None
            try:
                pictures = self._decoder.decode(packet)
            except av.error.EOFError:
                continue  # the demuxer says next how it ended
            except av.error.FFmpegError:
                self._count_damaged()
                continue
            yield from pictures

    def _count_damaged(self) -> None:
        if self._bad_packets == 0:
            logger.warning("%s: a damaged packet was left out", self._name)
        self._bad_packets += 1

    def _next_frame(self) -> Frame:
        if self._container is None:
            raise SourceError(f"{self._name} is closed.")
        for picture in self._pictures:
            pts_s = frame_pts_s(picture) if self._timed else None
            time_s = self._clock.place(pts_s, time.monotonic())
            if time_s is None:
                continue
            try:
                frame = self._decoder.frame(picture, time_s, self.demand)
            except DamagedPicture:
                self._count_damaged()
                continue
            if frame is not None:
                return frame
        raise SourceError(f"{self._name} ended: check the camera.")


def without_password(url: str) -> str:
    """The address as it may be shown and logged."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)
