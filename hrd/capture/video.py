"""Video files: every frame at its own presentation time, variable rates included."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Deque, Generator, Optional, Tuple, Union

from hrd.capture.address import printable
from hrd.capture.decode import RgbConverter, decode_threads
from hrd.capture.files import (
    Holes,
    check_file,
    holds_one_picture,
    is_animated_webp,
    is_pipe,
    open_container,
    promised_s,
    shown_file,
    why_unreadable,
)
from hrd.capture.jpeg import DamagedPicture
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.capture.stamps import FileTimes, NoTimes, Placed, SteadyTimes
from hrd.capture.tracks import (
    capture_scale,
    describe_films,
    film_of,
    header_fps,
    is_untimed,
)
from hrd.types import Frame

logger = logging.getLogger(__name__)

_CUT_OFF_S = 0.5  # a file that ends this much before it says it does has been cut off


class VideoFileSource(FrameSource):
    """Reads a video file with PyAV.

    Not live: frames come as fast as they are asked for, stamped in seconds from the first frame.
    Turned upright as the file's display matrix says; slow motion at the rate it was taken at where
    the file tells that. What is wrong with a file's times is repaired as ``FileTimes`` says; a
    file without any is refused unless ``fps`` gives the rate (which is used for such files only).
    ``stream``: the number of the stream to read, where the film is not to be chosen by itself. A
    file that breaks off gives its frames up to there and then a warning that says how far it got.
    Memory does not grow with the length of the file.

    Raises ``SourceError`` where there is nothing to read: no such file, a directory, not a video,
    sound only, a single picture, no frames, no times.
    """

    live = False

    def __init__(
        self,
        path: str,
        spec: Optional[str] = None,
        fps: Optional[float] = None,
        stream: Optional[int] = None,
    ) -> None:
        self._path = path
        self._name = shown_file(path)
        self._fps = fps
        self._stream = stream
        self._container: Optional[Any] = None
        check_file(path)
        self._pipe = is_pipe(path)
        self._open()
        try:
            first = self._next_frame()
            if first is None:
                why = "nothing in it can be decoded" if self._bad_packets else "it holds no frames"
                raise SourceError(
                    f"{self._name} is not a video that can be read: {why}; record it again."
                )
            if not self._waiting and not self._ended:
                self._take_one()
            if self._ended and not self._waiting:
                raise SourceError(self._one_picture())
        except SourceError:
            self.close()
            raise
        self._first: Optional[Frame] = first
        self.info = SourceInfo(
            spec=printable(spec if spec is not None else path),
            kind="file",
            width_px=first.image.shape[1],
            height_px=first.image.shape[0],
            nominal_fps=self._nominal_fps,
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
        check_file(self._path)
        if self._pipe:
            raise SourceError(f"{self._name} is a pipe and can be played once only: give a file.")
        self._open()

    def close(self) -> None:
        self._first = None
        if self._container is not None:
            self._waiting.clear()
            self._after_damage.clear()
            self._pictures.close()
            self._container.close()
            self._container = None

    def _open(self) -> None:
        import av

        try:
            container = open_container(self._path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(why_unreadable(self._path, error)) from None
        try:
            stream = self._choose(container)
            self._times, self._nominal_fps = self._clock_for(container, stream)
            # several frames at once: hides most of the decoding behind whatever reads the frames
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = decode_threads()
            self._promised_s = promised_s(container, stream)
        except SourceError:
            container.close()
            raise
        self._to_rgb = RgbConverter()
        self._bad_packets = 0
        self._index = 0
        self._failure: Optional[str] = None
        self._ended = False
        self._cut_left_out = False
        self._damaged = False
        self._counts = container.format.name == "avi" or isinstance(self._times, SteadyTimes)
        self._waiting: Deque[Tuple[Any, Optional[Placed]]] = deque()
        self._after_damage: Deque[Any] = deque()
        self._container = container
        self._pictures = self._decode(container, stream)

    def _choose(self, container: Any) -> Any:
        if self._stream is not None:
            for stream in container.streams.video:
                if stream.index == self._stream and stream.codec_context is not None:
                    return stream
            raise SourceError(
                f"{self._name} has no picture in stream {self._stream}: "
                f"its films are {describe_films(container) or 'none'}."
            )
        stream = film_of(container)
        if stream is None:
            sound = "sound but no picture" if container.streams.audio else "no picture"
            if any(one.codec_context is None for one in container.streams.video):
                sound = "a picture in a codec that is not known"
            elif container.streams.video:
                sound = "a still picture and no film"
            raise SourceError(f"{self._name} has {sound} in it: give a video file of a face.")
        films = describe_films(container)
        if "," in films:
            logger.info("%s: stream %d of %s (see --stream)", self._name, stream.index, films)
        return stream

    def _clock_for(
        self, container: Any, stream: Any
    ) -> Tuple[Union[FileTimes, SteadyTimes], Optional[float]]:
        """What places the frames, and the rate that the file claims."""
        self._scale = 1.0
        if is_untimed(container):
            fps = self._fps or header_fps(container, stream)
            if fps is None:
                raise SourceError(self._without_times())
            return SteadyTimes(fps), fps
        scale = self._scale = capture_scale(container, stream)
        rate = stream.average_rate or stream.guessed_rate
        claimed_fps = float(rate) / scale if rate else None
        if scale != 1.0 and claimed_fps is not None:
            logger.warning(
                "%s was taken at %g pictures a second and is stored at %g: read as it was taken",
                self._name,
                round(claimed_fps, 3),
                round(claimed_fps * scale, 3),
            )
        return FileTimes(self._name, scale), claimed_fps

    def _one_picture(self) -> str:
        if not self._pipe and is_animated_webp(self._path):
            return f"{self._name} is an animated WebP, which cannot be read: give a video file."
        return (
            f"{self._name} is a single picture, a photograph: a pulse shows in a film only; give "
            "a video file."
        )

    def _without_times(self) -> str:
        if not self._pipe and holds_one_picture(self._path):
            return self._one_picture()
        return (
            f"{self._name} gives no times for its pictures, so the rate is not known: give the "
            "rate that it was taken at, such as --fps 30."
        )

    def _decode(self, container: Any, stream: Any) -> Generator[Any, None, None]:
        """Decoded pictures in the order of display; bad packets are counted and passed over."""
        import av

        packets = container.demux(stream)
        alone = self._counts and len(container.streams) == 1
        holes = Holes() if alone and container.format.name == "avi" else None
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
                    f"{self._name} could not be read on ({error.strerror}): "
                    "check the disk it is on."
                ) from None
            if holes is not None and holes.before(packet):
                self._damaged = True
            try:
                pictures = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._bad_packets += 1
                self._damaged = True
                continue
            yield from pictures

    def _next_frame(self) -> Optional[Frame]:
        if self._container is None:
            return None
        while True:
            while self._waiting and self._waiting[0][1] is not None:
                picture, placed = self._waiting.popleft()
                assert placed is not None
                self._cut_left_out = self._cut_left_out or placed.cut
                if self._after_damage and self._after_damage[0] is picture:
                    self._after_damage.popleft()
                    self._cut_left_out = True
                if placed.time_s is None:
                    continue
                try:
                    image = self._to_rgb(picture)
                except DamagedPicture:
                    self._bad_packets += 1
                    continue
                cut, self._cut_left_out = self._cut_left_out, False
                frame = Frame(image, placed.time_s, self._index, cut=cut)
                self._index += 1
                return frame
            if self._ended:
                self._say_how_it_ended()
                return None
            self._take_one()

    def _take_one(self) -> None:
        """Decode one more picture, or note that there is none."""
        try:
            picture = next(self._pictures, None)
            if picture is None:
                self._ended = True
                self._settle(self._times.flush())
            else:
                self._note_damage(picture)
                self._waiting.append((picture, None))
                self._settle(self._times.push(*_stamps_s(picture)))
        except NoTimes:
            if self._fps is None:
                raise SourceError(self._without_times()) from None
            self._times = SteadyTimes(self._fps)
            self._nominal_fps = self._fps
            for _ in range(len(self._waiting)):
                self._settle(self._times.push(None, None))

    def _note_damage(self, picture: Any) -> None:
        """Where times are counts of pictures, damage hides how many are missing: begin anew."""
        if self._damaged or picture.is_corrupt:
            self._damaged = False
            if self._counts:
                self._after_damage.append(picture)

    def _settle(self, placed: Any) -> None:
        """Give the oldest pictures that wait for their places those places."""
        at = sum(1 for _, place in self._waiting if place is not None)
        for place in placed:
            self._waiting[at] = (self._waiting[at][0], place)
            at += 1

    def _say_how_it_ended(self) -> None:
        times = self._times
        if times.last_s is None:
            return
        promised = None if times.repaired or times.jumps else self._promised_s
        short = False
        if promised is not None:
            read_s, begin_s = times.last_s / self._scale, (times.first_raw_s or 0.0) / self._scale
            # the third segment of a recording begins at 8 s and ends at 12 s of the 12 s it names
            short = max(read_s, begin_s + read_s) < promised - _CUT_OFF_S
        if short or self._failure is not None:
            of = f" of {promised:.1f} s" if promised is not None else ""
            logger.warning("%s is cut off: read up to %.1f s%s", self._name, times.last_s, of)
        elif self._bad_packets:
            logger.warning("%s is damaged: %d packets left out", self._name, self._bad_packets)
        self._promised_s = self._failure = None  # said once, however often the end is read
        self._bad_packets = 0


def _stamps_s(picture: Any) -> Tuple[Optional[float], Optional[float]]:
    """PTS and DTS in seconds, None where there is none."""
    base = picture.time_base
    if base is None:
        return None, None
    pts, dts = picture.pts, picture.dts
    return (
        None if pts is None else float(pts * base),
        None if dts is None else float(dts * base),
    )
