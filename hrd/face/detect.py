"""Face detectors: MediaPipe's short-range network, and OpenCV's cascade where it can't be had."""

from __future__ import annotations

import abc
import contextlib
import logging
import os
import sys
import types
from typing import Iterator, List

import cv2
import numpy as np

from hrd.errors import HrdError
from hrd.types import FaceBox

logger = logging.getLogger(__name__)

# OpenCV's frontal cascade draws its square wider and higher than MediaPipe does. Ratio of the
# sides and shift downwards in cascade boxes: between what 36 drawn faces say (0.86 and 0.13, the
# medians) and a real one (0.96 and 0.19). tests/test_face_detect.py holds the first to it.
_HAAR_SCALE = 0.88
_HAAR_SHIFT = 0.14

_MAX_DETECT_PX = 640  # MediaPipe reads 128x128 anyway; a larger picture only costs its resize


class DetectorError(HrdError):
    """A detector that cannot be loaded."""


class FaceDetector(abc.ABC):
    """Finds upright frontal faces. ``name`` is what STATUS and the log show."""

    name: str

    @abc.abstractmethod
    def detect(self, image: np.ndarray) -> List[FaceBox]:
        """Faces of an (H, W, 3) uint8 RGB image, best score first; empty if there are none."""

    def close(self) -> None:  # noqa: B027 - not every detector holds something
        """Release what is held; may be called twice."""


class MediaPipeDetector(FaceDetector):
    """BlazeFace short-range (Bazarevsky et al. 2019), the model inside the mediapipe wheel.

    ``model_selection=0``: the full-range model found no face on emulated aarch64.
    """

    name = "mediapipe"

    def __init__(self, min_score: float = 0.5) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")
        try:
            with quiet_stderr(), _without_matplotlib():
                from mediapipe.python.solutions import face_detection

                self._detector = face_detection.FaceDetection(
                    model_selection=0, min_detection_confidence=min_score
                )
                # the first call builds the graph, and talks about it
                self._detector.process(np.zeros((128, 128, 3), np.uint8))
        except ImportError as error:
            raise DetectorError(
                f"MediaPipe cannot be loaded ({error}); "
                "install it with: pip install mediapipe==0.10.9"
            ) from error

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        height, width = image.shape[:2]
        scale = _MAX_DETECT_PX / max(height, width)
        if scale < 1.0:
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        else:
            small = image
        result = self._detector.process(np.ascontiguousarray(small))
        faces = []
        for detection in result.detections or ():
            box = detection.location_data.relative_bounding_box
            faces.append(
                FaceBox(
                    x_px=box.xmin * width,
                    y_px=box.ymin * height,
                    w_px=box.width * width,
                    h_px=box.height * height,
                    score=float(detection.score[0]),
                )
            )
        return sorted(faces, key=lambda face: -face.score)

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()
            self._detector = None


class OpenCvDetector(FaceDetector):
    """Viola-Jones cascade from OpenCV's own data: the fallback. Slower and less sure."""

    name = "opencv"

    def __init__(self) -> None:
        path = os.path.join(
            getattr(getattr(cv2, "data", None), "haarcascades", ""),
            "haarcascade_frontalface_default.xml",
        )
        if not hasattr(cv2, "CascadeClassifier") or not os.path.isfile(path):
            raise DetectorError(
                f"this OpenCV ({cv2.__version__}) has no cascade detector; "
                "install opencv-contrib-python 4.x"
            )
        self._cascade = cv2.CascadeClassifier(path)

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        height, width = image.shape[:2]
        scale = min(1.0, 320.0 / max(height, width))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if scale < 1.0:
            gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes, _, weights = self._cascade.detectMultiScale3(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24), outputRejectLevels=True
        )
        faces = []
        for (x, y, w, h), weight in zip(boxes, weights):
            side = float(max(w, h))
            inner = side * _HAAR_SCALE
            center_x, center_y = x + w / 2.0, y + h / 2.0 + side * _HAAR_SHIFT
            faces.append(
                FaceBox(
                    x_px=(center_x - inner / 2.0) / scale,
                    y_px=(center_y - inner / 2.0) / scale,
                    w_px=inner / scale,
                    h_px=inner / scale,
                    score=float(1.0 / (1.0 + np.exp(-float(weight)))),
                )
            )
        return sorted(faces, key=lambda face: -face.score)


def open_detector(name: str = "auto") -> FaceDetector:
    """``auto`` (MediaPipe, else OpenCV with a warning), ``mediapipe`` or ``opencv``."""
    if name == "opencv":
        return OpenCvDetector()
    if name == "mediapipe":
        return MediaPipeDetector()
    if name != "auto":
        raise DetectorError(f"unknown face detector {name!r}: use auto, mediapipe or opencv")
    try:
        return MediaPipeDetector()
    except DetectorError as error:
        logger.warning("%s; falling back to OpenCV's slower detector", error)
        return OpenCvDetector()


@contextlib.contextmanager
def _without_matplotlib() -> Iterator[None]:
    """Spare the daemon matplotlib, which MediaPipe imports for a plot that nobody asks for: 34 MB
    and a third of a second. Whoever really imports it later gets the real one."""
    names = ("matplotlib", "matplotlib.pyplot")
    if any(name in sys.modules for name in names):
        yield
        return
    sys.modules.update({name: types.ModuleType(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep C++ libraries' start-up chatter off the terminal (it ignores every log setting)."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
