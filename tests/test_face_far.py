"""Faces that are small in a large picture: drawn, so that the truth is known."""

from __future__ import annotations

from typing import Optional, Tuple

import cv2
import numpy as np
import pytest

from hrd.capture.simulated import SimulatedSource
from hrd.engine.pos import PosEngine
from hrd.face.blazeface import BlazeFaceDetector
from hrd.face.search import PART_MIN_SCORE, parts_of
from hrd.face.track import FaceTracker
from hrd.picture import thumbnail, whole
from hrd.pipeline import Pipeline
from hrd.types import FaceBox, Frame, Reason


def first_picture(spec: str) -> np.ndarray:
    frame = SimulatedSource.parse(spec).read()
    assert frame is not None
    return frame.image


def far_face(
    size: Tuple[int, int], face_px: float, seed: int
) -> Tuple[np.ndarray, Tuple[float, float]]:
    """A room with a drawn face somewhere in it, ``face_px`` wide, and where its centre is."""
    room = first_picture(f"sim:kind=noface,seed={seed + 100},size=640x360")
    picture = cv2.resize(room, size, interpolation=cv2.INTER_CUBIC)
    near = first_picture(f"sim:seed={seed},size=640x480")
    box = BlazeFaceDetector().detect(near)[0]
    x, y = box.center_px
    reach = 1.1 * box.w_px
    left, top = int(max(0, x - reach)), int(max(0, y - reach))
    scale = face_px / max(box.w_px, box.h_px)
    cut = near[top : int(y + reach), left : int(x + reach)]
    patch = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = patch.shape[:2]
    rng = np.random.default_rng(seed)
    to_x, to_y = int(rng.integers(0, size[0] - width)), int(rng.integers(0, size[1] - height))
    picture[to_y : to_y + height, to_x : to_x + width] = patch
    return picture, (to_x + (x - left) * scale, to_y + (y - top) * scale)


def found(picture: np.ndarray, looks: int) -> Tuple[Optional[FaceBox], int]:
    """The face that the tracker finds, and after how many tenths of a second."""
    tracker = FaceTracker(BlazeFaceDetector())
    for look in range(looks):
        face = tracker.locate(Frame(picture, look / 10, look))
        if face is not None:
            return face, look
    return None, looks


@pytest.mark.slow
@pytest.mark.parametrize(("face_px", "least"), [(60, 7), (80, 7), (110, 7)])
def test_a_far_face_in_1080p_is_found_within_three_seconds(face_px: int, least: int) -> None:
    right = 0
    for seed in range(8):
        picture, (x, y) = far_face((1920, 1080), face_px, seed)
        face, _ = found(picture, 30)
        if face is not None:
            off = np.hypot(face.center_px[0] - x, face.center_px[1] - y)
            right += off < 0.35 * face_px and 0.7 < face.w_px / face_px < 1.4
    assert right >= least


@pytest.mark.parametrize(
    ("size", "face_px", "seed"),
    [((640, 480), 42, 5), pytest.param((1920, 1080), 44, 1, marks=pytest.mark.slow)],
)
def test_a_face_too_small_to_read_is_said_to_be_so(
    size: Tuple[int, int], face_px: int, seed: int
) -> None:
    picture, _ = far_face(size, face_px, seed)
    noise = np.random.default_rng(0)
    pipeline = Pipeline(BlazeFaceDetector(), PosEngine())
    reasons = set()
    for index in range(120):
        noisy = picture + noise.integers(0, 3, picture.shape, np.uint8)
        reading = pipeline.push(Frame(noisy, index / 30, index))
        if reading is not None:
            assert reading.bpm is None
            reasons.add(reading.reason)
    assert Reason.FACE_TOO_SMALL in reasons


@pytest.mark.slow
def test_no_part_of_an_empty_room_is_taken_for_a_face() -> None:
    """30 rooms, 180 parts: whatever a part shows magnified must be surer than a whole picture."""
    detector = BlazeFaceDetector()
    for seed in range(30):
        frame = Frame(first_picture(f"sim:kind=noface,seed={seed},size=640x480"), 0.0, 0)
        for part in parts_of(whole(frame)):
            faces = detector.detect(thumbnail(frame, part, detector.input_px))
            assert all(face.score < PART_MIN_SCORE for face in faces)


@pytest.mark.slow
def test_no_face_is_found_in_an_empty_room_however_long_it_is_looked_at() -> None:
    """Through the tracker, which looks closer at what might be a face: 12 rooms in 1080p."""
    for seed in range(12):
        room = first_picture(f"sim:kind=noface,seed={seed},size=640x360")
        face, _ = found(cv2.resize(room, (1920, 1080), interpolation=cv2.INTER_CUBIC), 40)
        assert face is None
