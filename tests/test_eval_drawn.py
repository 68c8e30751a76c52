"""The frozen test set and the painted traces: the same every time, and what they claim to be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

import hrd
from hrd.evaluation import conditions, drawn, painted, testset
from hrd.evaluation.recording import DataError, Recording, ReferenceRate
from hrd.evaluation.sampling import sample_codec
from hrd.evaluation.session import Choice, make_plan
from hrd.sim.lens import Sensor
from hrd.train.generator import FIRST_TRAINING_SEED, TEST_SEEDS, VALIDATION_SEEDS
from hrd.types import RoiFrame
from tests.conftest import CLIPS

SECONDS = 2.0


@pytest.fixture(scope="module")
def clip() -> drawn.DrawnClip:
    return testset.draw_clip(conditions.HARD, 4, seconds=SECONDS)


def test_seeds_are_never_trained_on() -> None:
    spans = [(first, first + conditions.SEEDS_EACH) for first in conditions.FIRST_SEED.values()]
    spans.append((painted.FIRST_SEED, painted.FIRST_SEED + 1000 * len(painted.MOTIONS) + 1000))
    for index, (first, last) in enumerate(spans):
        assert first in TEST_SEEDS
        assert last - 1 in TEST_SEEDS
        assert all(last <= other or end <= first for other, end in spans[index + 1 :])
    assert max(last for _, last in spans) <= min(VALIDATION_SEEDS[0], FIRST_TRAINING_SEED)


def test_36_clips_hold_every_skin_group_at_every_rate() -> None:
    pairs = {
        (
            conditions.SKIN_GROUPS[k % 6],
            conditions.BANDS_BPM[(k // 6) % 6],
        )
        for k in range(36)
    }
    assert len(pairs) == 6 * len(set(conditions.BANDS_BPM))


def test_a_clip_is_the_same_every_time(clip: drawn.DrawnClip) -> None:
    again = testset.draw_clip(conditions.HARD, 4, seconds=SECONDS)
    assert drawn.clip_sha256(again) == drawn.clip_sha256(clip)
    other = testset.draw_clip(conditions.HARD, 5, seconds=SECONDS)
    assert drawn.clip_sha256(other) != drawn.clip_sha256(clip)


def test_a_clip_is_what_it_claims(clip: drawn.DrawnClip) -> None:
    assert clip.meta["skin_group"] == 5
    low, high = conditions.BANDS_BPM[0]
    assert low * 0.85 < clip.meta["mean_bpm"] < high * 1.15
    assert clip.found.mean() > 0.9
    assert clip.time_s[0] == 0.0
    assert SECONDS - 0.3 < clip.time_s[-1] <= SECONDS
    steps = list(clip.tracked())
    assert [step.time_s for step in steps] == list(clip.time_s)
    first = steps[0]
    assert isinstance(first, RoiFrame)
    assert first.cut
    assert first.crop.shape == (36, 36, 3)
    assert first.crop.dtype == np.float32
    assert 5.0 < float(first.crop.mean()) < 250.0
    with pytest.raises(ValueError, match="clip 10000"):
        testset.draw_clip(conditions.EASY, 10_000)


def test_no_pulse_has_no_reference() -> None:
    kinds = {conditions.KINDS[k % len(conditions.KINDS)] for k in range(len(conditions.KINDS))}
    assert len(kinds) >= 15
    found = testset.draw_clip(conditions.NO_PULSE, 3, seconds=1.0)
    assert found.meta["kind"] == "photograph"
    assert not found.reference.has_pulse


def test_stored_and_fresh_clips_are_alike(clip: drawn.DrawnClip, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clip.npz"
    drawn.save(path, clip)
    back = drawn.load(path)
    assert drawn.clip_sha256(back) == drawn.clip_sha256(clip)
    assert dict(back.meta) == dict(clip.meta)
    assert [p.name for p in path.parent.iterdir()] == ["clip.npz"]
    for name in ("bvp", "bvp_time_s", "bpm", "bpm_time_s"):
        np.testing.assert_array_equal(getattr(back.reference, name), getattr(clip.reference, name))


def test_a_clip_is_drawn_once(clip: drawn.DrawnClip, tmp_path: Path) -> None:
    calls = []

    def draw() -> drawn.DrawnClip:
        calls.append(1)
        return clip

    for _ in range(2):
        drawn.load_or_draw(tmp_path / "a.npz", draw)
    assert len(calls) == 1
    (tmp_path / "b.npz").write_bytes(b"PK not a clip")
    with pytest.raises(DataError, match=r"b\.npz is no drawn clip"):
        drawn.load_or_draw(tmp_path / "b.npz", draw)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="another folder with --cache"):
        drawn.load_or_draw(tmp_path / "file" / "c.npz", draw)


def test_the_mark_is_of_what_is_drawn(clip: drawn.DrawnClip) -> None:
    recipe = testset.recipe()
    mark = drawn.drawing_mark(recipe, [clip])
    assert mark == drawn.drawing_mark(recipe, [clip])
    assert drawn.drawing_mark({**recipe, "seconds": 31.0}, [clip]) != mark
    brighter = clip.crops.copy()
    brighter[0, 0, 0, 0] += 1
    assert drawn.drawing_mark(recipe, [replace(clip, crops=brighter)]) != mark
    assert clip.reference.bpm is not None
    other_truth = replace(clip.reference, bpm=clip.reference.bpm + 0.01)
    assert drawn.drawing_mark(recipe, [replace(clip, reference=other_truth)]) != mark


@pytest.mark.slow
def test_a_comment_leaves_the_mark_of_the_test_set_alone(tmp_path: Path) -> None:
    package = Path(hrd.__file__).parent
    shutil.copytree(package, tmp_path / "hrd", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("sim/face.py", "sim/lens.py", "sim/pulse.py", "evaluation/testset.py"):
        with open(tmp_path / "hrd" / name, "a") as module:
            module.write("\n# a remark\n")
    ask = "import hrd; from hrd.evaluation import testset; print(hrd.__file__, testset.drawn_by())"
    answer = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert answer.stdout.decode().split() == [
        str(tmp_path / "hrd" / "__init__.py"),
        testset.drawn_by(),
    ]


@pytest.mark.slow
def test_one_changed_pixel_changes_the_mark_of_the_test_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark = testset.drawn_by()
    expose = Sensor.expose

    def flawed(self: Sensor, picture: np.ndarray) -> np.ndarray:
        shown = expose(self, picture)
        shown[shown.shape[0] // 2, shown.shape[1] // 2] ^= 1
        return shown

    monkeypatch.setattr(Sensor, "expose", flawed)
    testset.drawn_by.cache_clear()
    try:
        assert testset.drawn_by() != mark
    finally:
        testset.drawn_by.cache_clear()


def test_low_bitrate_meets_every_codec_in_every_skin_group_and_rate_band() -> None:
    low = conditions.conditions_of(conditions.LOW_BITRATE, 0)
    met = set()
    for k in range(36):
        codec = sample_codec(np.random.default_rng(k), low, "pulse", k)
        assert codec.bitrate == 0.0 or 0.03 <= codec.bitrate <= 0.3
        met.add((codec.kind, k % 6, -1))
        met.add((codec.kind, -1, k // 6))
    assert len(met) == 3 * (6 + 6)


@pytest.mark.parametrize("difficulty", conditions.ALL)
def test_every_difficulty_can_be_drawn(difficulty: str) -> None:
    found = testset.draw_clip(difficulty, 1, seconds=0.5)
    assert found.reference.has_pulse == (difficulty != conditions.NO_PULSE)
    if difficulty == conditions.LOW_BITRATE:
        assert found.meta["codec"] == conditions.LOW_BITRATE_CODECS[1]


def test_entries_name_their_section_and_cache(tmp_path: Path) -> None:
    entries = testset.entries(["easy", "hard"], 2, str(tmp_path))
    assert [entry.name for entry in entries] == ["easy-0000", "easy-0001", "hard-0000", "hard-0001"]
    assert [entry.section for entry in entries] == ["easy", "easy", "hard", "hard"]


def write_trace(path: Path, **change: object) -> Path:
    """A colour trace that pulses at 80 bpm, with its finger clip; ``change`` replaces arrays."""
    t = np.arange(0.0, 12.0, 1 / 50.0)
    bvp_t = np.arange(0.0, 12.0, 1 / 100.0)
    beat = np.sin(2 * np.pi * 80 / 60 * t)
    arrays: Dict[str, Any] = {
        "rgb": np.array([140.0, 100.0, 80.0]) * (1 - 0.01 * beat[:, None] * [0.33, 0.77, 0.53]),
        "t": t + 100.0,
        "bvp": np.sin(2 * np.pi * 80 / 60 * bvp_t),
        "bvp_t": bvp_t + 100.0,
    }
    arrays.update(change)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_painted_skin_follows_the_trace(tmp_path: Path) -> None:
    trace = painted.load_trace(write_trace(tmp_path / "trace.npz"))
    clip = painted.draw_clip(trace, 2, "still", 0, seconds=6.0)
    assert clip.found.all()
    cheeks = clip.crops[:, 19:23, 9:13].astype(float).mean(axis=(1, 2))
    over = cheeks / cheeks.mean(axis=0)
    told = trace.relative(clip.time_s)
    # green as it was measured, with its amplitude; slow light goes on top, so differences count
    own, wanted = np.diff(over[::3, 1]), np.diff(told[::3, 1])
    assert np.corrcoef(own, wanted)[0, 1] > 0.9
    assert np.polyfit(wanted, own, 1)[0] == pytest.approx(1.0, abs=0.2)
    background = clip.crops[:, :3, :3].astype(float).mean(axis=(1, 2))
    still = np.diff((background / background.mean(axis=0))[::3, 1])
    assert abs(np.polyfit(wanted, still, 1)[0]) < 0.2
    rate = ReferenceRate(clip.reference, "bvp")
    assert rate.bpm(0.0, 6.0) == pytest.approx(80.0, abs=0.5)
    with pytest.raises(ValueError, match="motion 'dancing'"):
        painted.draw_clip(trace, 2, "dancing", 0)


def test_painted_clips_of_every_kind(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "trace.npz")
    entries = painted.entries(path, 2, str(tmp_path / "cache"))
    assert len(entries) == 2 * len(painted.SKIN_GROUPS) * len(painted.MOTIONS)
    assert len({entry.name for entry in entries}) == len(entries)


def test_a_folder_of_traces_is_told_apart_by_trace(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    write_trace(folder / "b.npz")
    write_trace(folder / "a.npz")
    plan = make_plan(Choice("painted", str(folder), clips=1, cache=str(tmp_path / "cache")))
    assert len(plan.entries) == 2 * len(painted.SKIN_GROUPS) * len(painted.MOTIONS)
    assert plan.title == "the real pulse of 2 traces of traces on drawn faces"
    sections = [entry.section for entry in plan.entries]
    assert sections == sorted(sections, key=list(painted.MOTIONS).index)
    first = plan.entries[0]
    recording = first.load()
    assert first.name == recording.name == "a: skin 2, still, face 0"
    assert recording.groups["trace"] == "a"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.npz"):
        make_plan(Choice("painted", str(tmp_path / "empty")))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bvp": None}, "lacks bvp"),
        ({"rgb": np.ones((600, 2))}, "not \\(N, 3\\)"),
        ({"rgb": -np.ones((600, 3))}, "positive colours"),
        ({"bvp": np.zeros(7)}, "7 values of bvp but 1200 times"),
    ],
)
def test_traces_that_cannot_be_used(tmp_path: Path, change: dict, match: str) -> None:
    with pytest.raises(DataError, match=match):
        painted.load_trace(write_trace(tmp_path / "trace.npz", **change))


def test_no_trace_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        painted.load_trace(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(DataError, match="can be read"):
        painted.load_trace(tmp_path / "text.npz")


def test_the_shared_trace_reads_as_its_label_says() -> None:
    path = CLIPS / "trace_0427_with_fingerppg.npz"
    if not path.is_file():
        pytest.skip(f"the real trace {path.name} is not beside this checkout (../shared/clips)")
    reference = painted.load_trace(path).reference
    assert reference.bvp_time_s is not None
    whole = Recording("a", "a", reference)
    rate = ReferenceRate(whole.reference, "bvp")
    rates = [rate.bpm(float(start), start + 10.0) for start in (0, 10, 20, 30)]
    assert all(bpm is not None and 69.0 < bpm < 88.0 for bpm in rates)
    assert np.mean([bpm for bpm in rates if bpm is not None]) == pytest.approx(77.6, abs=2.0)
