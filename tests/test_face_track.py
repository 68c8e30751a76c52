from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from hrd.face.crop import GROWTH, CropSquare, extract, square_for
from hrd.face.motion import shift_between
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.skin import luma
from hrd.types import CROP_PX, FaceBox, Frame
from tests.fakes import SKIN_FACE, PlannedDetector, always, skin_frame


def blank(index: int, time_s: float) -> Frame:
    return Frame(np.full((240, 320, 3), 90, np.uint8), time_s, index)


def box(x: float, y: float = 60.0, side: float = 80.0) -> FaceBox:
    return FaceBox(x, y, side, side, 0.9)


def test_crop_is_an_unrounded_area_average() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, ::2] = 1
    crop = extract(image, CropSquare(10, 10, 4 * CROP_PX))
    assert crop.shape == (CROP_PX, CROP_PX, 3)
    assert crop.dtype == np.float32
    np.testing.assert_allclose(crop, 0.5, atol=1e-6)


def test_crop_over_the_edge_repeats_the_edge_and_outside_is_refused() -> None:
    image = np.full((100, 100, 3), 7, np.uint8)
    np.testing.assert_allclose(extract(image, CropSquare(-30, 60, 72)), 7)
    with pytest.raises(ValueError, match="outside"):
        extract(image, CropSquare(200, 0, 50))


def test_square_holds_the_face_and_its_forehead() -> None:
    square = square_for(FaceBox(100, 100, 80, 80))
    assert square.side_px == round(GROWTH * 80)
    assert square.top_px + square.side_px / 2 < 140


@pytest.mark.parametrize(("dx", "dy"), [(0.3, 0.0), (-0.6, 0.4), (0.0, -1.0)])
def test_motion_is_measured_to_a_fraction_of_a_pixel(dx: float, dy: float) -> None:
    import cv2

    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.uniform(0, 255, (CROP_PX, CROP_PX)).astype(np.float32), (0, 0), 3)
    moved = cv2.warpAffine(
        base, np.array([[1, 0, dx], [0, 1, dy]], float), (CROP_PX, CROP_PX), borderMode=2
    )
    assert shift_between(base, moved) == pytest.approx((dx, dy), abs=0.2)


def test_a_change_of_light_is_no_motion() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(50, 200, (CROP_PX, CROP_PX)).astype(np.float32)
    assert np.hypot(*shift_between(base, base + 10)) < 0.05
    flat = np.full((CROP_PX, CROP_PX), 99, np.float32)
    assert shift_between(flat, flat + 5) == (0.0, 0.0)


def test_still_face_keeps_a_still_crop_though_the_detector_jitters() -> None:
    rng = np.random.default_rng(0)
    detector = PlannedDetector(
        lambda call: [
            dataclasses.replace(SKIN_FACE, x_px=40 + rng.normal(0, 1.0), y_px=45 + rng.normal(0, 1))
        ]
    )
    tracker = FaceTracker(detector)
    rois = [tracker.push(skin_frame(i, i / 30)) for i in range(300)]
    assert all(roi is not None for roi in rois)
    assert [roi.cut for roi in rois if roi is not None] == [True] + [False] * 299
    assert tracker.status.detections == pytest.approx(20, abs=1)


def test_crop_follows_a_face_that_moves_and_says_so() -> None:
    detector = PlannedDetector(lambda call: [box(100.0 if call < 4 else 140.0)])
    tracker = FaceTracker(detector)
    rois = [tracker.push(blank(i, i / 30)) for i in range(180)]
    cuts = [i for i, roi in enumerate(rois) if roi is not None and roi.cut]
    assert cuts[0] == 0
    assert 1 < len(cuts) < 8
    last = rois[-1]
    assert last is not None
    assert last.face.x_px == pytest.approx(140, abs=5)


def test_between_detections_the_picture_itself_tells_the_motion() -> None:
    tracker = FaceTracker(always(SKIN_FACE), TrackerConfig(detect_every_s=10.0))
    still = [tracker.push(skin_frame(i, i / 30)) for i in range(10)]
    moving = [tracker.push(skin_frame(i, i / 30, shift_px=(i - 9) * 0.5)) for i in range(10, 16)]
    assert all(roi is not None and roi.motion_per_s < 0.05 for roi in still)
    last = moving[-1]
    assert last is not None
    assert last.motion_per_s == pytest.approx(0.5 * 30 / 80, rel=0.3)
    assert last.face.x_px == pytest.approx(SKIN_FACE.x_px + 3.0, abs=1.5)


def test_largest_face_is_taken_and_then_kept_by_overlap() -> None:
    small, large = box(20, side=60), box(180, side=90)
    larger_later = box(20, side=130)
    detector = PlannedDetector(lambda call: [small, large] if call < 2 else [larger_later, large])
    tracker = FaceTracker(detector)
    rois = [tracker.push(blank(i, i / 30)) for i in range(120)]
    assert all(roi is not None and roi.face.x_px > 150 for roi in rois)


def test_lost_face_is_held_briefly_then_given_up_and_found_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    seen = {"on": True}
    detector = PlannedDetector(lambda call: [box(100)] if seen["on"] else [])
    tracker = FaceTracker(detector, TrackerConfig(hold_s=1.0))
    frames = [blank(i, i / 30) for i in range(240)]
    assert all(tracker.push(frame) is not None for frame in frames[:60])
    seen["on"] = False
    gone = [tracker.push(frame) is None for frame in frames[60:150]]
    first_gone = gone.index(True)
    assert 15 <= first_gone <= 60
    assert all(gone[first_gone:])
    seen["on"] = True
    found = [tracker.push(frame) for frame in frames[150:]]
    first = next(roi for roi in found if roi is not None)
    assert first.cut
    assert found.index(first) <= 4
    assert tracker.status.faces_lost == 1
    assert [r.message.split(":")[0] for r in caplog.records] == [
        "face found",
        "face lost",
        "face found",
    ]


def test_one_missed_detection_loses_nothing() -> None:
    detector = PlannedDetector(lambda call: [] if call == 3 else [box(100)])
    tracker = FaceTracker(detector)
    assert all(tracker.push(blank(i, i / 30)) is not None for i in range(150))


def test_luma_weighs_green_most() -> None:
    crop = np.zeros((1, 3, 3), np.float32)
    crop[0, [0, 1, 2], [0, 1, 2]] = 100.0
    red, green, blue = luma(crop)[0]
    assert green > red > blue
