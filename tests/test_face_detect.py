from __future__ import annotations

import builtins
import hashlib
import sys
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest

from hrd.capture.simulated import SimulatedSource
from hrd.engine.card import read_card
from hrd.face import blazeface
from hrd.face.blazeface import SIDE_PX, BlazeFaceDetector
from hrd.face.cascade import OpenCvDetector
from hrd.face.detect import DetectorError, open_detector
from hrd.paths import models_dir
from hrd.types import FaceBox

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture(scope="module")
def faces() -> List[np.ndarray]:
    """Drawn faces, 640x480."""
    images = []
    for seed in range(12):
        frame = SimulatedSource.parse(f"sim:seed={seed}").read()
        assert frame is not None
        images.append(frame.image)
    return images


def iou(a: FaceBox, b: FaceBox) -> float:
    w = min(a.x_px + a.w_px, b.x_px + b.w_px) - max(a.x_px, b.x_px)
    h = min(a.y_px + a.h_px, b.y_px + b.h_px) - max(a.y_px, b.y_px)
    shared = max(0.0, w) * max(0.0, h)
    return shared / (a.w_px * a.h_px + b.w_px * b.h_px - shared)


def test_blazeface_finds_drawn_faces_and_nothing_in_a_room(faces: List[np.ndarray]) -> None:
    detector = BlazeFaceDetector()
    assert sum(len(detector.detect(face)) == 1 for face in faces) >= 11
    for seed in range(5):
        room = SimulatedSource.parse(f"sim:kind=noface,seed={seed}").read()
        assert room is not None
        assert detector.detect(room.image) == []
    detector.close()
    detector.close()


def test_the_network_is_mediapipes_to_the_last_digit(faces: List[np.ndarray]) -> None:
    """Given the 128x128 pixels that MediaPipe makes (a bilinear sample that skips most pixels),
    boxes and scores are MediaPipe's."""
    pytest.importorskip("mediapipe")
    from hrd.face.mediapipe_graph import MediaPipeDetector

    mediapipe, ours = MediaPipeDetector(), BlazeFaceDetector()
    for face in faces:
        height, width = face.shape[:2]
        scale = width / SIDE_PX
        affine = np.array([[1 / scale, 0, 0], [0, 1 / scale, (SIDE_PX - height / scale) / 2]])
        picture = cv2.warpAffine(face, affine, (SIDE_PX, SIDE_PX), borderValue=(0, 0, 0))
        theirs = mediapipe.detect(face)
        found = ours.detect(picture)
        assert len(found) == len(theirs)
        for a, b in zip(found, theirs):
            assert a.score == pytest.approx(b.score, abs=1e-5)
            moved = FaceBox(
                (a.x_px - blazeface.BIAS_PX) * scale,
                (a.y_px - blazeface.BIAS_PX) * scale - (width - height) / 2,
                a.w_px * scale,
                a.h_px * scale,
            )
            assert iou(moved, b) > 0.9999


def test_averaged_pictures_give_the_same_boxes_but_for_noise(faces: List[np.ndarray]) -> None:
    pytest.importorskip("mediapipe")
    from hrd.face.mediapipe_graph import MediaPipeDetector

    mediapipe, ours = MediaPipeDetector(), BlazeFaceDetector()
    pairs = [(ours.detect(face)[0], mediapipe.detect(face)[0]) for face in faces]
    assert np.median([iou(a, b) for a, b in pairs]) > 0.93
    assert np.median([a.w_px / b.w_px for a, b in pairs]) == pytest.approx(1.0, abs=0.04)
    for axis in (0, 1):
        offsets = [(a.center_px[axis] - b.center_px[axis]) / b.w_px for a, b in pairs]
        assert np.median(offsets) == pytest.approx(0.0, abs=0.02)


def test_the_networks_file_is_the_one_of_its_card_and_of_the_tool(tmp_path: Path) -> None:
    path = models_dir() / "face.onnx"
    card = read_card(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    assert "Apache" in card["licence"]
    assert (models_dir() / "LICENSE-face.txt").read_text().strip().startswith("Apache License")
    pytest.importorskip("mediapipe")
    pytest.importorskip("tflite")
    import runpy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tool", "--out", str(tmp_path)])
        runpy.run_path(str(TOOLS / "blazeface_to_onnx.py"), run_name="__main__")
    assert (tmp_path / "face.onnx").read_bytes() == path.read_bytes()


def test_opencv_stands_in_with_nearly_the_same_box(faces: List[np.ndarray]) -> None:
    network, opencv = BlazeFaceDetector(), OpenCvDetector()
    found = [(network.detect(face)[:1], opencv.detect(face)[:1]) for face in faces]
    both = [(a[0], b[0]) for a, b in found if a and b]
    assert len(both) >= 8
    sizes = [b.w_px / max(a.w_px, a.h_px) for a, b in both]
    assert np.median(sizes) == pytest.approx(1.0, abs=0.1)
    for axis in (0, 1):
        offsets = [(b.center_px[axis] - a.center_px[axis]) / a.w_px for a, b in both]
        assert np.median(offsets) == pytest.approx(0.0, abs=0.05)


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(faces: List[np.ndarray]) -> None:
    detector = BlazeFaceDetector()
    face = faces[0]
    large = np.repeat(np.repeat(face, 2, axis=0), 2, axis=1)
    (a, *_), (b, *_) = detector.detect(face), detector.detect(large)
    assert iou(FaceBox(2 * a.x_px, 2 * a.y_px, 2 * a.w_px, 2 * a.h_px), b) > 0.98
    upright = detector.detect(np.ascontiguousarray(face[:, 160:480]))[0]
    assert upright.x_px + 160 == pytest.approx(a.x_px, abs=0.06 * a.w_px)
    assert upright.w_px == pytest.approx(a.w_px, rel=0.1)


def test_boxes_that_overlap_are_one_face_weighted_by_score() -> None:
    corners = np.array([[0.0, 0, 10, 10], [100, 0, 110, 10], [0, 2, 10, 12]])
    merged = list(blazeface.merge(corners, np.array([0.9, 0.6, 0.3])))
    assert [score for _, score in merged] == [0.9, 0.6]
    np.testing.assert_allclose(merged[0][0], [0, 0.5, 10, 10.5])
    np.testing.assert_allclose(merged[1][0], [100, 0, 110, 10])


def test_without_onnxruntime_opencv_is_taken_and_said_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("onnxruntime", "mediapipe")):
            raise ImportError("no such thing here")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert open_detector("auto").name == "opencv"
    assert "pip install onnxruntime" in caplog.text
    with pytest.raises(DetectorError, match="pip install onnxruntime"):
        open_detector("blazeface")
    with pytest.raises(DetectorError, match="pip install mediapipe"):
        open_detector("mediapipe")


def test_a_network_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(blazeface, "models_dir", lambda: tmp_path)
    with pytest.raises(DetectorError, match="install hrd again"):
        BlazeFaceDetector()


def test_an_opencv_without_cascades_says_which_to_install(monkeypatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(DetectorError, match="opencv-python-headless"):
        open_detector("opencv")
    with pytest.raises(DetectorError, match="unknown face detector"):
        open_detector("yolo")
