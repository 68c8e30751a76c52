"""Video files: every frame at its own presentation time, variable rates included."""

from __future__ import annotations

import logging
import os
import stat
from typing import Any, Generator, List, Optional

from hrd.capture.clock import FileTimeline
from hrd.capture.decode import RgbConverter, decode_threads, frame_pts_s, video_stream
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.types import Frame

logger = logging.getLogger(__name__)

_DEFAULT_FPS = 30.0
_CUT_OFF_S = 0.5  # a file that ends this much before it says it does has been cut off


class VideoFileSource(FrameSource):
    """Reads a video file with PyAV.

    Not live: frames come as fast as they are asked for, stamped in seconds from the first frame.
    Turned upright as the file's display matrix says. Frames whose time does not advance are left
    out; frames without a time follow the rate that the file claims. A file that breaks off gives
    its frames up to there and then a warning that says how far it got. Memory does not grow with
    the length of the file.

    Raises ``SourceError`` where there is nothing to read: no such file, a directory, not a video,
    sound only, no frames.
    """

    live = False

    def __init__(self, path: str, spec: Optional[str] = None) -> None:
        self._path = path
        _check_file(path)
        self._container: Optional[Any] = None
        self._open()
        try:
            first = self._next_frame()
        except SourceError:
            self.close()
            raise
        if first is None:
            name, bad_packets = self._path, self._bad_packets
            self.close()
            why = "nothing in it can be decoded" if bad_packets else "it holds no frames"
            raise SourceError(f"{name} is not a video that can be read: {why}; record it again.")
        self._first: Optional[Frame] = first
        self.info = SourceInfo(
            spec=spec if spec is not None else path,
            kind="file",
            width_px=first.image.shape[1],
            height_px=first.image.shape[0],
            nominal_fps=self._timeless_fps if self._timeline.guessed else self._claimed_fps,
            pixel_format=self._to_rgb.pixel_format,
        )

    def read(self) -> Optional[Frame]:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return self._next_frame()

    def rewind(self) -> None:
        """Start again from the first frame (index and time too)."""
        self.close()
        _check_file(self._path)
        self._open()

    def close(self) -> None:
        self._first = None
        if self._container is not None:
            self._pictures.close()
            self._container.close()
            self._container = None

    def _open(self) -> None:
        import av

        path = self._path
        try:
            container = av.open(path)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(_why_unreadable(path, error)) from None
        stream = video_stream(container)
        if stream is None:
            sound = bool(container.streams.audio)
            container.close()
            what = "sound but no picture" if sound else "no picture"
            raise SourceError(f"{path} has {what} in it: give a video file of a face.")
        # several frames at once: hides most of the decoding behind whatever reads the frames
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = decode_threads()
        rate = stream.average_rate or stream.guessed_rate
        self._claimed_fps = float(rate) if rate else None
        self._timeless_fps = _timeless_rate(stream) or _DEFAULT_FPS
        self._promised_s = _promised_s(container, stream)
        self._timeline = FileTimeline(path, 1.0 / self._timeless_fps)
        self._to_rgb = RgbConverter()
        self._bad_packets = 0
        self._index = 0
        self._failure: Optional[str] = None
        self._container = container
        self._pictures = self._decode(container, stream)

    def _decode(self, container: Any, stream: Any) -> Generator[Any, None, None]:
        """Decoded pictures in the order of display; bad packets are counted and passed over."""
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.InvalidDataError, av.error.EOFError) as error:
                self._failure = str(error)
                return
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(
                    f"{self._path} could not be read on ({error.strerror}): "
                    "check the disk it is on."
                ) from None
            try:
                pictures = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._bad_packets += 1
                continue
            yield from pictures

    def _next_frame(self) -> Optional[Frame]:
        if self._container is None:
            return None
        for picture in self._pictures:
            time_s = self._timeline.place(frame_pts_s(picture))
            if time_s is None:
                continue
            frame = Frame(self._to_rgb(picture), time_s, self._index)
            self._index += 1
            return frame
        self._say_how_it_ended()
        return None

    def _say_how_it_ended(self) -> None:
        last_s = self._timeline.last_s
        if last_s is None:
            return
        short = self._promised_s is not None and last_s < self._promised_s - _CUT_OFF_S
        if short or self._failure is not None:
            of = f" of {self._promised_s:.1f} s" if self._promised_s is not None else ""
            logger.warning("%s is cut off: read up to %.1f s%s", self._path, last_s, of)
        elif self._bad_packets:
            logger.warning("%s is damaged: %d packets left out", self._path, self._bad_packets)
        self._promised_s = self._failure = None  # said once, however often the end is read
        self._bad_packets = 0


def _check_file(path: str) -> None:
    """Raise ``SourceError`` where the name alone tells that there is nothing to read."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}: check the name.") from None
    except PermissionError:
        raise SourceError(f"{path} may not be read: check its permissions.") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be opened ({error}): check the name.") from None
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is a directory: give the video file in it.")
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise SourceError(f"{path} is a device, not a video file; cameras are /dev/video0 and up.")
    if stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            raise SourceError(f"{path} is empty: record it or copy it again.")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{path} may not be read: check its permissions.")


def _why_unreadable(path: str, error: Exception) -> str:
    if lacks_moov(path):
        return (
            f"{path} was cut off before its index (moov) was written, so no player can read it: "
            "record it or copy it again."
        )
    import av

    if isinstance(error, av.error.EOFError):
        return f"{path} is not a video that can be read: it holds no frames; record it again."
    if isinstance(error, av.error.InvalidDataError):
        return f"{path} is not a video that can be read: give an mp4, mov, mkv, avi or webm file."
    why = getattr(error, "strerror", None) or error
    return f"{path} cannot be opened ({why}): check the file and its permissions."


def lacks_moov(path: str) -> bool:
    """True for an MP4 or QuickTime file whose index is missing: an interrupted recording.

    Walks the top-level boxes (ISO/IEC 14496-12, section 4.2), a seek for each.
    """
    kinds: List[bytes] = []
    try:
        size_of_file = os.path.getsize(path)
        with open(path, "rb") as file:
            position = 0
            while position + 8 <= size_of_file and len(kinds) < 1000:
                file.seek(position)
                header = file.read(16)
                size, kind = int.from_bytes(header[:4], "big"), header[4:8]
                kinds.append(kind)
                if size == 1:  # a 64-bit size follows
                    size = int.from_bytes(header[8:16], "big")
                elif size == 0:  # up to the end of the file
                    break
                if size < 8:
                    break
                position += size
    except OSError:
        return False
    return bool(kinds) and kinds[0] == b"ftyp" and b"moov" not in kinds


def _timeless_rate(stream: Any) -> float:
    """The rate for frames without times. ``guessed_rate`` looks into the codec's headers too:
    for a raw H.264 file ``average_rate`` is always 25, whatever the stream says."""
    rate = stream.guessed_rate or stream.average_rate
    return float(rate) if rate and rate > 0 else 0.0


def _promised_s(container: Any, stream: Any) -> Optional[float]:
    """How long the file says its picture lasts, None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6  # sound may last longer than the picture
    return None
