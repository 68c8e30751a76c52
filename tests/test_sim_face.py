"""Drawn faces: what is on them, and that the detector takes them for faces."""

from typing import List, Tuple

import numpy as np
import pytest

from hrd.face.blazeface import BlazeFaceDetector
from hrd.sim.canvas import fractal
from hrd.sim.face import FaceLayers, Lighting, draw_face, light_face
from hrd.sim.framing import (
    BOX_CENTER_X,
    BOX_CENTER_X_SPREAD,
    BOX_CENTER_Y,
    BOX_CENTER_Y_SPREAD,
    BOX_SIZE,
    BOX_SIZE_SPREAD,
    KnowingDetector,
    lay_out,
)
from hrd.sim.look import PULSE_OF_GROUP, SKIN_RGB, sample_look
from hrd.sim.motion import Motion
from hrd.types import FaceBox


def portrait(seed: int) -> Tuple[np.ndarray, FaceLayers]:
    rng = np.random.default_rng((seed, 99))
    layers = draw_face(sample_look(rng), float(rng.uniform(90, 150)), 1.1, 1.1, 1.3)
    lighting = Lighting(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.0, 0.8)))
    lit = light_face(layers, lighting)
    height, width = layers.alpha.shape
    cloud = fractal(rng, (height, width), 90.0)
    room = rng.uniform(30, 220, 3) * (1.0 + 0.15 * cloud)[..., None]
    cover = layers.alpha[..., None]
    picture = layers.albedo * lit.shading[..., None] * cover + room * (1.0 - cover)
    return np.clip(picture, 0, 255).astype(np.uint8), layers


@pytest.mark.slow
def test_blazeface_finds_them_where_the_generator_puts_its_boxes() -> None:
    detector = BlazeFaceDetector()
    found: List[Tuple[float, float, float]] = []
    for seed in range(60):
        picture, layers = portrait(seed)
        boxes = detector.detect(picture)
        if boxes:
            box = boxes[0]
            x, y = box.center_px
            found.append(
                (
                    (x - layers.center_px[0]) / layers.unit_px,
                    (y - layers.center_px[1]) / layers.unit_px,
                    max(box.w_px, box.h_px) / layers.unit_px,
                )
            )
    detector.close()
    assert len(found) >= 54
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
    np.testing.assert_allclose(mean, [BOX_CENTER_X, BOX_CENTER_Y, BOX_SIZE], atol=0.02)
    expected = [BOX_CENTER_X_SPREAD, BOX_CENTER_Y_SPREAD, BOX_SIZE_SPREAD]
    assert np.all(spread < 2.0 * np.array(expected))
    assert np.all(spread > 0.5 * np.array(expected))


def test_blood_shows_on_skin_only() -> None:
    for seed in range(8):
        layers = draw_face(sample_look(np.random.default_rng(seed)), 60.0)
        assert layers.gain.min() >= 0.0
        assert layers.gain.max() <= 1.5
        assert np.all(layers.gain[layers.alpha == 0.0] == 0.0)
        assert 0.0 <= layers.delay_s.min() <= layers.delay_s.max() <= 0.030
        x, y = (int(c) for c in layers.center_px)
        eye = layers.gain[y - 8, x + int(0.21 * 60)]  # the middle of an eye
        cheek = layers.gain[y + 8, x + int(0.25 * 60)]
        assert eye < 0.2 < 0.3 < cheek


def test_skin_groups_are_in_order() -> None:
    light = [np.mean(SKIN_RGB[group]) for group in range(1, 7)]
    assert light == sorted(light, reverse=True)
    pulses = [PULSE_OF_GROUP[group] for group in range(1, 7)]
    assert pulses == sorted(pulses, reverse=True)
    drawn = []
    for group in range(1, 7):
        layers = [draw_face(sample_look(np.random.default_rng(s), group), 50.0) for s in range(5)]
        cheeks = [face.albedo[int(face.center_px[1]) + 7, 30 + 10 : 30 + 26] for face in layers]
        drawn.append(float(np.mean(cheeks)))
    assert drawn == sorted(drawn, reverse=True)


def test_the_same_seed_draws_the_same_face() -> None:
    first, again, other = (
        draw_face(sample_look(np.random.default_rng(seed)), 70.0).albedo for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1.0


def test_an_unknown_skin_group_is_refused() -> None:
    with pytest.raises(ValueError, match="skin group 7"):
        sample_look(np.random.default_rng(0), 7)


def test_light_from_the_right_lights_the_right() -> None:
    layers = draw_face(sample_look(np.random.default_rng(2), 2), 80.0)
    shading = light_face(layers, Lighting(azimuth=0.9, elevation=0.0, ambient=0.3)).shading
    x, y = (int(c) for c in layers.center_px)
    right, left = shading[y - 5 : y + 20, x + 28].mean(), shading[y - 5 : y + 20, x - 28].mean()
    assert right > 1.2 * left


def test_a_part_of_the_layers_keeps_its_place() -> None:
    layers = draw_face(sample_look(np.random.default_rng(2)), 60.0, 1.2, 1.0, 1.2)
    part = layers.part(slice(10, 120), slice(20, 130))
    assert part.center_px == (layers.center_px[0] - 20, layers.center_px[1] - 10)
    np.testing.assert_array_equal(part.albedo, layers.albedo[10:120, 20:130])
    assert part.lids.rows.start == layers.lids.rows.start - 10
    with pytest.raises(ValueError, match="eyes"):
        layers.part(slice(70, 120), slice(20, 130))


def test_the_knowing_detector_errs_about_as_told() -> None:
    boxes = [FaceBox(100.0, 50.0, 80.0, 80.0)] * 400
    detector = KnowingDetector(boxes, np.random.default_rng(0), 0.01)
    seen = []
    for index in range(400):
        detector.index = index
        seen += [box.center_px for box in detector.detect(np.zeros((4, 4, 3), np.uint8))]
    assert 370 <= len(seen) < 400
    np.testing.assert_allclose(np.mean(seen, axis=0), [140.0, 90.0], atol=0.2)
    np.testing.assert_allclose(np.std(seen, axis=0), 0.8, atol=0.12)


def test_a_layout_holds_the_whole_crop() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        geometry = lay_out(rng, Motion(), np.arange(10) / 30.0, 100.0)
        width, height = geometry.size
        assert width % 16 == 0
        assert height % 16 == 0
        box = geometry.boxes[0]
        assert box.x_px + box.w_px <= width + 35
        assert 90 < box.w_px < 116
