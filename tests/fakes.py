"""Stand-ins that behave by plan: a detector that is told where the face is, a scene to look at."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence

import cv2
import numpy as np

from hrd.face.detect import FaceDetector
from hrd.types import FaceBox, Frame


class PlannedDetector(FaceDetector):
    """Finds the boxes that ``plan(call)`` names."""

    name = "planned"

    def __init__(self, plan: Callable[[int], Sequence[FaceBox]]) -> None:
        self._plan = plan
        self.calls = 0

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        self.calls += 1
        return list(self._plan(self.calls - 1))


def always(*boxes: FaceBox) -> PlannedDetector:
    """A detector that finds the same faces every time."""
    return PlannedDetector(lambda call: boxes)


_SIZE_PX = 160
_TEXTURE = np.random.default_rng(7).uniform(0.0, 1.0, (12, 12))
_TEXTURE = cv2.resize(_TEXTURE, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_CUBIC)
_NOISE = np.random.default_rng(8).standard_normal((2 * _SIZE_PX, 2 * _SIZE_PX, 3), np.float32)
_SKIN = np.array([1.2, 0.85, 0.7], np.float32)
_PULSE = np.array([0.33, 0.77, 0.53])
_BEATING = np.zeros((_SIZE_PX, _SIZE_PX, 1), np.float32)  # what surrounds a face has no pulse
cv2.ellipse(_BEATING, (80, 80), (36, 46), 0, 0, 360, 1.0, -1)
_BEATING[:50] = 0.0  # hair has none, and eyes and lips have less than cheeks
_BEATING[64:77, 52:108] *= 0.4
_BEATING[84:104] *= 1.25
_BEATING[112:123, 68:92] *= 0.7


def skin_frame(
    index: int,
    time_s: float,
    bpm: Optional[float] = 72.0,
    noise: float = 1.0,
    level: float = 130.0,
    shift_px: float = 0.0,
) -> Frame:
    """A textured patch of skin that beats where a face that fills ``SKIN_FACE`` does (relative
    amplitudes after Wang et al. 2017)."""
    pulse = 0.0 if bpm is None else float(np.sin(2 * np.pi * bpm / 60.0 * time_s))
    texture = _TEXTURE
    if shift_px:
        move = np.array([[1.0, 0.0, shift_px], [0.0, 1.0, 0.0]])
        texture = cv2.warpAffine(texture, move, (_SIZE_PX, _SIZE_PX), borderMode=cv2.BORDER_REFLECT)
    colour = level * _SKIN * (1.0 + 0.01 * pulse * _PULSE * _BEATING)
    picture = (0.8 + 0.3 * texture[..., None]) * colour
    # a different piece of one noise field in every frame: cheap, and without a period
    x, y = np.random.default_rng(index).integers(0, _SIZE_PX, 2)
    picture += noise * _NOISE[y : y + _SIZE_PX, x : x + _SIZE_PX]
    return Frame(np.clip(np.rint(picture), 0, 255).astype(np.uint8), time_s, index)


SKIN_FACE = FaceBox(40.0, 45.0, 80.0, 80.0, 0.9)
"""Where the face is said to be in a ``skin_frame``."""
