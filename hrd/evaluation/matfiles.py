"""MATLAB and HDF5 files: COHFACE's pulse, MMPD and SCAMPS.

A .mat of version 7.3 is HDF5 and is read a few frames at a time. An older one is compressed as a
whole and can only be read whole: it is freed as soon as its pass ends.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from hrd.evaluation.recording import DataError, Entry, Recording, Reference, checked_signal
from hrd.types import Frame

FPS = 30.0
"""Both MMPD and SCAMPS are recorded at 30 frames a second, without times of their own."""

_CHUNK_FRAMES = 32
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Does the file hold HDF5? A MATLAB 7.3 file has it behind a header of 512 bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(520)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); copy it again") from None
    return head.startswith(_HDF5_MAGIC) or head[512:520] == _HDF5_MAGIC


def hdf5_vector(path: Path, key: str) -> np.ndarray:
    """(N,) numbers of one dataset of an HDF5 file. Raises ``DataError``."""
    with _open_hdf5(path) as file:
        if key not in file:
            raise DataError(f"{path} holds no {key}; copy it again")
        try:
            return np.asarray(file[key][()], float).ravel()
        except (ValueError, TypeError, OSError) as error:
            raise DataError(f"{path} has a {key} that cannot be read ({error})") from None


def find_mmpd(root: Path) -> List[Entry]:
    """``subjectN/pN_i.mat``."""
    found = list(root.glob("subject*/p*_*.mat"))
    found.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", path.parent.name + path.stem)])
    return [Entry(f"{path.parent.name}/{path.stem}", partial(load_mmpd, path)) for path in found]


def load_mmpd(path: Path) -> Recording:
    """``video`` [t, h, w, c] of 0..1 or 0..255, ``GT_ppg`` [t], and labels (Tang et al. 2023)."""
    labels = ("light", "motion", "exercise", "skin_color")
    values = _read(path, ("GT_ppg",) + labels)
    ppg = _vector(path, values, "GT_ppg")
    ppg, ppg_s = checked_signal(path, ppg, np.arange(len(ppg)) / FPS, "GT_ppg")
    groups: Dict[str, str] = {}
    for key, name in zip(labels, ("light", "motion", "exercise", "skin tone")):
        label = _label(values.get(key))
        if label is not None:
            # an older edition's wrong name for the same task, say the data set's authors
            groups[name] = "Walking" if label == "Watching Videos" else label
    return Recording(
        subject=path.parent.name,
        name=f"{path.parent.name}/{path.stem}",
        reference=Reference(ppg, ppg_s),
        frames=partial(mat_frames, path, ("video",)),
        groups=groups,
        count=len(ppg),
    )


def find_scamps(root: Path) -> List[Entry]:
    """``P000001.mat`` and so on, in the folder itself or in one below it."""
    found = sorted(root.glob("P*.mat")) or sorted(root.glob("*/P*.mat"))
    return [Entry(path.stem, partial(load_scamps, path)) for path in found]


def load_scamps(path: Path) -> Recording:
    """``RawFrames`` (or ``Xsub``, the 72x72 edition) and ``d_ppg`` (McDuff et al. 2022)."""
    values = _read(path, ("d_ppg",))
    ppg = _vector(path, values, "d_ppg")
    ppg, ppg_s = checked_signal(path, ppg, np.arange(len(ppg)) / FPS, "d_ppg")
    return Recording(
        subject=path.stem,
        name=path.stem,
        reference=Reference(ppg, ppg_s),
        frames=partial(mat_frames, path, ("RawFrames", "Xsub")),
        count=len(ppg),
    )


def mat_frames(path: Path, keys: Tuple[str, ...]) -> Iterator[Frame]:
    """Frames of the first of ``keys`` that the file holds, 30 a second, as 8-bit RGB."""
    for index, picture in enumerate(_pictures(path, keys)):
        yield Frame(picture, index / FPS, index)


def _pictures(path: Path, keys: Tuple[str, ...]) -> Iterator[np.ndarray]:
    if not is_hdf5(path):
        values = _read(path, keys)
        key = _first_of(path, keys, values)
        video = values.pop(key)
        axes = _axes(path, key, video.shape)
        ordered = video.transpose(axes)
        whole_scale = _scale(path, key, ordered[:: max(1, len(ordered) // 8)])
        for frame in ordered:
            yield _eight_bit(frame, whole_scale)
        return
    with _open_hdf5(path) as file:
        key = _first_of(path, keys, file)
        dataset = file[key]
        # MATLAB stores the first index fastest: HDF5 shows the axes the other way round
        axes = _axes(path, key, dataset.shape[::-1])
        own = [len(dataset.shape) - 1 - axis for axis in axes]  # time, height, width, colour
        frames = dataset.shape[own[0]]
        scale: Optional[float] = None
        for start in range(0, frames, _CHUNK_FRAMES):
            where: List[Any] = [slice(None)] * len(dataset.shape)
            where[own[0]] = slice(start, min(start + _CHUNK_FRAMES, frames))
            try:
                chunk = dataset[tuple(where)].transpose(own)
            except OSError as error:
                raise DataError(f"{path} breaks off in {key} ({error}); copy it again") from None
            scale = _scale(path, key, chunk) if scale is None else scale
            for frame in chunk:
                yield _eight_bit(frame, scale)


def _axes(path: Path, key: str, shape: Tuple[int, ...]) -> List[int]:
    """Which axes are time, height, width and colour: colour has 3, time is first or last."""
    if len(shape) != 4 or 3 not in shape:
        raise DataError(f"{path} has a {key} of shape {tuple(shape)}, which is no colour video")
    if shape[3] == 3:
        return [0, 1, 2, 3]
    if shape[2] == 3:
        return [3, 0, 1, 2]
    if shape[1] == 3:
        return [0, 2, 3, 1]
    raise DataError(f"{path} has a {key} of shape {tuple(shape)}, which is no colour video")


def _scale(path: Path, key: str, some: np.ndarray) -> float:
    """255 for pictures of 0..1, 1 for pictures of 0..255."""
    if some.dtype == np.uint8:
        return 1.0
    if not np.isfinite(some).all():
        raise DataError(f"{path} has pictures in {key} that are not finite; copy it again")
    return 255.0 if float(some.max()) <= 1.5 else 1.0


def _eight_bit(frame: np.ndarray, scale: float) -> np.ndarray:
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    return np.clip(np.rint(frame * scale), 0, 255).astype(np.uint8)


def _read(path: Path, keys: Tuple[str, ...]) -> Dict[str, Any]:
    """The named variables of a .mat file of any version, those that it has."""
    if is_hdf5(path):
        with _open_hdf5(path) as file:
            try:
                # a group is a MATLAB structure: neither signal nor label
                held = [key for key in keys if hasattr(file.get(key), "dtype")]
                return {key: _contents(file, file[key][()]) for key in held}
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path} breaks off ({error}); copy it again") from None
    from scipy.io import loadmat

    try:
        return dict(loadmat(str(path), variable_names=list(keys)))
    except Exception as error:  # zlib, MatReadError, ValueError, TypeError: all mean a bad file
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is no .mat file that can be read ({why}); copy it again") from None


def _contents(file: Any, value: Any) -> Any:
    """What a MATLAB variable holds; of a cell array, which is stored as references, the first."""
    import h5py

    for _ in range(4):  # cells in cells
        flat = np.asarray(value, dtype=object).ravel() if _holds_references(value) else None
        if flat is None or len(flat) == 0 or not isinstance(flat[0], h5py.Reference):
            return value
        value = file[flat[0]][()] if flat[0] else None
    return value


def _holds_references(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _open_hdf5(path: Path):  # type: ignore[no-untyped-def]
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path} is an HDF5 file, which needs h5py; install it with: pip install h5py"
        ) from None
    try:
        return h5py.File(str(path), "r")
    except OSError as error:
        raise DataError(
            f"{path} is no HDF5 file that can be read ({error}); copy it again"
        ) from None


def _first_of(path: Path, keys: Tuple[str, ...], values: Any) -> str:
    for key in keys:
        if key in values:
            return key
    raise DataError(f"{path} holds no {' or '.join(keys)}; copy it again")


def _vector(path: Path, values: Dict[str, Any], key: str) -> np.ndarray:
    if key not in values:
        raise DataError(f"{path} holds no {key}; copy it again")
    try:
        return np.asarray(values[key], float).ravel()
    except (ValueError, TypeError):
        raise DataError(f"{path} has a {key} that is no signal; copy it again") from None


def _label(value: Any) -> Optional[str]:
    """The one text or number in a MATLAB variable."""
    if value is None:
        return None
    flat = np.asarray(value).ravel()
    if flat.dtype == np.uint16 and len(flat) > 1:  # a text in HDF5: UTF-16 units
        return "".join(chr(unit) for unit in flat)
    if len(flat) == 0:
        return None
    one = flat[0]
    if isinstance(one, np.ndarray):
        return _label(one)
    if isinstance(one, (bool, np.bool_, str)):
        return str(one).strip() or None
    try:
        number = float(one)
    except (TypeError, ValueError):  # a structure, a table: no label
        return None
    if not np.isfinite(number):
        return None
    return str(int(number)) if number == int(number) else f"{number:g}"
