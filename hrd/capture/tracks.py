"""Which of a container's streams is the film, and what its headers say of its rate."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Optional

_STILL_CODECS = ("mjpeg", "png", "bmp", "gif", "tiff", "webp")

_RAW_FORMATS = frozenset(
    (  # noqa: SIM905 - a list of forty lines reads no better
        "h264 hevc vvc evc mjpeg mjpeg_2000 ingenient mpjpeg m4v mpegvideo h261 h263 vc1 obu "
        "cavsvideo avs2 avs3 dirac dnxhd rawvideo bitpacked v210 v210x image2 image2pipe"
    ).split()
)
"""Formats without times: FFmpeg counts their pictures at 25 a second, whatever is in them."""

_RATE_IN_HEADER = ("h264", "hevc", "vvc", "mpegvideo")
"""Those whose codec may tell its rate, in the VUI or the sequence header."""

_CAPTURE_KEY = re.compile(r"capture[._-]?(?:fps|frame_?rate)$", re.IGNORECASE)

_SLOW_MOTION = 1.5
"""A film taken at so many times the rate that it is played at is slow motion; below that, the dark
has made a telephone take fewer pictures than it meant to."""
_SLOW_MOTION_FPS = 48.0  # nor is anything slow motion that was to be taken at less
_TIME_LAPSE = 0.5


def is_still(stream: Any) -> bool:
    """A "video" stream that is one picture: cover art, a thumbnail."""
    if stream.frames == 1:
        return True
    try:
        from av.stream import Disposition
    except ImportError:  # PyAV before 13 does not tell
        return bool(
            stream.container.streams.audio
            and stream.codec_context.name in _STILL_CODECS
            and not stream.average_rate
        )
    for name in ("attached_pic", "still_image", "timed_thumbnails"):
        flag = getattr(Disposition, name, None)
        if flag is not None and stream.disposition & flag:
            return True
    return False


def _films(container: Any) -> List[Any]:
    """The streams that are films and that this FFmpeg can decode."""
    return [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not is_still(stream)
    ]


def film_of(container: Any) -> Optional[Any]:
    """The film among a container's video streams, None if there is none.

    Of several that last as long as the longest does, the one marked as the default; else the
    largest; else the first.
    """
    films = _films(container)
    if len(films) < 2:
        return films[0] if films else None
    lengths_s = [_length_s(stream) for stream in films]
    longest_s = max(lengths_s)
    films = [film for film, length_s in zip(films, lengths_s) if length_s >= 0.9 * longest_s]
    return max(films, key=lambda film: (_is_default(film), film.width * film.height, -film.index))


def describe_films(container: Any) -> str:
    """``0: 640x480, 2: 1920x1080``: the choices for ``--stream``."""
    films = _films(container)
    return ", ".join(f"{film.index}: {film.width}x{film.height}" for film in films)


def is_untimed(container: Any) -> bool:
    """Whether the stamps of this container are FFmpeg's own and tell nothing."""
    name = str(container.format.name)
    return name in _RAW_FORMATS or name.endswith("_pipe")


def header_fps(container: Any, stream: Any) -> Optional[float]:
    """Frames per second that the codec's own headers give to a format without times."""
    if container.format.name not in _RATE_IN_HEADER:
        return None
    rate = stream.codec_context.framerate
    return float(rate) if rate and 1.0 <= rate <= 1000.0 else None


def capture_scale(container: Any, stream: Any) -> float:
    """Seconds of the world in a second of the film: 0.25 for slow motion stored at a quarter of
    the speed. 1 where nothing is said of it."""
    stored = stream.average_rate
    capture = _capture_fps([stream.metadata, container.metadata])
    if not stored or capture is None:
        return 1.0
    ratio = capture / float(stored)
    slow = ratio >= _SLOW_MOTION and capture >= _SLOW_MOTION_FPS
    return 1.0 / ratio if slow or ratio <= _TIME_LAPSE else 1.0


def _capture_fps(tables: List[Mapping[str, str]]) -> Optional[float]:
    for table in tables:
        for key, value in table.items():
            if _CAPTURE_KEY.search(key):
                number = re.match(r"\s*(\d+(?:\.\d+)?)", str(value))
                if number and 0.01 <= float(number.group(1)) <= 10000.0:
                    return float(number.group(1))
    return None


def _length_s(stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    match = re.match(r"(\d+):(\d+):(\d+(?:\.\d+)?)", str(stream.metadata.get("DURATION", "")))
    if match:
        hours, minutes, seconds = match.groups()
        return 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)
    return 0.0


def _is_default(stream: Any) -> bool:
    try:
        from av.stream import Disposition
    except ImportError:
        return False
    return bool(stream.disposition & Disposition.default)
