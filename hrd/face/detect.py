"""What finds faces: the interface, and which one is taken."""

from __future__ import annotations

import abc
import logging
from typing import List

import numpy as np

from hrd.choices import DETECTORS
from hrd.errors import HrdError
from hrd.types import FaceBox

logger = logging.getLogger(__name__)


class DetectorError(HrdError):
    """A detector that cannot be loaded."""


class FaceDetector(abc.ABC):
    """Finds upright frontal faces. ``name`` is what STATUS and the log show.

    ``input_px``: longer side of the picture that it looks at; a larger one only costs its resize.
    """

    name: str
    input_px: int = 640
    best_score: float = 0.0
    """Of the last picture, 0..1, also where it was too low for a face; 0 where it is not known."""

    @abc.abstractmethod
    def detect(self, image: np.ndarray) -> List[FaceBox]:
        """Faces of an (H, W, 3) uint8 RGB image, best score first; empty if there are none."""

    def close(self) -> None:  # noqa: B027 - not every detector holds something
        """Release what is held; may be called twice."""


def open_detector(name: str = "auto") -> FaceDetector:
    """``auto`` (BlazeFace, else OpenCV's cascade with a warning), or one by its name.

    Raises ``DetectorError``, which says what to install.
    """
    if name not in DETECTORS:
        raise DetectorError(
            f"unknown face detector {name!r}: use {', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}"
        )
    if name == "opencv":
        from hrd.face.cascade import OpenCvDetector

        return OpenCvDetector()
    if name == "mediapipe":
        from hrd.face.mediapipe_graph import MediaPipeDetector

        return MediaPipeDetector()
    from hrd.face.blazeface import BlazeFaceDetector

    try:
        return BlazeFaceDetector()
    except DetectorError as error:
        if name != "auto":
            raise
        from hrd.face.cascade import OpenCvDetector

        cascade = OpenCvDetector()
        logger.warning("%s Until then OpenCV's slower detector is used.", error)
        return cascade
