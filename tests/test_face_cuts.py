from __future__ import annotations

from typing import List

import numpy as np
import pytest

from hrd.capture.open import CaptureOptions, open_source
from hrd.face.cuts import CutDetector
from hrd.types import CROP_PX, FaceBox, Frame, Layout, Packing, RoiFrame


def pictures(spec: str) -> List[np.ndarray]:
    with open_source(spec, CaptureOptions()) as source:
        return [frame.image for frame in source]


def cuts_in(images: List[np.ndarray]) -> List[int]:
    detector = CutDetector()
    frames = [Frame(image, i / 30, i) for i, image in enumerate(images)]
    return [frame.index for frame in frames if detector.in_picture(frame)]


def test_another_scene_is_a_cut_and_said_once() -> None:
    first = pictures("sim:seconds=2,size=320x240,seed=1")
    second = pictures("sim:seconds=2,size=320x240,seed=2")
    assert cuts_in(first + second) == [len(first)]
    assert cuts_in(first[:20] + second[:3] + first[20:]) == [20, 23]


def test_another_size_is_a_cut() -> None:
    small = pictures("sim:seconds=0.2,size=160x120")
    large = pictures("sim:seconds=0.2,size=320x240")
    assert cuts_in(small + large) == [len(small)]


def test_pictures_in_other_layouts_are_looked_at_too() -> None:
    first, second = (pictures(f"sim:seconds=0.4,size=320x240,seed={seed}") for seed in (1, 2))

    def frame(index: int, image: np.ndarray) -> Frame:
        kinds = (Packing.RGB, Packing.YUYV, Packing.PLANAR)
        packing = kinds[(index // 4) % 3 if index < 16 else 2]
        luma = image[..., 1]
        data = {
            Packing.RGB: image[::2, ::2],
            Packing.YUYV: np.stack([luma, np.full_like(luma, 128)], axis=-1),
            Packing.PLANAR: np.concatenate([luma.ravel(), np.full(luma.size // 2, 128, np.uint8)]),
        }[packing]
        reduced = 2 if packing is Packing.RGB else 1
        return Frame(data, index / 30, index, Layout(packing, 320, 240, reduced))

    detector = CutDetector()
    images = [first[0]] * 20 + [second[0]] * 5
    assert [i for i, image in enumerate(images) if detector.in_picture(frame(i, image))] == [20]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("fps", [15, 30])
def test_a_head_that_turns_fast_is_no_cut(seed: int, fps: int) -> None:
    spec = f"sim:seconds=6,size=320x240,motion=hard,light=hard,seed={seed},fps={fps}"
    assert cuts_in(pictures(spec)) == []


def test_light_and_dark_are_no_cuts() -> None:
    image = pictures("sim:seconds=0.1,size=320x240")[0].astype(float)
    rng = np.random.default_rng(0)
    levels = [1.0, 1.0, 0.5, 0.5, 1.4, 1.4, 0.05, 0.05, 1.0]
    images = [
        np.clip(image * level + rng.normal(0, 1, image.shape), 0, 255).astype(np.uint8)
        for level in levels
    ]
    assert cuts_in(images) == []


def test_noise_and_single_colours_are_no_cuts() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (120, 160, 3)).astype(np.uint8) for _ in range(20)]
    assert cuts_in(noise) == []
    dark = [np.clip(rng.normal(8, 3, (120, 160, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    assert cuts_in(dark) == []
    assert cuts_in([np.full((120, 160, 3), level, np.uint8) for level in (0, 255, 0, 9)]) == []


def roi(crop: np.ndarray, cut: bool = False) -> RoiFrame:
    return RoiFrame(0.0, crop, FaceBox(0, 0, 10, 10), cut, 0.0)


def test_another_face_in_the_same_place_is_a_cut() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.uniform(60, 200, (CROP_PX, CROP_PX, 3)).astype(np.float32) for _ in range(2))
    detector = CutDetector()
    views = [roi(face + rng.normal(0, 1, face.shape)) for face in [one] * 5 + [other] * 5]
    assert [detector.in_face(view) for view in views].index(True) == 5
    # where the crop itself has moved, the two show different squares
    detector.reset()
    assert not any(detector.in_face(roi(face, cut=True)) for face in (one, other, one))
