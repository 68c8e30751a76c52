"""``write_dataset`` writes UBFC-rPPG's layout, and what it writes is true."""

import json
from pathlib import Path
from typing import List

import av
import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.simulate import write_dataset

SMALL = (96, 80)


def test_layout_and_truth(tmp_path: Path) -> None:
    drawn: List[int] = []
    folders = write_dataset(
        tmp_path / "set", 2, 2.0, 5, size=SMALL, fps=(30.0, 25.0), progress=drawn.append
    )
    assert [folder.name for folder in folders] == ["subject1", "subject2"]
    assert sorted(path.name for path in folders[0].iterdir()) == [
        "ground_truth.txt",
        "recipe.json",
        "vid.avi",
    ]
    assert sum(drawn) == 60 + 50
    for folder, fps in zip(folders, (30.0, 25.0)):
        ppg, bpm, times_s = np.loadtxt(folder / "ground_truth.txt")
        with av.open(str(folder / "vid.avi")) as container:
            stream = container.streams.video[0]
            assert float(stream.average_rate) == fps
            seen_s = [frame.time for frame in container.decode(video=0)]
        assert len(seen_s) == len(ppg) == len(bpm) == round(2.0 * fps)
        np.testing.assert_allclose(times_s, seen_s, atol=1e-4)
        recipe = json.loads((folder / "recipe.json").read_text())
        assert recipe["simulated"] is True
        assert recipe["mean_bpm"] == pytest.approx(bpm.mean(), abs=1e-3)
        assert recipe["skin_group"] in range(1, 7)
        assert np.ptp(ppg) > 0.5


def test_lossless_video_holds_the_frames_themselves(tmp_path: Path) -> None:
    first, again = (
        write_dataset(tmp_path / name, 1, 0.5, 3, size=SMALL, codec="ffv1")[0] for name in "ab"
    )
    other = write_dataset(tmp_path / "c", 1, 0.5, 4, size=SMALL, codec="ffv1")[0]

    def pictures(folder: Path) -> np.ndarray:
        with av.open(str(folder / "vid.avi")) as container:
            return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])

    np.testing.assert_array_equal(pictures(first), pictures(again))
    assert not np.array_equal(pictures(first), pictures(other))
    assert (first / "ground_truth.txt").read_text() == (again / "ground_truth.txt").read_text()


def test_rates_and_skin_groups_are_spread(tmp_path: Path) -> None:
    folders = write_dataset(tmp_path, 12, 0.2, 0, size=(64, 64))
    recipes = [json.loads((folder / "recipe.json").read_text()) for folder in folders]
    rates = sorted(recipe["bpm"] for recipe in recipes)
    assert rates[0] < 60
    assert rates[-1] > 120
    assert max(np.diff(np.log(rates))) < 0.35
    assert {recipe["skin_group"] for recipe in recipes} == set(range(1, 7))
    assert {recipe["motion"] for recipe in recipes} == {"still", "typical", "hard"}
    for group in range(1, 7):
        assert len({r["motion"] for r in recipes if r["skin_group"] == group}) > 1


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 0.2, 0, size=(64, 64))
    with pytest.raises(HrdError, match="subject1 already exists"):
        write_dataset(tmp_path, 1, 0.2, 0, size=(64, 64))


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HrdError, match="cannot be written"):
        write_dataset(tmp_path / "file", 1, 0.2, 0, size=(64, 64))


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 subjects"):
        write_dataset(tmp_path, 0, 1.0, 0)
    with pytest.raises(ValueError, match="'theora'"):
        write_dataset(tmp_path, 1, 1.0, 0, codec="theora")
