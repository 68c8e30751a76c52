"""One's own films, of whom one mean rate is known: a folder with a table, ``films.csv``.

Each can be evaluated three times: as it is, and as cheap recorders would have stored it. A clip
of a still person compressed once more is the nearest thing to a recorder's film whose rate is
known.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import cv2
import numpy as np

from hrd.evaluation.layouts import video_frames
from hrd.evaluation.recording import DataError, Entry, Recording, Reference
from hrd.sim.lens import CodecConfig, encode_frames
from hrd.types import Frame

TABLE = "films.csv"
_EXAMPLE = "a line `file,bpm` and then one for each film, such as `anna.mp4,62`"
_TABLE_STEP_S = 0.5  # how often the one rate is given along the film


@dataclass(frozen=True)
class Recorder:
    """A cheap recorder: pictures of ``width_px`` x ``height_px``, at most ``fps`` of them a second,
    in a codec at ``kbps`` with a key frame every ``gop`` pictures."""

    kind: str
    kbps: int
    fps: float
    gop: int
    width_px: int = 640
    height_px: int = 480

    def codec(self) -> CodecConfig:
        """As ``hrd.sim.lens`` takes it."""
        bits_per_pixel = 1e3 * self.kbps / (self.width_px * self.height_px * self.fps)
        return CodecConfig(self.kind, gop=self.gop, bitrate=bits_per_pixel, preset="medium")


AS_IT_IS = "as it is"
RECORDERS: Dict[str, Recorder] = {
    "MPEG-4, 256 kb/s, 20 fps": Recorder("mpeg4", 256, 20.0, 12),
    "H.264, 300 kb/s, 30 fps": Recorder("h264", 300, 30.0, 250),
}
"""Name -> recorder, as in ``ffmpeg -r 20 -vf scale=640:480 -c:v mpeg4 -b:v 256k -g 12``."""


@dataclass(frozen=True)
class Film:
    """A row of the table. ``bpm`` None: there is no pulse to be seen. ``groups``: its other
    columns but ``person``, which tells films of one person."""

    path: Path
    bpm: Optional[float]
    person: str
    groups: Dict[str, str]


def entries(folder: Path, recompress: bool) -> List[Entry]:
    """The films of ``folder``'s table, a section for each way of storing them. Raises
    ``DataError``."""
    films = read_table(folder)
    ways = [AS_IT_IS, *RECORDERS] if recompress else [""]
    return [
        Entry(_name(film, way), partial(load, film, way), section=way)
        for way in ways
        for film in films
    ]


def _name(film: Film, way: str) -> str:
    return f"{film.path.name}, {way}" if way in RECORDERS else film.path.name


def read_table(folder: Path) -> List[Film]:
    """Read ``films.csv``: columns file, bpm, person and any others. Raises ``DataError``."""
    path = folder / TABLE
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {TABLE}; write one: {_EXAMPLE}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); write it anew: {_EXAMPLE}") from None
    films = [_film(path, number, row) for number, row in enumerate(rows, start=2)]
    if not films:
        raise DataError(f"{path} names no film; it needs {_EXAMPLE}")
    return films


def _film(path: Path, line: int, row: Dict[str, str]) -> Film:
    cells = {
        name.strip(): (value or "").strip()
        for name, value in row.items()
        if isinstance(name, str) and not isinstance(value, list)
    }
    if not cells.get("file") or "bpm" not in cells:
        raise DataError(f"{path}, line {line}: has no file or no bpm; it needs {_EXAMPLE}")
    bpm: Optional[float] = None
    if cells["bpm"]:
        try:
            bpm = float(cells["bpm"])
        except ValueError:
            bpm = float("nan")
        if not 20.0 <= bpm <= 300.0:
            raise DataError(
                f"{path}, line {line}: {cells['bpm']} is no heart rate in bpm; leave it empty "
                "where there is no pulse to be seen"
            )
    name = cells["file"]
    groups = {k: v for k, v in cells.items() if k not in ("file", "bpm", "person") and v}
    return Film(path.parent / name, bpm, cells.get("person") or name, groups)


def load(film: Film, way: str) -> Recording:
    """A film as a recording, stored as ``way`` says. Raises ``HrdError``."""
    last_s = 0.0
    for frame in video_frames(film.path):
        last_s = frame.time_s
    reference = Reference()
    if film.bpm is not None:
        times_s = np.append(np.arange(0.0, last_s, _TABLE_STEP_S), last_s)
        reference = Reference(bpm=np.full(len(times_s), film.bpm), bpm_time_s=times_s)
    recorder = RECORDERS.get(way)
    frames = partial(video_frames, film.path)
    return Recording(
        subject=film.person,
        name=_name(film, way),
        reference=reference,
        frames=frames if recorder is None else partial(stored_again, film.path, recorder),
        groups=film.groups,
        pictures=film.path,
    )


def stored_again(path: Path, recorder: Recorder) -> Iterator[Frame]:
    """A film's frames as the recorder would have stored them, at their own times."""
    size = (recorder.width_px, recorder.height_px)

    def shrunk(frame: Frame) -> Frame:
        return replace(frame, image=cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))

    frames = at_most(video_frames(path), recorder.fps)
    return encode_frames(map(shrunk, frames), recorder.codec(), recorder.fps)


def at_most(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """Those of the frames that a camera of ``fps`` pictures a second would have taken."""
    next_s: Optional[float] = None
    taken = 0
    for frame in frames:
        if next_s is not None and frame.time_s < next_s - 1e-6:
            continue
        # a clock of its own; after a hole it begins anew
        due_s = (frame.time_s if next_s is None else next_s) + 1.0 / fps
        next_s = due_s if due_s > frame.time_s else frame.time_s + 1.0 / fps
        yield replace(frame, index=taken)
        taken += 1
