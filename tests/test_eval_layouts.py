"""Every loader on a tiny data set written in exactly its layout, and on damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, List

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.evaluation import matfiles
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.evaluation.recording import DataError, Recording, Reference, ReferenceRate, regular
from hrd.simulate import write_dataset
from hrd.types import Frame
from tests import eval_help as made

SECONDS = 4.0
COUNT = 24


def only(layout: str, root: Path) -> Recording:
    entries = find_recordings(LAYOUTS[layout], root)
    assert len(entries) == 1
    return entries[0].load()


def frames_of(recording: Recording) -> List[Frame]:
    assert recording.frames is not None
    return list(recording.frames())


def check(recording: Recording, bpm: float, fps: float = 30.0) -> None:
    """Frames upright, in true colours and order, at true times; the reference says ``bpm``."""
    frames = frames_of(recording)
    truth = made.small(COUNT)
    assert len(frames) == COUNT
    for index, frame in enumerate(frames):
        assert frame.index == index
        assert frame.time_s == pytest.approx(index / fps, abs=2e-6)
        assert np.abs(frame.image.astype(int) - truth[index]).max() <= 1
    rate = ReferenceRate(recording.reference, "bvp")
    assert rate.chosen == "bvp"
    assert rate.bpm(0.0, 4.0) == pytest.approx(bpm, abs=1.5)
    # a second pass starts over: nothing was used up
    assert recording.frames is not None
    assert next(iter(recording.frames())).index == 0


def test_ubfc_dataset_2(tmp_path: Path) -> None:
    for name in ("subject10", "subject2"):
        made.write_ubfc_2(tmp_path, name, made.small(COUNT), 90.0, SECONDS)
    entries = find_recordings(LAYOUTS["ubfc-rppg"], tmp_path)
    assert [entry.name for entry in entries] == ["subject2", "subject10"]
    recording = entries[0].load()
    check(recording, 90.0)
    assert recording.subject == "subject2"
    assert ReferenceRate(recording.reference, "rate").bpm(0.0, 4.0) == pytest.approx(91.0)


def test_ubfc_dataset_1(tmp_path: Path) -> None:
    made.write_ubfc_1(tmp_path, "after-exercise", made.small(COUNT), 120.0, SECONDS)
    recording = only("ubfc-rppg-1", tmp_path)
    check(recording, 120.0)
    assert ReferenceRate(recording.reference, "rate").bpm(0.0, 4.0) == pytest.approx(120.0)


def test_pure(tmp_path: Path) -> None:
    made.write_pure(tmp_path, "03-05", made.small(COUNT), 75.0, SECONDS)
    recording = only("pure", tmp_path)
    check(recording, 75.0)
    assert recording.subject == "03"
    assert recording.groups["motion"] == "small rotation"
    # the pulse wave is on the pictures' clock: its first half second lies before them
    assert recording.reference.bvp_time_s is not None
    assert recording.reference.bvp_time_s[0] == pytest.approx(-0.5, abs=1e-6)


def test_pure_unpacked_flat(tmp_path: Path) -> None:
    folder = made.write_pure(tmp_path, "01-01", made.small(COUNT), 75.0, SECONDS)
    (folder / "01-01.json").rename(tmp_path / "01-01.json")
    for picture in (folder / "01-01").iterdir():
        picture.rename(folder / picture.name)
    (folder / "01-01").rmdir()
    check(only("pure", tmp_path), 75.0)


def test_cohface(tmp_path: Path) -> None:
    made.write_cohface(tmp_path, "12", "3", made.small(COUNT), 66.0, SECONDS)
    recording = only("cohface", tmp_path)
    check(recording, 66.0, fps=20.0)
    assert (recording.subject, recording.groups["light"]) == ("12", "natural")


def test_ubfc_phys(tmp_path: Path) -> None:
    made.write_ubfc_phys(tmp_path, "s4", "T2", made.small(COUNT), 100.0, SECONDS)
    recording = only("ubfc-phys", tmp_path)
    check(recording, 100.0)
    assert (recording.subject, recording.name) == ("s4", "s4_T2")
    assert recording.groups["motion"] == "speech"


def test_mmpd(tmp_path: Path) -> None:
    pictures = made.small(90)
    made.write_mmpd(tmp_path, 7, 11, pictures, 80.0, skin_tone=5)
    recording = only("mmpd", tmp_path)
    frames = frames_of(recording)
    assert len(frames) == 90
    assert np.array_equal(frames[37].image, pictures[37])
    assert frames[37].time_s == pytest.approx(37 / 30.0)
    assert ReferenceRate(recording.reference, "bvp").bpm(0.0, 3.0) == pytest.approx(80.0, abs=2.0)
    assert recording.groups == {
        "light": "LED-low",
        "motion": "Walking",
        "exercise": "False",
        "skin tone": "5",
    }


@pytest.mark.parametrize("key", ["RawFrames", "Xsub"])
def test_scamps(tmp_path: Path, key: str) -> None:
    pictures = made.small(90)
    path = made.write_scamps(tmp_path, 3, pictures, 80.0, key)
    assert matfiles.is_hdf5(path)
    recording = only("scamps", tmp_path)
    frames = frames_of(recording)
    assert len(frames) == 90
    assert all(np.array_equal(frame.image, truth) for frame, truth in zip(frames, pictures))
    assert ReferenceRate(recording.reference, "bvp").bpm(0.0, 3.0) == pytest.approx(80.0, abs=2.0)


def test_scamps_are_read_a_few_frames_at_a_time(tmp_path: Path, monkeypatch) -> None:
    path = made.write_scamps(tmp_path, 1, made.small(90), 80.0, "RawFrames")
    sizes: List[int] = []
    unpatched = matfiles._scale

    def watch(path: Path, key: str, some: np.ndarray) -> float:
        sizes.append(len(some))
        return unpatched(path, key, some)

    monkeypatch.setattr(matfiles, "_scale", watch)
    next(matfiles.mat_frames(path, ("RawFrames",)))
    assert sizes == [32]


def test_simulated_recipe_becomes_groups(tmp_path: Path) -> None:
    folder = made.write_ubfc_2(tmp_path, "clip-000", made.small(COUNT), 90.0, SECONDS)
    (folder / "recipe.json").write_text(json.dumps({"skin_group": 6, "difficulty": "hard"}))
    recording = only("simulated", tmp_path)
    assert recording.groups == {"skin group (simulated)": "6", "difficulty": "hard"}
    (folder / "recipe.json").write_text("{no json")
    with pytest.raises(DataError, match=r"recipe\.json"):
        only("simulated", tmp_path)


def test_what_hrd_simulate_writes(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 3.0, seed=5, skins=(4,), motions=("hard",), size=(160, 160))
    recording = only("simulated", tmp_path)
    frames = frames_of(recording)
    assert len(frames) == 90
    assert recording.groups["skin group (simulated)"] == "4"
    assert recording.groups["motion"] == "hard"
    recipe = json.loads((tmp_path / "subject1" / "recipe.json").read_text())
    rate = ReferenceRate(recording.reference, "rate").bpm(0.0, frames[-1].time_s)
    assert rate == pytest.approx(recipe["mean_bpm"], abs=0.1)


# What is missing or garbled is named, in one sentence.


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: max(8, path.stat().st_size // 3)])


def _garble(path: Path) -> None:
    path.write_text("not what it should be\n")


def _remove(path: Path) -> None:
    path.unlink()


def _make(layout: str, root: Path) -> List[Path]:
    """Write one recording; returns the files that it needs."""
    pictures = made.small(COUNT)
    if layout == "ubfc-rppg":
        folder = made.write_ubfc_2(root, "subject1", pictures, 90.0, SECONDS)
        return [folder / "ground_truth.txt", folder / "vid.avi"]
    if layout == "ubfc-rppg-1":
        folder = made.write_ubfc_1(root, "a", pictures, 90.0, SECONDS)
        return [folder / "gtdump.xmp", folder / "vid.avi"]
    if layout == "pure":
        folder = made.write_pure(root, "01-01", pictures, 90.0, SECONDS)
        return [folder / "01-01.json", sorted((folder / "01-01").iterdir())[3]]
    if layout == "cohface":
        folder = made.write_cohface(root, "1", "0", pictures, 90.0, SECONDS)
        return [folder / "data.hdf5", folder / "data.avi"]
    if layout == "ubfc-phys":
        folder = made.write_ubfc_phys(root, "s1", "T1", pictures, 90.0, SECONDS)
        return [folder / "bvp_s1_T1.csv", folder / "vid_s1_T1.avi"]
    if layout == "mmpd":
        return [made.write_mmpd(root, 1, 0, pictures, 90.0)]
    return [made.write_scamps(root, 1, pictures, 90.0, "RawFrames")]


PAIRS = [(layout, 0) for layout in LAYOUTS if layout != "simulated"] + [
    (layout, 1) for layout in LAYOUTS if layout not in ("simulated", "mmpd", "scamps")
]


@pytest.mark.parametrize("damage", [_remove, _garble], ids=["missing", "garbled"])
@pytest.mark.parametrize(("layout", "which"), PAIRS)
def test_damage_is_said_in_one_sentence(
    tmp_path: Path, layout: str, which: int, damage: Callable[[Path], None]
) -> None:
    path = _make(layout, tmp_path)[which]
    entries = find_recordings(LAYOUTS[layout], tmp_path)
    damage(path)
    if layout == "pure" and which == 1 and damage is _remove:
        assert len(frames_of(entries[0].load())) == COUNT - 1  # a dropped frame, no damage
        return
    with pytest.raises(HrdError) as caught:
        frames_of(entries[0].load())
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message


@pytest.mark.parametrize("layout", ["mmpd", "scamps"])
def test_a_mat_that_breaks_off(tmp_path: Path, layout: str) -> None:
    path = _make(layout, tmp_path)[0]
    entries = find_recordings(LAYOUTS[layout], tmp_path)
    _cut_short(path)
    with pytest.raises(HrdError, match=path.name):
        frames_of(entries[0].load())


def test_wrong_numbers_are_said(tmp_path: Path) -> None:
    folder = made.write_ubfc_2(tmp_path, "subject1", made.small(COUNT), 90.0, SECONDS)
    truth = folder / "ground_truth.txt"
    rows = truth.read_text().splitlines()
    for text, match in (
        ("\n".join(rows[:2]), "2 rows"),
        ("\n".join([rows[0] + " 0.5", rows[1], rows[2]]), "121 values of PPG but 120 times"),
        ("\n".join([rows[0].replace(rows[0].split()[3], "nan"), *rows[1:]]), "not finite"),
        ("\n".join([rows[0], rows[1], rows[1]]), "do not rise"),
    ):
        truth.write_text(text)
        with pytest.raises(DataError, match=match):
            only("ubfc-rppg", tmp_path)


def test_mat_without_its_variables(tmp_path: Path) -> None:
    from scipy.io import savemat

    path = tmp_path / "subject1" / "p1_0.mat"
    path.parent.mkdir()
    savemat(str(path), {"video": made.small(4)})
    with pytest.raises(DataError, match=r"p1_0\.mat holds no GT_ppg"):
        only("mmpd", tmp_path)
    savemat(str(path), {"GT_ppg": np.sin(np.arange(90.0)), "video": np.zeros((4, 4))})
    with pytest.raises(DataError, match="no colour video"):
        frames_of(only("mmpd", tmp_path))


def test_an_empty_subject_is_damage_and_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "subject7").mkdir()
    with pytest.raises(DataError, match=r"ground_truth\.txt is missing"):
        only("ubfc-rppg", tmp_path)


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no recording as PURE"):
        find_recordings(LAYOUTS["pure"], tmp_path)
    with pytest.raises(DataError, match="is not a directory"):
        find_recordings(LAYOUTS["pure"], tmp_path / "absent")


# The reference heart rate.


def test_reference_rate_of_a_fast_sampled_wave() -> None:
    times_s = np.arange(0.0, 30.0, 1 / 256)
    # a strong 50 Hz hum must not fold back into the band
    bvp = made.wave(times_s, 72.0) + 2.0 * np.sin(2 * np.pi * 50.0 * times_s)
    start_s, grid = regular(times_s, bvp)
    assert start_s == 0.0
    assert np.abs(grid[60:-60]).max() < 1.6
    rate = ReferenceRate(Reference(bvp, times_s), "bvp")
    assert rate.bpm(0.0, 30.0) == pytest.approx(72.0, abs=0.1)
    assert rate.bpm(10.0, 20.0) == pytest.approx(72.0, abs=0.5)


def test_reference_rate_needs_cover() -> None:
    times_s = np.arange(0.0, 20.0, 1 / 30)
    reference = Reference(made.wave(times_s, 60.0), times_s, np.full(21, 61.0), np.arange(21.0))
    for source, bpm in (("bvp", 60.0), ("rate", 61.0)):
        rate = ReferenceRate(reference, source)
        assert rate.bpm(5.0, 15.0) == pytest.approx(bpm, abs=0.3)
        assert rate.bpm(11.5, 21.5) == pytest.approx(bpm, abs=0.6)  # 85 % of it is there
        assert rate.bpm(15.0, 25.0) is None
        assert rate.bpm(30.0, 40.0) is None
    assert ReferenceRate(Reference(reference.bvp, times_s), "rate").chosen == "bvp"
    with pytest.raises(ValueError, match="is not one of"):
        ReferenceRate(reference, "ecg")


def test_labels_that_are_no_labels_are_left_out(tmp_path: Path) -> None:
    pictures = made.small(30)
    path = made.write_mmpd(tmp_path, 1, 0, pictures, 90.0, skin_tone=float("nan"))  # type: ignore[arg-type]
    recording = only("mmpd", tmp_path)
    assert "skin tone" not in recording.groups
    assert recording.groups["light"] == "LED-low"
    assert len(frames_of(recording)) == 30
    path.unlink()
    # MATLAB 7.3: a cell array of labels is stored as references
    with made.h5py.File(path, "w", userblock_size=512) as file:
        file["video"] = pictures.transpose(3, 2, 1, 0).astype(np.float64) / 255.0
        file["GT_ppg"] = made.wave(np.arange(30) / 30.0, 90.0)[:, None]
        file["text"] = np.array([ord(letter) for letter in "LED-high"], np.uint16)[:, None]
        file["light"] = np.array([[file["text"].ref]], made.h5py.ref_dtype)
        file["motion"] = np.zeros((0, 0), made.h5py.ref_dtype)
        file["exercise"] = np.array([[np.nan]])
        file.create_group("skin_color")
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, written by a test".ljust(124) + b"\x00\x02IM")
    recording = only("mmpd", tmp_path)
    assert dict(recording.groups) == {"light": "LED-high"}
    assert len(frames_of(recording)) == 30


@pytest.mark.parametrize(
    ("given", "meant", "files"),
    [
        ("ubfc-rppg", "ubfc-rppg-1", ["5-gt/vid.avi", "5-gt/gtdump.xmp"]),
        ("ubfc-rppg-1", "ubfc-rppg", ["subject1/vid.avi", "subject1/ground_truth.txt"]),
        ("cohface", "pure", ["01-01/01-01.json"]),
        ("pure", "cohface", ["1/0/data.hdf5", "1/0/data.avi"]),
        ("mmpd", "ubfc-phys", ["s1/bvp_s1_T1.csv"]),
        ("scamps", "mmpd", ["subject1/p1_0.mat"]),
        ("mmpd", "scamps", ["P000001.mat"]),
    ],
)
def test_the_layout_that_is_meant_is_named(
    tmp_path: Path, given: str, meant: str, files: List[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"give the layout {meant}$"):
        find_recordings(LAYOUTS[given], tmp_path)
