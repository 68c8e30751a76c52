"""What the camera sees: a drawn face with a known pulse, drawn once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence

import cv2
import numpy as np

from tests.long.camera_server import FPS, LOOP_S, jpegs, pictures
from tests.long.format_servers import as_yuyv
from tests.vm.image import ROOT, cache

TRUE_BPM = 72.0
SMALL = "320x240"
QUALITY = 90
"""Of the pictures that the camera compresses: some 40 kB each at 640x480, as cameras' are."""
_KEPT_QUALITY = 98


@dataclass(frozen=True)
class Film:
    """A loop without a seam in the pulse, ``fps`` pictures a second, as they go over the wire."""

    letters: str
    width_px: int
    height_px: int
    fps: float
    frames: Sequence[bytes]


def face(size: str = "640x480") -> List[np.ndarray]:
    """RGB pictures of a face, 72 bpm, ``LOOP_S`` at 30 a second."""
    return _kept(f"sim:bpm={TRUE_BPM:g},variability=0,seed=5,size={size}")


def film(images: List[np.ndarray], letters: str, every: int = 1) -> Film:
    """Those pictures as a camera sends them; ``every`` so manyth only, at a lower rate."""
    height, width = images[0].shape[:2]
    chosen = images[::every]
    frames = jpegs(chosen, QUALITY) if letters == "MJPG" else [_raw(i, letters) for i in chosen]
    return Film(letters, width, height, FPS / every, frames)


def _raw(image: np.ndarray, letters: str) -> bytes:
    if letters == "YUYV":
        return bytes(as_yuyv(image).to_ndarray().tobytes())
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if letters == "GREY":
        return gray.tobytes()
    return gray.tobytes() + bytes([128]) * (gray.size // 2)  # NV12, without its colours


def _kept(spec: str) -> List[np.ndarray]:
    drawing = [spec, f"{LOOP_S} {FPS}"]
    for module in sorted((ROOT / "hrd" / "sim").glob("*.py")):
        drawing.append(module.read_text())
    key = hashlib.sha256("\0".join(drawing).encode()).hexdigest()[:16]
    kept: Path = cache() / "films" / f"{key}.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        data = jpegs(pictures(spec), _KEPT_QUALITY)
        unfinished = kept.with_suffix(".part.npz")
        np.savez(unfinished, *[np.frombuffer(picture, np.uint8) for picture in data])
        unfinished.rename(kept)
    with np.load(kept) as archive:
        return [
            cv2.cvtColor(cv2.imdecode(archive[name], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            for name in archive.files
        ]
