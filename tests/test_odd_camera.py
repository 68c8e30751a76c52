"""tools/odd_camera.py: the same drawn people, under a lamp and through an encoder with few bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import av
import numpy as np
import pytest

from hrd.drawn_mark import is_drawn
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.simulate import write_dataset
from tools import odd_camera


def frames(film: Path) -> List[np.ndarray]:
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_it_is_the_same_film_in_another_light_and_smaller(tmp_path: Path) -> None:
    faces, odd = tmp_path / "faces", tmp_path / "odd"
    write_dataset(faces, 1, 1.0, 3, motions=("still",), size=(160, 128))
    assert odd_camera.main([str(faces), str(odd)]) == 0
    (one,) = find_recordings(LAYOUTS["simulated"], odd)
    before, after = (frames(folder / "subject1" / "vid.avi") for folder in (faces, odd))
    assert len(after) == len(before) == 30
    ratio = after[20].mean(axis=(0, 1)) / before[20].mean(axis=(0, 1))
    assert ratio == pytest.approx(np.array(odd_camera.CAMERAS["warm"].light) ** (1 / 2.2), abs=0.05)
    film = odd / "subject1" / "vid.avi"
    assert film.stat().st_size < 0.3 * (faces / "subject1" / "vid.avi").stat().st_size
    truth = "subject1/ground_truth.txt"
    assert (odd / truth).read_text() == (faces / truth).read_text()
    assert is_drawn(film)
    film.rename(odd / "moved.avi")  # marked in itself, not by what lies beside it
    assert is_drawn(odd / "moved.avi")
    recipe = json.loads((odd / "subject1" / "recipe.json").read_text())
    assert recipe["codec"] == "mpeg4"
    assert one.name == "subject1"


def test_a_slower_one_keeps_every_second_picture_and_its_truth(tmp_path: Path) -> None:
    faces, odd = tmp_path / "faces", tmp_path / "odd"
    write_dataset(faces, 1, 1.0, 3, motions=("still",), size=(160, 128))
    assert odd_camera.main([str(faces), str(odd), "--camera", "green"]) == 0
    with av.open(str(odd / "subject1" / "vid.avi")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == ("h264", 15.0)
    before, after = (frames(folder / "subject1" / "vid.avi") for folder in (faces, odd))
    assert len(after) == 15
    ratio = after[10].mean(axis=(0, 1)) / before[20].mean(axis=(0, 1))
    assert ratio == pytest.approx(
        np.array(odd_camera.CAMERAS["green"].light) ** (1 / 2.2), abs=0.05
    )
    every, second = (
        (folder / "subject1" / "ground_truth.txt").read_text().splitlines()
        for folder in (faces, odd)
    )
    assert [row.split() for row in second] == [row.split()[::2] for row in every]
