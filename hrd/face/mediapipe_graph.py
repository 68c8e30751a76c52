"""MediaPipe's face detection: the same network as ``hrd.face.blazeface``, in its own graph.

An extra (``pip install hrd[mediapipe]``): it needs Python 3.8 to 3.11 and 35 MB more memory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from typing import Iterator, List

import numpy as np

from hrd.face.detect import DetectorError, FaceDetector
from hrd.picture import Region, thumbnail
from hrd.types import FaceBox, Frame


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
                "install it with: pip install mediapipe==0.10.9 (Python 3.8 to 3.11)"
            ) from error

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        height, width = image.shape[:2]
        if max(height, width) > self.input_px:
            whole = Region(0.0, 0.0, width, height)
            image = thumbnail(Frame(image, 0.0, 0), whole, self.input_px)
        result = self._detector.process(np.ascontiguousarray(image))
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
