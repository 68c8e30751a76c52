"""Public data sets as their owners lay them out on disk.

A layout's ``find`` lists the recordings under a directory without reading them; each entry's
``load`` then reads the reference and opens the pictures frame by frame. A file that is missing or
garbled is a ``DataError`` of one sentence that names it.

This module is longer than 400 lines because each data set's quirks are few lines of their own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np

from hrd.evaluation import matfiles
from hrd.evaluation.recording import DataError, Entry, Recording, Reference, checked_signal
from hrd.types import Frame

Find = Callable[[Path], List[Entry]]


@dataclass(frozen=True)
class Layout:
    """``title``: the data set's own name; ``tree``: what is expected under the directory;
    ``marks``: patterns of files that this layout has and others have not."""

    name: str
    title: str
    tree: str
    find: Find
    marks: Tuple[str, ...]


def natural(name: str) -> List[Any]:
    """Sorting key by which subject2 comes before subject10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _folders(root: Path, pattern: str) -> List[Path]:
    found = [path for path in root.iterdir() if path.is_dir() and re.fullmatch(pattern, path.name)]
    return sorted(found, key=lambda path: natural(path.name))


def _need(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is missing; copy the recording again")
    return path


def _text(path: Path) -> str:
    try:
        return _need(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the disk") from None


def _numbers(path: Path, line: str, what: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in re.split(r"[,\s]+", line.strip()) if part])
    except ValueError as error:
        raise DataError(f"{path} has no numbers where its {what} should be ({error})") from None


def video_frames(path: Path) -> Iterator[Frame]:
    """The frames of a video file at their own times; raises ``SourceError``."""
    from hrd.capture.video import VideoFileSource

    with VideoFileSource(str(path)) as source:
        yield from source


def _video(path: Path) -> Callable[[], Iterator[Frame]]:
    return partial(video_frames, _need(path))


# UBFC-rPPG (Bobbia et al. 2019)

_VIDEO = "vid.avi"


def _find_ubfc(root: Path, truth: str, load: Callable[[Path], Recording]) -> List[Entry]:
    folders = [
        path for path in _folders(root, r".+") if _holds(path, truth) or _holds(path, _VIDEO)
    ]
    return [Entry(path.name, partial(load, path)) for path in folders]


def _holds(folder: Path, name: str) -> bool:
    # a folder named as the set names them is a recording, and if it is empty a damaged one
    return (folder / name).exists() or re.fullmatch(r"subject\d+", folder.name) is not None


def load_ubfc_2(folder: Path) -> Recording:
    """``vid.avi`` and ``ground_truth.txt``: a row of PPG, one of heart rate, one of times (s)."""
    path = folder / "ground_truth.txt"
    lines = [line for line in _text(path).splitlines() if line.strip()]
    if len(lines) < 3:
        raise DataError(
            f"{path} has {len(lines)} rows, not PPG, heart rate and time; copy it again"
        )
    ppg, bpm, times_s = (_numbers(path, line, "rows") for line in lines[:3])
    return _ubfc(folder, path, ppg, bpm, times_s)


def load_ubfc_1(folder: Path) -> Recording:
    """``vid.avi`` and ``gtdump.xmp``: CSV of time (ms), heart rate, SpO2 and PPG."""
    path = folder / "gtdump.xmp"
    lines = [line for line in _text(path).splitlines() if line.strip()]
    rows = [_numbers(path, line, "columns") for line in lines]
    if not rows or min(len(row) for row in rows) < 4:
        raise DataError(f"{path} lacks its four columns time, heart rate, SpO2, PPG; copy it again")
    table = np.array([row[:4] for row in rows])
    return _ubfc(folder, path, table[:, 3], table[:, 1], table[:, 0] / 1000.0)


def _ubfc(
    folder: Path, path: Path, ppg: np.ndarray, bpm: np.ndarray, times_s: np.ndarray
) -> Recording:
    start_s = float(times_s[0]) if len(times_s) else 0.0
    ppg, ppg_s = checked_signal(path, ppg, times_s - start_s, "PPG")
    bpm, bpm_s = checked_signal(path, bpm, times_s - start_s, "heart rate")
    return Recording(
        subject=folder.name,
        name=folder.name,
        reference=Reference(ppg, ppg_s, *_alive(bpm, bpm_s)),
        frames=_video(folder / _VIDEO),
        groups=_simulated_groups(folder),
        pictures=folder / _VIDEO,
    )


def _alive(bpm: np.ndarray, times_s: np.ndarray) -> Tuple[Any, Any]:
    """The rates of a row that is not simply empty (some oximeters write zeros)."""
    good = (bpm >= 25.0) & (bpm <= 250.0)
    return (bpm[good], times_s[good]) if good.sum() >= 2 else (None, None)


def _simulated_groups(folder: Path) -> Dict[str, str]:
    """Skin group and difficulty of a clip that ``hrd simulate`` wrote (its ``recipe.json``)."""
    path = folder / "recipe.json"
    if not path.is_file():
        return {}
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON that can be read ({error}); write it again") from None
    groups = {}
    for key, name in (
        ("skin_group", "skin group (simulated)"),
        ("difficulty", "difficulty"),
        ("motion", "motion"),
        ("kind", "kind"),
    ):
        value = recipe.get(key) if isinstance(recipe, dict) else None
        if isinstance(value, (str, int)):
            groups[name] = str(value)
    return groups


# PURE (Stricker, Mueller & Gross 2014)

_PURE_TASKS = {
    "01": "steady",
    "02": "talking",
    "03": "slow translation",
    "04": "fast translation",
    "05": "small rotation",
    "06": "medium rotation",
}


def find_pure(root: Path) -> List[Entry]:
    """``01-01/01-01/Image<ns>.png`` with ``01-01/01-01.json``; also unpacked one level flatter."""
    return [Entry(path.name, partial(load_pure, path)) for path in _folders(root, r"\d\d-\d\d")]


def load_pure(folder: Path) -> Recording:
    """Pictures named by their time in ns, and a JSON of 60 Hz pulse wave and pulse rate."""
    name = folder.name
    inner = folder / name
    pictures = inner if inner.is_dir() else folder
    path = folder / f"{name}.json"
    if not path.is_file() and (folder.parent / f"{name}.json").is_file():
        path = folder.parent / f"{name}.json"
    try:
        content = json.loads(_text(path))
        packages = content["/FullPackage"]
        times_ns = np.array([int(package["Timestamp"]) for package in packages], np.int64)
        wave = np.array([float(package["Value"]["waveform"]) for package in packages])
        bpm = np.array([float(package["Value"]["pulseRate"]) for package in packages])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not PURE's JSON (at {error}); copy it again") from None
    images = sorted(pictures.glob("Image*.png"), key=_pure_ns)
    if not images:
        raise DataError(f"{pictures} holds no Image<ns>.png; unpack the recording again")
    start_ns = _pure_ns(images[0])
    # the difference first: nanoseconds since 1970 do not fit into a double
    times_s = (times_ns - start_ns) / 1e9
    wave, wave_s = checked_signal(path, wave, times_s, "pulse wave")
    bpm, bpm_s = checked_signal(path, bpm, times_s, "pulse rate")
    return Recording(
        subject=name.split("-")[0],
        name=name,
        reference=Reference(wave, wave_s, *_alive(bpm, bpm_s)),
        frames=partial(pure_frames, images),
        groups={"motion": _PURE_TASKS.get(name.split("-")[1], name.split("-")[1])},
        count=len(images),
        pictures=pictures,
    )


def _pure_ns(path: Path) -> int:
    digits = re.sub(r"\D", "", path.stem)
    if not digits:
        raise DataError(f"{path} is not named by its time; unpack the recording again")
    return int(digits)


def pure_frames(images: List[Path]) -> Iterator[Frame]:
    """The pictures at the times in their names, seconds from the first."""
    start_ns = _pure_ns(images[0])
    for index, path in enumerate(images):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(f"{path} is no picture that can be read; unpack the recording again")
        time_s = (_pure_ns(path) - start_ns) / 1e9
        yield Frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), time_s, index)


# COHFACE (Heusch, Anjos & Marcel 2017)

_COHFACE_HZ = 256.0
_COHFACE_LIGHT = {"0": "studio", "1": "studio", "2": "natural", "3": "natural"}


def find_cohface(root: Path) -> List[Entry]:
    """``n/{0..3}/data.avi`` and ``data.hdf5``."""
    entries = []
    for subject in _folders(root, r"\d+"):
        for session in _folders(subject, r"\d+"):
            entries.append(Entry(f"{subject.name}/{session.name}", partial(load_cohface, session)))
    return entries


def load_cohface(folder: Path) -> Recording:
    """The dataset ``pulse`` of data.hdf5, 256 Hz from the video's first frame on."""
    path = _need(folder / "data.hdf5")
    pulse = matfiles.hdf5_vector(path, "pulse")
    times_s = np.arange(len(pulse)) / _COHFACE_HZ
    pulse, pulse_s = checked_signal(path, pulse, times_s, "pulse")
    return Recording(
        subject=folder.parent.name,
        name=f"{folder.parent.name}/{folder.name}",
        reference=Reference(pulse, pulse_s),
        frames=_video(folder / "data.avi"),
        pictures=folder / "data.avi",
        groups={"light": _COHFACE_LIGHT.get(folder.name, folder.name)},
    )


# UBFC-Phys (Meziati Sabour et al. 2021)

_PHYS_HZ = 64.0
_PHYS_TASKS = {"T1": "rest", "T2": "speech", "T3": "arithmetic"}


def find_ubfc_phys(root: Path) -> List[Entry]:
    """``sN/vid_sN_Tk.avi`` and ``bvp_sN_Tk.csv``."""
    entries = []
    for folder in _folders(root, r"s\d+"):
        tasks = {
            match.group(1)
            for path in folder.iterdir()
            for match in [re.fullmatch(rf"(?:vid|bvp)_{folder.name}_(T\d)\.(?:avi|csv)", path.name)]
            if match
        }
        for task in sorted(tasks):
            name = f"{folder.name}_{task}"
            entries.append(Entry(name, partial(load_ubfc_phys, folder, task)))
    return entries


def load_ubfc_phys(folder: Path, task: str) -> Recording:
    """One column of BVP at 64 Hz from the video's first frame on."""
    name = f"{folder.name}_{task}"
    path = folder / f"bvp_{name}.csv"
    values = [
        _numbers(path, line.split(",")[0], "BVP")[:1]
        for line in _text(path).splitlines()
        if line.strip()
    ]
    bvp = np.concatenate(values) if values else np.zeros(0)
    bvp, bvp_s = checked_signal(path, bvp, np.arange(len(bvp)) / _PHYS_HZ, "BVP")
    return Recording(
        subject=folder.name,
        name=name,
        reference=Reference(bvp, bvp_s),
        frames=_video(folder / f"vid_{name}.avi"),
        pictures=folder / f"vid_{name}.avi",
        groups={"motion": _PHYS_TASKS.get(task, task)},
    )


def _find_ubfc_2(root: Path) -> List[Entry]:
    return _find_ubfc(root, "ground_truth.txt", load_ubfc_2)


def _find_ubfc_1(root: Path) -> List[Entry]:
    return _find_ubfc(root, "gtdump.xmp", load_ubfc_1)


LAYOUTS: Dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "ubfc-rppg",
            "UBFC-rPPG DATASET_2",
            "subjectN/{vid.avi, ground_truth.txt}",
            _find_ubfc_2,
            ("*/ground_truth.txt",),
        ),
        Layout(
            "ubfc-rppg-1",
            "UBFC-rPPG DATASET_1",
            "NAME/{vid.avi, gtdump.xmp}",
            _find_ubfc_1,
            ("*/gtdump.xmp",),
        ),
        Layout(
            "pure",
            "PURE",
            "01-01/{01-01.json, 01-01/Image<ns>.png}",
            find_pure,
            ("[0-9][0-9]-[0-9][0-9]/*.json", "[0-9][0-9]-[0-9][0-9].json"),
        ),
        Layout(
            "cohface",
            "COHFACE",
            "N/{0..3}/{data.avi, data.hdf5}",
            find_cohface,
            ("*/[0-9]/data.hdf5",),
        ),
        Layout(
            "ubfc-phys",
            "UBFC-Phys",
            "sN/{vid_sN_Tk.avi, bvp_sN_Tk.csv}",
            find_ubfc_phys,
            ("s*/bvp_s*_T*.csv",),
        ),
        Layout(
            "mmpd", "MMPD", "subjectN/pN_i.mat", matfiles.find_mmpd, ("subject*/p[0-9]*_*.mat",)
        ),
        Layout(
            "scamps",
            "SCAMPS",
            "P000001.mat, ...",
            matfiles.find_scamps,
            ("P[0-9]*.mat", "*/P[0-9]*.mat"),
        ),
        Layout(
            "simulated",
            "hrd simulate",
            "NAME/{vid.avi, ground_truth.txt, recipe.json}",
            _find_ubfc_2,
            ("*/ground_truth.txt",),
        ),
    )
}


def find_recordings(layout: Layout, root: Path) -> List[Entry]:
    """All recordings under ``root``, in their natural order. Raises ``DataError`` if there are
    none, and where ``root`` holds another data set than was named."""
    try:
        if not root.is_dir():
            raise DataError(f"{root} is not a directory; give the folder that {layout.title} is in")
        entries = layout.find(root)
        meant = _meant(layout, root)
    except OSError as error:
        raise DataError(
            f"{root} cannot be listed ({error.strerror}); check its permissions"
        ) from None
    if meant is not None:
        raise DataError(
            f"{root} holds {meant.title} ({meant.tree}) and not {layout.title}; "
            f"give the layout {meant.name}"
        )
    if not entries:
        raise DataError(
            f"{root} holds no recording as {layout.title} lays them out ({layout.tree}); "
            "give the folder that holds these"
        )
    return entries


def _meant(layout: Layout, root: Path) -> Optional[Layout]:
    """The layout whose files are there where none of the named one's are."""

    def found(marks: Tuple[str, ...]) -> bool:
        return any(next(root.glob(mark), None) is not None for mark in marks)

    if found(layout.marks):
        return None
    return next((other for other in LAYOUTS.values() if found(other.marks)), None)
