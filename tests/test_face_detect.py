from __future__ import annotations

import builtins
from typing import List

import numpy as np
import pytest

from hrd.capture.simulated import SimulatedSource
from hrd.face import detect
from hrd.face.detect import DetectorError, MediaPipeDetector, OpenCvDetector, open_detector


@pytest.fixture(scope="module")
def faces() -> List[np.ndarray]:
    """Drawn faces, 640x480."""
    images = []
    for seed in range(12):
        frame = SimulatedSource.parse(f"sim:seed={seed}").read()
        assert frame is not None
        images.append(frame.image)
    return images


def test_mediapipe_finds_drawn_faces_and_nothing_in_a_room(faces: List[np.ndarray]) -> None:
    detector = MediaPipeDetector()
    assert sum(len(detector.detect(face)) == 1 for face in faces) >= 11
    for seed in range(5):
        room = SimulatedSource.parse(f"sim:kind=noface,seed={seed}").read()
        assert room is not None
        assert detector.detect(room.image) == []
    detector.close()
    detector.close()


def test_opencv_stands_in_with_nearly_the_same_box(faces: List[np.ndarray]) -> None:
    mediapipe, opencv = MediaPipeDetector(), OpenCvDetector()
    found = [(mediapipe.detect(face)[:1], opencv.detect(face)[:1]) for face in faces]
    both = [(a[0], b[0]) for a, b in found if a and b]
    assert len(both) >= 8
    sizes = [b.w_px / max(a.w_px, a.h_px) for a, b in both]
    assert np.median(sizes) == pytest.approx(1.0, abs=0.1)
    for axis in (0, 1):
        offsets = [(b.center_px[axis] - a.center_px[axis]) / a.w_px for a, b in both]
        assert np.median(offsets) == pytest.approx(0.0, abs=0.05)


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(faces: List[np.ndarray]) -> None:
    detector = MediaPipeDetector()
    face = faces[0]
    large = np.repeat(np.repeat(face, 2, axis=0), 2, axis=1)
    (a, *_), (b, *_) = detector.detect(face), detector.detect(large)
    assert b.w_px == pytest.approx(2 * a.w_px, rel=0.05)
    assert b.x_px == pytest.approx(2 * a.x_px, rel=0.05)


def test_without_mediapipe_opencv_is_taken_and_said_so(monkeypatch, caplog) -> None:
    real_import = builtins.__import__

    def no_mediapipe(name, *args, **kwargs):
        if name.startswith("mediapipe"):
            raise ImportError("no such thing here")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_mediapipe)
    assert open_detector("auto").name == "opencv"
    assert "falling back" in caplog.text
    with pytest.raises(DetectorError, match="pip install mediapipe"):
        open_detector("mediapipe")


def test_an_opencv_without_cascades_says_which_to_install(monkeypatch) -> None:
    monkeypatch.delattr(detect.cv2, "CascadeClassifier")
    with pytest.raises(DetectorError, match="opencv-contrib-python"):
        open_detector("opencv")
    with pytest.raises(DetectorError, match="unknown face detector"):
        open_detector("yolo")
