"""Can this picture carry a pulse at all? Reasons to refuse that need no signal processing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Optional, Tuple

import numpy as np

from hrd.estimate.options import QualityConfig
from hrd.skin import FACE_SHARE, luma
from hrd.types import Reason, RoiFrame

__all__ = ["QualityConfig", "QualityGate"]

_SATURATED = 250.0
_MEMORY_S = 3.0
_MOST_SILENT = 0.15
"""Share of the last seconds without any picture: what is read across more holes than that may
miss beats."""


@dataclass(frozen=True)
class _Look:
    time_s: float
    luma: float
    saturated: float
    motion_per_s: float
    face_px: float


@dataclass(frozen=True)
class FaceQuality:
    """Means over the last seconds: ``luma`` 0..255 of the skin, ``saturated`` 0..1 of it with
    burnt-out green, movement in face widths per second, the box's width in pixels."""

    luma: float
    saturated: float
    motion_per_s: float
    face_px: float


class QualityGate:
    """``push`` RoiFrames; ``verdict`` is the first reason to refuse, or None."""

    def __init__(self, config: Optional[QualityConfig] = None) -> None:
        self._config = config or QualityConfig()
        self._looks: Deque[_Look] = deque()
        self._last_crop: Optional[np.ndarray] = None
        self._changed_s: Optional[float] = None

    def reset(self) -> None:
        """Forget the past seconds."""
        self._looks.clear()
        self._last_crop = None
        self._changed_s = None

    def push(self, roi: RoiFrame) -> None:
        """Look at one frame of the face."""
        gray = luma(roi.crop)
        self._looks.append(
            _Look(
                time_s=roi.time_s,
                luma=float(np.vdot(gray, FACE_SHARE)),
                saturated=float(FACE_SHARE[roi.crop[..., 1] >= _SATURATED].sum()),
                motion_per_s=roi.motion_per_s,
                face_px=roi.face.w_px,
            )
        )
        while self._looks[0].time_s < roi.time_s - _MEMORY_S:
            self._looks.popleft()
        # exact equality: a living sensor's noise changes some pixel of 3,888 in every frame
        if self._last_crop is None or roi.cut or not np.array_equal(roi.crop, self._last_crop):
            self._changed_s = roi.time_s
        self._last_crop = roi.crop

    def frozen(self) -> bool:
        """Has the picture not changed at all for too long?"""
        if not self._looks or self._changed_s is None:
            return False
        return self._looks[-1].time_s - self._changed_s > self._config.frozen_s

    def verdict(self, fps: Optional[float], silent_share: float = 0.0) -> Optional[Reason]:
        """Why no pulse can be read from the last seconds, the plainest reason first."""
        return next(iter(self.problems(fps, silent_share)), None)

    def problems(self, fps: Optional[float], silent_share: float = 0.0) -> Tuple[Reason, ...]:
        """Everything that speaks against a pulse in the last seconds, the plainest first.

        ``fps``, ``silent_share``: what ``FrameRateMeter`` says of the pictures.
        """
        mean, config = self.quality(), self._config
        if mean is None:
            return ()
        too_few = fps is not None and fps < config.min_fps
        limits = (
            (Reason.FACE_TOO_SMALL, mean.face_px < config.min_face_px),
            (Reason.TOO_DARK, mean.luma < config.min_luma),
            (Reason.TOO_BRIGHT, mean.saturated > config.max_saturated),
            (Reason.LOW_FRAME_RATE, too_few or silent_share > _MOST_SILENT),
            (Reason.MOTION, mean.motion_per_s > config.max_motion_per_s),
        )
        return tuple(reason for reason, exceeded in limits if exceeded)

    def quality(self) -> Optional[FaceQuality]:
        """The means that the limits are held to; None before the first frame of a face."""
        if not self._looks:
            return None
        return FaceQuality(
            *(
                sum(getattr(look, name) for look in self._looks) / len(self._looks)
                for name in ("luma", "saturated", "motion_per_s", "face_px")
            )
        )
