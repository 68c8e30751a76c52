"""OpenCV's own face detector: what is left where there is no ONNX Runtime."""

from __future__ import annotations

import os
from typing import List

import cv2
import numpy as np

from hrd.face.detect import DetectorError, FaceDetector
from hrd.types import FaceBox

# OpenCV's frontal cascade draws its square wider and higher than MediaPipe does. Ratio of the
# sides and shift downwards in cascade boxes: between what 36 drawn faces say (0.86 and 0.13, the
# medians) and a real one (0.96 and 0.19). tests/test_face_detect.py holds the first to it.
_HAAR_SCALE = 0.88
_HAAR_SHIFT = 0.14


class OpenCvDetector(FaceDetector):
    """Viola-Jones cascade from OpenCV's own data: the fallback. Slower and less sure."""

    name = "opencv"
    input_px = 320

    def __init__(self) -> None:
        path = os.path.join(
            getattr(getattr(cv2, "data", None), "haarcascades", ""),
            "haarcascade_frontalface_default.xml",
        )
        if not hasattr(cv2, "CascadeClassifier") or not os.path.isfile(path):
            raise DetectorError(
                f"this OpenCV ({cv2.__version__}) has no cascade detector; "
                "install opencv-python-headless 4.x"
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
