from __future__ import annotations

import dataclasses
import logging
from typing import List

import numpy as np
import pytest

from hrd.errors import UsageError
from hrd.face.crop import GROWTH, CropSquare, extract, square_for
from hrd.face.detect import FaceDetector
from hrd.face.motion import shift_between
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.skin import luma
from hrd.types import CROP_PX, FaceBox, Frame, Layout, Packing
from tests.fakes import SKIN_FACE, PlannedDetector, always, skin_frame


def blank(index: int, time_s: float) -> Frame:
    return Frame(np.full((240, 320, 3), 90, np.uint8), time_s, index)


def box(x: float, y: float = 60.0, side: float = 80.0) -> FaceBox:
    return FaceBox(x, y, side, side, 0.9)


def test_crop_is_an_unrounded_area_average() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, ::2] = 1
    crop = extract(Frame(image, 0.0, 0), CropSquare(10, 10, 4 * CROP_PX))
    assert crop.shape == (CROP_PX, CROP_PX, 3)
    assert crop.dtype == np.float32
    np.testing.assert_allclose(crop, 0.5, atol=1e-6)


def test_crop_over_the_edge_repeats_the_edge_and_outside_is_refused() -> None:
    image = np.full((100, 100, 3), 7, np.uint8)
    frame = Frame(image, 0.0, 0)
    np.testing.assert_allclose(extract(frame, CropSquare(-30, 60, 72)), 7)
    with pytest.raises(ValueError, match="outside"):
        extract(frame, CropSquare(200, 0, 50))


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
    assert 8 <= tracker.status.detections <= 12  # five at twice a second, then one in 2 s


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
    for frame in frames[150:]:
        frame.image[80:120, 120:160] = 160  # whoever comes back changes the picture
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


def test_an_empty_room_is_hardly_looked_at_until_something_changes() -> None:
    there = {"face": False}
    detector = PlannedDetector(lambda call: [box(100)] if there["face"] else [])
    tracker = FaceTracker(detector)
    for i in range(300):
        assert tracker.push(blank(i, i / 30)) is None
    settled = detector.calls
    for i in range(300, 600):
        tracker.push(blank(i, i / 30))
    assert detector.calls - settled <= 6  # ten seconds
    assert (tracker.demand.every_s, tracker.demand.unchanged_s) == (0.13, 0.33)
    there["face"] = True
    found = []
    for i in range(600, 630):
        frame = blank(i, i / 30)
        frame.image[80:120, 120:160] = 160
        found.append(tracker.push(frame) is not None)
    assert found.index(True) <= 4
    assert tracker.demand.every_s == 0.0


def test_a_face_that_stirs_is_detected_twice_a_second_again() -> None:
    detector = always(SKIN_FACE)
    tracker = FaceTracker(detector)
    for i in range(300):
        tracker.push(skin_frame(i, i / 30))
    still = detector.calls
    for i in range(300, 450):
        tracker.push(skin_frame(i, i / 30))
    assert detector.calls - still <= 3
    for i in range(450, 600):
        tracker.push(skin_frame(i, i / 30, shift_px=4 * np.sin(i / 10)))
    assert detector.calls - still >= 10


def test_where_all_of_the_picture_shows_no_face_its_parts_are_looked_at() -> None:
    """A detector that sees faces of a sixth of what it is shown, as BlazeFace does."""
    face = FaceBox(1500.0, 300.0, 90.0, 90.0)
    frame = Frame(np.full((1080, 1920, 3), 90, np.uint8), 0.0, 0)
    frame.image[300:390, 1500:1590] = 200

    class Shortsighted(FaceDetector):
        name = "shortsighted"
        input_px = 128

        def detect(self, image: np.ndarray) -> List[FaceBox]:
            rows, columns = np.nonzero(image[..., 0] > 150)
            if not len(rows) or np.ptp(columns) < 128 / 6:
                return []
            top, left = rows.min(), columns.min()
            width, height = float(np.ptp(columns)) + 1.0, float(np.ptp(rows)) + 1.0
            return [FaceBox(float(left), float(top), width, height, 0.9)]

    tracker = FaceTracker(Shortsighted())
    for i in range(30):
        roi = tracker.push(dataclasses.replace(frame, time_s=i / 10, index=i))
        if roi is not None:
            break
    assert roi is not None
    assert roi.face.x_px == pytest.approx(face.x_px, abs=6)
    assert roi.face.w_px == pytest.approx(face.w_px, rel=0.1)
    for i in range(30, 130):  # held, and looked for close by only
        assert tracker.push(dataclasses.replace(frame, time_s=i / 10, index=i)) is not None


def test_faces_are_looked_for_in_the_region_alone() -> None:
    shapes = []

    class Looking(FaceDetector):
        name = "looking"
        input_px = 64

        def detect(self, image: np.ndarray) -> List[FaceBox]:
            shapes.append(image.shape)
            return [FaceBox(10.0, 10.0, 20.0, 20.0)]

    tracker = FaceTracker(Looking(), TrackerConfig(region="0.5, 0, 0.5, 1"))
    roi = tracker.push(blank(0, 0.0))  # 320x240, so the region is 160 wide from 160 on
    assert roi is not None
    assert shapes[0] == (64, 43, 3)
    scale = 160 / 43
    assert roi.face.center_px[0] == pytest.approx(160 + 20 * scale)
    for wrong in ("1, 2", "a, b, c, d", "0.5, 0, 0.6, 1", "0, 0, 0, 1"):
        with pytest.raises(UsageError, match="region"):
            TrackerConfig(region=wrong)


def test_a_near_face_is_asked_for_at_half_the_size_and_a_far_one_whole() -> None:
    def asked(face: FaceBox) -> int:
        shown = (side / 5.0 for side in (face.x_px, face.y_px, face.w_px, face.h_px))
        detector = always(FaceBox(*shown))
        detector.input_px = 128
        tracker = FaceTracker(detector)
        frame = Frame(np.full((480, 640, 3), 90, np.uint8), 0.0, 0)
        tracker.push(frame)
        assert tracker.demand.every_s == 0.0
        return tracker.demand.reduced

    assert asked(box(200, 100, 300)) == 4
    assert asked(box(200, 100, 160)) == 4
    assert asked(box(200, 100, 130)) == 2
    assert asked(box(200, 100, 70)) == 1


def test_a_picture_of_another_size_is_a_cut() -> None:
    tracker = FaceTracker(always(box(100, 60, 150)))
    whole = np.full((240, 320, 3), 90, np.uint8)
    half = Layout(Packing.RGB, 320, 240, reduced=2)
    frames = [Frame(whole, i / 30, i) for i in range(3)]
    frames += [Frame(whole[::2, ::2], i / 30, i, half) for i in range(3, 6)]
    rois = [tracker.push(frame) for frame in frames]
    assert [roi.cut for roi in rois if roi is not None] == [True, False, False, True, False, False]


def test_one_missed_detection_loses_nothing() -> None:
    detector = PlannedDetector(lambda call: [] if call == 3 else [box(100)])
    tracker = FaceTracker(detector)
    assert all(tracker.push(blank(i, i / 30)) is not None for i in range(150))


def test_luma_weighs_green_most() -> None:
    crop = np.zeros((1, 3, 3), np.float32)
    crop[0, [0, 1, 2], [0, 1, 2]] = 100.0
    red, green, blue = luma(crop)[0]
    assert green > red > blue
