"""Which films an argument of ``hrd measure`` names, and how long each says it lasts."""

from __future__ import annotations

import os
import re
from typing import List, Optional, Tuple, Union

from hrd.capture.address import printable
from hrd.capture.source import SourceError

SUFFIXES = (
    *("mp4", "m4v", "mov", "3gp", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg"),
    *("flv", "asf", "wmv", "nut", "ogv", "gif", "mjpg", "mjpeg", "h264", "264", "h265", "265"),
)
"""Files of a folder whose names end so are taken for films; a file that is named itself is read
whatever its name."""


def films_of(argument: str) -> List[str]:
    """What is to be measured: the argument itself, or the films in a folder and in those below it,
    in the order in which people count.

    A folder of numbered pictures is one film. Raises ``SourceError`` for a folder without either.
    """
    path = _path(argument)
    if not os.path.isdir(path):
        return [argument]
    films: List[str] = []
    for folder, inner, files in os.walk(path):
        inner[:] = [name for name in inner if not name.startswith(".")]
        films += [
            os.path.join(folder, name)
            for name in files
            if name.lower().rpartition(".")[2] in SUFFIXES and not name.startswith(".")
        ]
    if not films:
        films = _picture_folders(path)
    if not films:
        raise SourceError(
            f"{printable(path)} is a folder without films (mp4, mov, mkv, avi, webm ...) or "
            "numbered pictures in it: give a video file, or a folder of them."
        )
    return sorted(films, key=_as_people_count)


def length_s(film: str, stream: Optional[int] = None) -> Optional[float]:
    """How long a film says it lasts, None where it does not say or can be read only once."""
    if film.startswith("sim:"):
        from hrd.capture.simulated_options import parse_simulated

        try:
            return parse_simulated(film).seconds
        except SourceError:
            return None
    path = _path(film)
    if not os.path.isfile(path):
        return None
    from hrd.capture.files import open_container
    from hrd.capture.tracks import capture_scale, film_of

    try:
        with open_container(path) as container:
            chosen = film_of(container)
            if stream is not None:
                chosen = next((one for one in container.streams.video if one.index == stream), None)
            if chosen is None:
                return None
            if chosen.duration is not None and chosen.time_base is not None:
                seconds = float(chosen.duration * chosen.time_base)
            elif container.duration is not None:
                seconds = float(container.duration) / 1e6
            else:
                return None
            return seconds * capture_scale(container, chosen)
    except (OSError, ValueError):  # FFmpeg's errors are both; measuring it will say what is wrong
        return None


def _path(argument: str) -> str:
    return argument[len("file://") :] if argument.startswith("file://") else argument


def _picture_folders(path: str) -> List[str]:
    from hrd.capture.pictures import holds_pictures

    return [folder for folder, _, _ in os.walk(path) if holds_pictures(folder)]


def _as_people_count(path: str) -> Tuple[Tuple[int, Union[int, str]], ...]:
    """clip2 before clip10."""
    parts = re.split(r"(\d+)", path.lower())
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
