"""Network cameras: RTSP, MJPEG over HTTP, and what else FFmpeg plays live from an address."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any, Dict, Generator, Optional, Tuple

from hrd.capture.address import Address, shown_address, split_address
from hrd.capture.decode import LiveDecoder, frame_pts_s
from hrd.capture.jpeg import DamagedPicture
from hrd.capture.liveclock import FallsBehind, NetworkClock, Undecided
from hrd.capture.options import CaptureOptions
from hrd.capture.reach import why_unreachable
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.capture.tracks import film_of, is_untimed
from hrd.picture import layout_of
from hrd.types import Frame

logger = logging.getLogger(__name__)

_PICTURES = "mjpeg"
"""FFmpeg's reader of JPEG after JPEG, whatever is between them: for cameras whose multipart is not
as the book says (ESP32, Tasmota: no boundary before the first part)."""

_NEVER_WAITS_S = 5.0
_NEVER_WAITS = 0.02  # of that time spent waiting for the camera: it is always ahead of the decoder


class StreamSource(FrameSource):
    """Reads a live stream with PyAV; RTSP over TCP, or over UDP where the camera offers no TCP.

    Live: frames are stamped on the ``time.monotonic()`` axis by their PTS, stretched to the pace
    at which they arrive where that is another (see ``NetworkClock``). Opening ends or fails within
    ``options.open_timeout_s``; a stream that falls silent for ``options.read_timeout_s``, ends,
    breaks off or falls ever further behind raises ``SourceError``: a live stream has no proper
    end. Nothing secret in the address appears in any message.
    """

    live = True

    def __init__(self, url: str, options: CaptureOptions) -> None:
        self._name = shown_address(url)
        self._options = options
        self._container: Optional[Any] = None
        address = split_address(url)
        if address is None or not address.host:
            raise SourceError(
                f"{self._name} is no address of a camera: "
                "write it as rtsp://user:password@camera/path."
            )
        container = self._connect(address)
        try:
            stream = film_of(container)
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
        self._timed = not is_untimed(container)
        self._clock = NetworkClock(self._name)
        # asked anew for each picture: whoever reads may put its own in place
        self._decoder = LiveDecoder(stream, lambda count: self.allocate(count))
        self._packets = self._bad_packets = 0
        self._cut = False  # to be said with the next frame
        self._waits = _Waits()
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
            nominal_fps=float(rate) if rate and self._timed else None,
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

    def _connect(self, address: Address) -> Any:
        import av

        began_s = time.monotonic()
        settings: Dict[str, str] = {"fflags": "nobuffer", "flags": "low_delay"}
        if address.scheme.startswith("rtsp"):
            settings.update(rtsp_flags="prefer_tcp", allowed_media_types="video")
        else:
            settings["analyzeduration"] = "1000000"  # else five seconds before the first picture
        try:
            try:
                return self._try(address, settings, None)
            except av.error.InvalidDataError:
                if not address.scheme.startswith("http"):
                    raise
                # a few pictures tell all there is to know of JPEGs
                probing = {"analyzeduration": "500000", "probesize": "1000000"}
                return self._try(address, {**settings, **probing}, _PICTURES)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # cut short, FFmpeg's protocols give errors of many kinds: the clock tells better
            late = time.monotonic() - began_s >= self._options.open_timeout_s
            raise SourceError(f"{self._name} {self._why_not_open(address, error, late)}") from None

    def _try(self, address: Address, settings: Dict[str, str], format_name: Optional[str]) -> Any:
        import av

        options = self._options
        return av.open(
            address.for_ffmpeg(),
            format=format_name,
            options=settings,
            timeout=(options.open_timeout_s, options.read_timeout_s),
        )

    def _why_not_open(self, address: Address, error: Exception, late: bool) -> str:
        import av

        if isinstance(error, av.error.HTTPUnauthorizedError):
            return (
                "wants another user or password: put them into the address "
                f"({address.scheme}://user:password@camera/path)."
            )
        if isinstance(error, av.error.HTTPForbiddenError):
            return "forbids this (Server returned 403): check the user's rights on the camera."
        if isinstance(error, av.error.HTTPNotFoundError):
            return "has no such stream (not found, 404): check the path in the address."
        if isinstance(error, av.error.InvalidDataError) and not late:
            return "answers, but not as a camera does: check the address."
        unreachable = why_unreachable(address)
        if unreachable is not None and "does not answer" not in unreachable:
            return unreachable
        if late or isinstance(error, (av.error.ExitError, TimeoutError)) or unreachable:
            return (
                f"did not answer within {self._options.open_timeout_s:g} s: "
                "check that the camera is on and in the network."
            )
        why = getattr(error, "strerror", None) or type(error).__name__
        return f"cannot be opened ({why}): check the address and that the camera is on."

    def _decode(self, container: Any, stream: Any) -> Generator[Tuple[Any, float, int], None, None]:
        """Pictures as they come, each with the time of its arrival and its size in bytes;
        raises ``SourceError`` at whatever ends the stream."""
        import av

        packets = container.demux(stream)
        patience_s = max(self._options.open_timeout_s, self._options.read_timeout_s)
        seen_s = time.monotonic()
        size_bytes = 0  # of what has come since the last picture
        while True:
            asked_s = time.monotonic()
            try:
                packet = next(packets)
            except StopIteration:
                if self._packets <= 2:
                    raise SourceError(
                        f"{self._name} sends a single picture: give the address of the camera's "
                        "live stream."
                    ) from None
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
            arrived_s = time.monotonic()
            self._packets += 1
            if self._waits.never(asked_s, arrived_s):
                raise SourceError(self._too_slow())
            try:
                pictures = self._decoder.decode(packet)
            except av.error.EOFError:
                continue  # the demuxer says next how it ended
            except av.error.FFmpegError:
                self._count_damaged()
                pictures = []
            size_bytes += packet.size
            for picture in pictures:
                seen_s = arrived_s
                yield picture, arrived_s, size_bytes
                size_bytes = 0
            if arrived_s - seen_s > patience_s:
                raise SourceError(
                    f"{self._name} sends pictures that cannot be decoded: set the camera to H.264 "
                    "or MJPEG, and check the network."
                )

    def _count_damaged(self) -> None:
        if self._bad_packets == 0:
            logger.warning("%s: a damaged packet was left out", self._name)
        self._bad_packets += 1

    def _next_frame(self) -> Frame:
        if self._container is None:
            raise SourceError(f"{self._name} is closed.")
        for picture, arrived_s, size_bytes in self._pictures:
            pts_s = frame_pts_s(picture) if self._timed else None
            try:
                time_s = self._clock.place(pts_s, arrived_s, size_bytes)
            except FallsBehind:
                raise SourceError(self._too_slow()) from None
            except Undecided:
                raise SourceError(
                    f"{self._name} stamps its frames at another rate than they arrive at, and "
                    "nothing tells which is right: set the camera to fewer frames a second, or "
                    "to a smaller picture."
                ) from None
            if time_s is None:
                continue
            self._cut = self._clock.take_cut() or self._cut
            try:
                frame = self._decoder.frame(picture, time_s, self.demand)
            except DamagedPicture:
                self._count_damaged()
                continue
            if frame is not None and self._clock.in_doubt:  # the first after it says the cut
                return dataclasses.replace(frame, unreliable_time=True)
            if frame is not None:
                cut, self._cut = self._cut, False
                return dataclasses.replace(frame, cut=True) if cut else frame
        raise SourceError(f"{self._name} ended: check the camera.")

    def _too_slow(self) -> str:
        return (
            f"{self._name} comes later and later: the network or this machine is too slow for it, "
            "set the camera to a smaller picture or fewer frames a second."
        )


class _Waits:
    """Notices a reader that never has to wait for its camera: frames pile up before it."""

    def __init__(self) -> None:
        self._began_s: Optional[float] = None
        self._waited_s = 0.0

    def never(self, asked_s: float, arrived_s: float) -> bool:
        """Whether next to no time was spent waiting for the last seconds' packets."""
        if self._began_s is None:
            self._began_s = asked_s
        self._waited_s += arrived_s - asked_s
        seconds = arrived_s - self._began_s
        if seconds < _NEVER_WAITS_S:
            return False
        never = self._waited_s < _NEVER_WAITS * seconds
        self._began_s, self._waited_s = arrived_s, 0.0
        return never
