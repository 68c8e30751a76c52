"""Training on recordings: crops of the runtime, references that are aligned, people kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from hrd.engine.select import open_engine
from hrd.errors import HrdError
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.simulate import write_dataset
from hrd.types import MODEL_FS_HZ, RoiChunk

pytest.importorskip("torch", reason="hrd's extra `train` is not installed")

from hrd.cli.main import main
from hrd.train.crops import Crops, chosen_delays, find_delay, prepare, read, sources
from hrd.train.data import MemoryStore
from hrd.train.people import MixedStore, RecordingStore, delays, split
from tests.train_help import make_clip


@pytest.fixture(scope="module")
def faces(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_dataset(folder, 4, 14.0, 5, bpm=(60.0, 100.0), motions=("still",), size=(320, 240))
    return folder


@pytest.fixture(scope="module")
def cache(faces: Path, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    assert prepare(folder, wanted(faces)) == []
    return folder


def wanted(faces: Path, copies: int = 0) -> List[Any]:
    entries = find_recordings(LAYOUTS["ubfc-rppg"], faces)
    return sources("ubfc-rppg", faces, entries, copies)


def shift_reference(faces: Path, to: Path, by_s: float) -> None:
    """The same people with the oximeter's wave ``by_s`` late."""
    for folder in faces.iterdir():
        (to / folder.name).mkdir(parents=True)
        (to / folder.name / "vid.avi").symlink_to(folder / "vid.avi")
        wave, bpm, time_s = np.loadtxt(folder / "ground_truth.txt")
        late = np.interp(time_s - by_s, time_s, wave)
        np.savetxt(to / folder.name / "ground_truth.txt", np.stack([late, bpm, time_s]))


def test_recordings_become_crops_with_their_reference(faces: Path, cache: Path) -> None:
    found = read(cache, wanted(faces))
    assert [one.person.rpartition(":")[2] for one in found] == [f"subject{k}" for k in range(1, 5)]
    for one in found:
        truth_bpm = np.loadtxt(faces / one.name / "ground_truth.txt")[1].mean()
        assert np.nanmean(one.bpm) == pytest.approx(truth_bpm, abs=2.0)
        assert one.crops(0, 30).shape == (30, 36, 36, 3)
        assert 20.0 < one.crops(0, 30).mean() < 235.0
    store = RecordingStore(found, [one.person for one in found], 300, 150)
    clip = store.clip(0)
    assert len(clip.crops) == len(clip.bvp) == len(clip.bpm) == 300
    assert clip.bvp.std() == pytest.approx(1.0, abs=1e-3)
    # what is in the cache is not read again
    files = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    prepare(cache, wanted(faces))
    assert files == {path: path.stat().st_mtime_ns for path in cache.iterdir()}


def test_a_late_reference_is_put_right(faces: Path, cache: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    shift_reference(faces, late, 0.4)
    prepare(tmp_path / "cache", wanted(late))
    before, after = delays(read(cache, wanted(faces))), read(tmp_path / "cache", wanted(late))
    # a drawn face has no delay
    assert before["median"] == pytest.approx(0.0, abs=0.07)
    assert delays(after)["median"] - before["median"] == pytest.approx(0.4, abs=0.07)
    for one, other in zip(read(cache, wanted(faces)), after):
        known = np.isfinite(one.bvp) & np.isfinite(other.bvp)
        assert np.corrcoef(one.bvp[known], other.bvp[known])[0, 1] > 0.9


def test_a_delay_that_hardly_fits_and_is_far_from_the_others_is_not_believed() -> None:
    delay_s = np.array([-0.1, -0.12, -0.53, 0.6, 0.5])
    r = np.array([0.5, 0.5, 0.47, 0.1, 0.9])
    assert chosen_delays(delay_s, r) == pytest.approx([-0.1, -0.12, -0.11, -0.11, 0.5])
    assert chosen_delays(delay_s, np.full(5, 0.1)) == [0.0] * 5
    assert chosen_delays(np.zeros(0), np.zeros(0)) == []


def test_delay_of_waves_that_only_one_place_fits() -> None:
    time_s = np.arange(0.0, 60.0, 1.0 / MODEL_FS_HZ)
    angle = 2 * np.pi * (1.2 * time_s + 0.3 * np.sin(0.7 * time_s))
    delay_s, r = find_delay([(-0.1, np.sin(angle))], time_s, np.sin(np.roll(angle, 9)))
    # the first wave's samples are said to be a tenth of a second earlier
    assert delay_s == pytest.approx(0.3 + 0.1, abs=0.035)
    assert r > 0.95


def test_copies_are_compressed_and_of_the_same_person(faces: Path, tmp_path: Path) -> None:
    both = [one for one in wanted(faces, 1) if one.entry.name == "subject1"]
    assert prepare(tmp_path, both) == []
    plain, copy = read(tmp_path, both)
    assert plain.person == copy.person
    frames = min(len(plain.cut), len(copy.cut), 300)
    difference = np.abs(plain.crops(0, frames) - copy.crops(0, frames))
    assert 0.05 < difference.mean() < 12.0


def test_people_are_never_in_two_parts() -> None:
    people = [f"set:subject{k}" for k in range(12)]
    tested: List[str] = []
    for fold in range(5):
        one = split(people * 2, 5, fold, 0)
        assert sorted(one.train + one.validation + one.test) == sorted(people)
        assert len(one.train) >= 6
        tested += one.test
        assert one == split(people, 5, fold, 0)
    assert sorted(tested) == sorted(people)
    assert split(people, 5, 0, 0) != split(people, 5, 0, 1)
    assert split(people, 5, 0, 0, test=False).test == ()
    assert len(split(people[:3], 5, 0, 0).train) == 1
    with pytest.raises(HrdError, match="2 people are too few"):
        split(people[:2], 5, 0, 0)
    with pytest.raises(HrdError, match="there is no fold 5"):
        split(people, 5, 5, 0)


def test_short_stretches_and_holes_in_the_reference_are_left_out() -> None:
    bvp = np.sin(np.arange(1000.0) / 4).astype(np.float32)
    bvp[500] = np.nan
    one = Crops(Path(), "a", "a", True, [(0, 90), (90, 1000)], np.zeros(1000), bvp, bvp, 0.0, 1.0)
    store = RecordingStore([one], ["a"], 100, 50)
    starts = [start for _, start in store._clips]
    assert starts == [*range(90, 401, 50), *range(501, 901, 50)]
    with pytest.raises(HrdError, match="hold no 67 s"):
        RecordingStore([one], ["a"], 2000, 50)


def test_drawn_clips_are_mixed_in_by_their_share() -> None:
    recorded = MemoryStore(tuple(make_clip(k, pulse=True) for k in range(4)))
    drawn = MemoryStore(tuple(make_clip(k, pulse=False) for k in range(10)))
    mixed = MixedStore(recorded, drawn, 0.5)
    pulses = [mixed.clip(k).has_pulse for k in range(len(mixed))]
    assert np.mean(pulses) == pytest.approx(0.5)
    assert len(mixed) == 24  # three rounds of the recordings, to get to every drawn clip
    assert np.mean([mixed.clip(k).has_pulse for k in range(len(mixed))]) == 0.5


def test_the_command_trains_on_recordings(
    faces: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["train", "student", "--recordings", "ubfc-rppg", str(faces)]
    argv += ["--steps", "2", "--batch", "2", "--workers", "0", "--folds", "4", "--fold", "1"]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "tested on (1):" in said
    assert "references lag the video by" in said
    assert main(["export", "runs/student/last.pt", "--out", "own.onnx"]) == 0
    card = (tmp_path / "own.json").read_text()
    assert "recordings (ubfc-rppg, 2 people)" in card
    assert "--recordings LAYOUT DIR" in card
    assert str(faces) not in card
    assert main([*argv[:3], "no-such-layout", str(faces)]) == 2


def test_a_shipped_model_is_trained_on_with_recordings(
    faces: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["train", "student", "--start-from", "student", "--recordings", "ubfc-rppg", str(faces)]
    argv += ["--steps", "1", "--batch", "2", "--workers", "0"]
    # a step that changes next to nothing (but the statistics of normalisation): what comes out is
    # what it began with
    for out, rate in (("same", "1e-12"), ("tuned", "1e-3")):
        assert main([*argv, "--learning-rate", rate, "--out", out]) == 0
        assert main(["export", f"{out}/last.pt", "--out", f"{out}.onnx"]) == 0
    crops = np.random.default_rng(0).uniform(60.0, 180.0, (60, 36, 36, 3)).astype(np.float32)
    chunk = RoiChunk(0.0, MODEL_FS_HZ, crops, np.zeros(60, bool), np.zeros((60, 2), np.float32))
    shipped, same, tuned = (
        open_engine("onnx", model).engine.process(chunk).bvp
        for model in ("student", "same.onnx", "tuned.onnx")
    )
    assert np.corrcoef(same, shipped)[0, 1] > 0.999
    assert same == pytest.approx(shipped, abs=0.05)
    assert np.abs(tuned - same).max() > 1e-3
    assert "recordings (ubfc-rppg" in (tmp_path / "tuned.json").read_text()
    assert "--start-from student" in (tmp_path / "tuned.json").read_text()
