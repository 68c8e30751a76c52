"""Drawn clips on disk: the faces as the runtime's tracker saw them, and the truth.

A clip is drawn once and kept, because drawing takes seconds and is the same every time. Crops are
stored in 1/256 of an 8-bit step, and read back from that even when fresh, so that a first and a
second evaluation see the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from hrd.evaluation.recording import DataError, Recording, Reference
from hrd.face.detect import FaceDetector
from hrd.face.track import FaceTracker
from hrd.files import written_whole
from hrd.paths import expand
from hrd.sim.lens import CodecConfig, encode
from hrd.types import FaceBox, FaceView, Frame, NoFace, RoiFrame

_CROP_SCALE = 256.0


@dataclass(frozen=True)
class DrawnClip:
    """``time_s`` (T,); ``found`` (T,) bool; ``crops`` (T, 36, 36, 3) uint16; ``face`` (T, 4) box
    and ``cut``, ``motion_per_s`` (T,), ``shift_px`` (T, 2) as in RoiFrame. ``reference``: what the
    heart did."""

    time_s: np.ndarray
    found: np.ndarray
    crops: np.ndarray
    face: np.ndarray
    cut: np.ndarray
    motion_per_s: np.ndarray
    shift_px: np.ndarray
    reference: Reference
    meta: Mapping[str, Any]

    def tracked(self) -> Iterator[FaceView]:
        """The clip as the pipeline would meet it."""
        for k, time_s in enumerate(self.time_s):
            if not self.found[k]:
                yield NoFace(float(time_s))
                continue
            crop = np.multiply(self.crops[k], np.float32(1.0 / _CROP_SCALE), dtype=np.float32)
            x, y, w, h = (float(value) for value in self.face[k])
            box = FaceBox(x, y, w, h)
            dx, dy = (float(value) for value in self.shift_px[k])
            yield RoiFrame(
                float(time_s), crop, box, bool(self.cut[k]), float(self.motion_per_s[k]), (dx, dy)
            )


def follow(
    pictures: Iterator[np.ndarray],
    times_s: np.ndarray,
    codec: CodecConfig,
    fps: float,
    detector: FaceDetector,
    on_index: Callable[[int], None],
    reference: Reference,
    meta: Mapping[str, Any],
) -> DrawnClip:
    """Send 8-bit pictures through a codec and the runtime's tracker.

    ``on_index`` is told the number of each frame before it is searched.
    """
    tracker = FaceTracker(detector)
    rois: List[Optional[RoiFrame]] = []
    for index, image in enumerate(encode(pictures, codec, fps)):
        on_index(index)
        rois.append(tracker.push(Frame(image, float(times_s[index]), index)))
    count = len(rois)
    empty = np.zeros((36, 36, 3), np.uint16)
    return DrawnClip(
        time_s=np.asarray(times_s[:count], float),
        found=np.array([roi is not None for roi in rois]),
        crops=np.stack([empty if roi is None else _pack(roi.crop) for roi in rois]),
        face=np.array([_box(roi) for roi in rois]),
        cut=np.array([roi is not None and roi.cut for roi in rois]),
        motion_per_s=np.array([0.0 if roi is None else roi.motion_per_s for roi in rois]),
        shift_px=np.array([(0.0, 0.0) if roi is None else roi.shift_px for roi in rois]),
        reference=reference,
        meta=meta,
    )


def _pack(crop: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(crop * _CROP_SCALE), 0, 65535).astype(np.uint16)


def _box(roi: Optional[RoiFrame]) -> Tuple[float, float, float, float]:
    if roi is None:
        return (0.0, 0.0, 0.0, 0.0)
    return (roi.face.x_px, roi.face.y_px, roi.face.w_px, roi.face.h_px)


_REFERENCE_KEYS = ("bvp", "bvp_time_s", "bpm", "bpm_time_s")


def save(path: Path, clip: DrawnClip) -> None:
    """Write a clip; a broken-off write leaves nothing under ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: getattr(clip, name)
        for name in ("time_s", "found", "crops", "face", "cut", "motion_per_s", "shift_px")
    }
    for key in _REFERENCE_KEYS:
        value = getattr(clip.reference, key)
        if value is not None:
            arrays[f"reference_{key}"] = value
    with written_whole(path) as file:
        np.savez(file, meta=np.array(json.dumps(dict(clip.meta))), **arrays)


def load(path: Path) -> DrawnClip:
    """Read a clip back; ``DataError`` if the file is not one."""
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        reference = Reference(
            **{key: arrays.pop(f"reference_{key}", None) for key in _REFERENCE_KEYS}
        )
        meta = json.loads(str(arrays.pop("meta")))
        return DrawnClip(reference=reference, meta=meta, **arrays)
    except Exception as error:  # a zip, npy or JSON that is no such thing; many error types
        raise DataError(
            f"{path} is no drawn clip that can be read ({error}); delete it and run this again"
        ) from None


def load_or_draw(path: Optional[Path], draw: Callable[[], DrawnClip]) -> DrawnClip:
    """The clip stored at ``path``, or drawn now and stored there."""
    if path is None:
        return draw()
    if not path.is_file():
        try:
            save(path, draw())
        except OSError as error:
            raise DataError(
                f"{path} cannot be written ({error.strerror}); choose another folder with --cache"
            ) from None
    return load(path)


def as_recording(clip: DrawnClip, name: str, groups: Mapping[str, str]) -> Recording:
    """Each drawn clip is a person of its own."""
    return Recording(
        subject=name,
        name=name,
        reference=clip.reference,
        tracked=clip.tracked,
        groups=groups,
        count=len(clip.time_s),
    )


def drawing_mark(recipe: Mapping[str, Any], samples: Iterable[DrawnClip]) -> str:
    """SHA-256 over a recipe and some clips drawn by it.

    The same recipe drawn otherwise is another set: its clips must not be mixed with these.
    """
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for clip in samples:
        digest.update(clip_sha256(clip).encode())
    return digest.hexdigest()


def clip_sha256(clip: DrawnClip) -> str:
    """SHA-256 of what a reading of a clip and its score depend on: what was seen, and the truth."""
    digest = hashlib.sha256(np.ascontiguousarray(clip.crops).tobytes())
    digest.update(np.ascontiguousarray(clip.cut).tobytes())
    digest.update(np.ascontiguousarray(clip.found).tobytes())
    for values in (clip.time_s, clip.motion_per_s, clip.shift_px):
        digest.update(np.round(values, 6).tobytes())
    for key in _REFERENCE_KEYS:
        truth = getattr(clip.reference, key)
        if truth is not None:
            digest.update(np.round(np.asarray(truth, float), 6).tobytes())
    return digest.hexdigest()


def cache_folder(given: Optional[str]) -> Path:
    """``given``, or the user's cache (XDG Base Directory Specification)."""
    if given:
        return expand(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "hrd" / "eval"


def meta_groups(meta: Mapping[str, Any], names: Mapping[str, str]) -> Dict[str, str]:
    """Groups of a clip from its metadata: key there -> name in the report."""
    return {name: str(meta[key]) for key, name in names.items() if key in meta}
