"""Folders of pictures, each named by its time (PURE's layout), or numbered at a given rate."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np

from hrd.capture.address import printable
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.capture.stamps import FileTimes, NoTimes, Placed, SteadyTimes
from hrd.types import Frame

_NAME = re.compile(r"(.*?)(\d+(?:\.\d+)?)\.(?:png|jpe?g|bmp|tiff?|webp|ppm|pgm)", re.IGNORECASE)

_UNITS = ((18, 20, 1e-9), (15, 17, 1e-6), (12, 14, 1e-3))
"""Digits of a time since 1970 and the seconds in its unit. Less is the number of a picture."""


@dataclass(frozen=True)
class _Picture:
    file: str
    digits: str

    def time_s(self, start: int) -> Optional[float]:
        """Seconds since ``start`` (in this picture's own unit), None if its name is no time."""
        whole = self.digits.partition(".")[0]
        for least, most, unit_s in _UNITS:
            if least <= len(whole) <= most:
                return (int(whole) - start) * unit_s
        return None


class PictureFolderSource(FrameSource):
    """Reads the pictures of a folder in the order of the numbers at the end of their names.

    Those are times since 1970 in ns, us or ms, or seconds with a decimal point; times that repeat
    or stray are treated as a file's. Plain numbers are no times: such a folder is refused unless
    ``fps`` gives its rate. Not live. Raises ``SourceError``.
    """

    live = False

    def __init__(self, path: str, spec: Optional[str] = None, fps: Optional[float] = None) -> None:
        self._name = printable(path)
        self._folder, self._pictures = _find(path)
        if not self._pictures:
            raise SourceError(
                f"{self._name} is a directory without numbered pictures in it: "
                "give a video file, or a folder of pictures named by their times."
            )
        self._placed = self._place(fps)
        self._at = 0
        self._index = 0
        first = self._read_picture(self._pictures[0])
        self.info = SourceInfo(
            spec=printable(spec if spec is not None else path),
            kind="file",
            width_px=first.shape[1],
            height_px=first.shape[0],
            nominal_fps=fps,
            pixel_format="rgb24",
        )

    def read(self) -> Optional[Frame]:
        cut = False
        while self._at < len(self._pictures):
            picture, placed = self._pictures[self._at], self._placed[self._at]
            self._at += 1
            cut = cut or placed.cut
            if placed.time_s is None:
                continue
            frame = Frame(self._read_picture(picture), placed.time_s, self._index, cut=cut)
            self._index += 1
            return frame
        return None

    def rewind(self) -> None:
        """Start again from the first picture."""
        self._at = self._index = 0

    def close(self) -> None:
        self._at = len(self._pictures)

    def _place(self, fps: Optional[float]) -> List[Placed]:
        times_s = _times_s(self._pictures)
        try:
            if times_s is None:
                raise NoTimes
            times = FileTimes(self._name)
            placed: List[Placed] = []
            for time_s in times_s:
                placed += times.push(time_s, None)
            return placed + times.flush()
        except NoTimes:
            if fps is None:
                raise SourceError(
                    f"{self._name} holds pictures whose names are no times (in s, ms, us or ns), "
                    "so the rate is not known: give the one they were taken at, such as --fps 30."
                ) from None
            steady = SteadyTimes(fps)
            return [one for _ in self._pictures for one in steady.push(None, None)]

    def _read_picture(self, picture: _Picture) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        path = os.path.join(self._folder, picture.file)
        try:
            with open(path, "rb") as file:
                data = np.frombuffer(file.read(), np.uint8)
        except OSError as error:
            raise SourceError(
                f"{printable(path)} cannot be read ({error.strerror}): copy the folder again."
            ) from None
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise SourceError(
                f"{printable(path)} is not a picture that can be read: copy the folder again."
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def holds_pictures(path: str) -> bool:
    """Whether a folder itself holds a film of numbered pictures: more than one of a series."""
    try:
        return len(_pictures_in(path)) > 1
    except OSError:
        return False


def _find(path: str) -> Tuple[str, List[_Picture]]:
    """The folder that holds the pictures (the given one, or the only one in it that has any, as in
    PURE's ``01-01/01-01/``) and the pictures, in order."""
    try:
        pictures = _pictures_in(path)
        if pictures:
            return path, pictures
        inner = [entry.path for entry in os.scandir(path) if entry.is_dir()]
        found = [(folder, _pictures_in(folder)) for folder in sorted(inner)]
    except OSError as error:
        raise SourceError(
            f"{printable(path)} cannot be listed ({error.strerror}): check its permissions."
        ) from None
    found = [(folder, pictures) for folder, pictures in found if pictures]
    return found[0] if len(found) == 1 else (path, [])


def _pictures_in(folder: str) -> List[_Picture]:
    series: Dict[str, List[_Picture]] = {}
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match:
            series.setdefault(match.group(1), []).append(_Picture(name, match.group(2)))
    longest = max(series.values(), key=len, default=[])
    return sorted(longest, key=lambda one: (float(one.digits), int(one.digits.partition(".")[0])))


def _times_s(pictures: List[_Picture]) -> Optional[List[Optional[float]]]:
    """Seconds from the first picture, None if the names are no times."""
    if all("." in one.digits for one in pictures):
        return [float(one.digits) - float(pictures[0].digits) for one in pictures]
    # the difference first: nanoseconds since 1970 do not fit into a double
    start = int(pictures[0].digits.partition(".")[0])
    times_s = [one.time_s(start) for one in pictures]
    return None if any(time_s is None for time_s in times_s) else times_s
