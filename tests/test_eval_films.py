"""One's own films with one known rate each: the table, the recorders, the report, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import numpy as np
import pytest

from hrd.cli.main import main
from hrd.errors import UsageError
from hrd.evaluation import films
from hrd.evaluation.recording import DataError, ReferenceRate
from hrd.evaluation.session import Choice, make_plan
from hrd.types import Frame
from tests.eval_help import skin, write_avi


def table(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / films.TABLE).write_text(text, encoding="utf-8")
    return folder


def test_the_table_gives_rate_person_and_groups(tmp_path: Path) -> None:
    folder = table(
        tmp_path,
        "\ufefffile,bpm,person,light\na.mp4,62,Anna,lamp\nsub/b.avi, 71.5 ,,\nphoto.mp4,,,\n",
    )
    first, second, photo = films.read_table(folder)
    assert (first.path, first.bpm, first.person) == (folder / "a.mp4", 62.0, "Anna")
    assert first.groups == {"light": "lamp"}
    assert (second.path, second.bpm, second.person) == (folder / "sub/b.avi", 71.5, "sub/b.avi")
    assert photo.bpm is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no film; it needs a line `file,bpm`"),
        ("file,bpm\n", "names no film"),
        ("film,rate\na.mp4,62\n", "line 2: has no file or no bpm"),
        ("file,bpm\na.mp4,62\nb.mp4,fast\n", "line 3: fast is no heart rate"),
        ("file,bpm\na.mp4,nan\n", "line 2: nan is no heart rate"),
        ("file,bpm\na.mp4,1.1\n", "line 2: 1.1 is no heart rate"),
    ],
)
def test_a_table_that_is_none_is_told_what_it_needs(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        films.read_table(table(tmp_path, text))


def test_a_folder_without_a_table_is_told_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no films\.csv; write one: a line `file,bpm`"):
        make_plan(Choice("films", str(tmp_path)))
    with pytest.raises(UsageError, match="--recompress is for the layout films only"):
        make_plan(Choice("testset", recompress=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_avi(tmp_path / "a.avi", skin(4.0, 70.0))
    return table(tmp_path, "file,bpm\na.avi,70\nabsent.avi,80\n")


def test_a_film_has_its_rate_from_beginning_to_end(folder: Path) -> None:
    good, absent = films.entries(folder, recompress=False)
    recording = good.load()
    assert (recording.name, good.section) == ("a.avi", "")
    rate = ReferenceRate(recording.reference, "rate")
    assert rate.beats_bpm(0.0, 3.9) == 70.0
    assert rate.beats_bpm(2.0, 9.0) is None, "it lasts four seconds only"
    with pytest.raises(Exception, match="absent"):
        absent.load()


@pytest.mark.parametrize("way", list(films.RECORDERS))
def test_recorders_store_fewer_and_poorer_pictures_at_their_own_times(
    folder: Path, way: str
) -> None:
    recorder = films.RECORDERS[way]
    entries = films.entries(folder, recompress=True)
    assert [one.section for one in entries[::2]] == [films.AS_IT_IS, *films.RECORDERS]
    (entry,) = [one for one in entries if one.section == way and one.name.startswith("a.avi")]
    recording = entry.load()
    assert recording.frames is not None
    frames = list(recording.frames())
    times_s = np.array([frame.time_s for frame in frames])
    assert len(frames) == pytest.approx(4.0 * recorder.fps, abs=1)
    assert np.abs(np.diff(times_s)).max() <= 1.0 / recorder.fps + 1.0 / 30 + 1e-6
    assert set(np.round(times_s * 30, 3) % 1.0) == {0.0}, "the film's own times"
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].image.shape == (480, 640, 3)
    plain = list(films.video_frames(folder / "a.avi"))
    near = frames[-1].image.mean(axis=(0, 1)) - plain[-1].image.mean(axis=(0, 1))
    assert np.abs(near).max() < 4.0, "it shows the same all the same"


def test_a_recorder_begins_anew_after_a_hole() -> None:
    times_s: List[float] = [k / 30 for k in range(30)] + [5.0 + k / 30 for k in range(30)]
    blank = np.zeros((2, 2, 3), np.uint8)
    frames = iter(Frame(blank, time_s, k) for k, time_s in enumerate(times_s))
    taken = np.array([frame.time_s for frame in films.at_most(frames, 10.0)])
    assert len(taken) == 20
    assert (np.diff(taken) > 0.09).all()


@pytest.mark.slow
def test_a_report_by_way_of_storing_and_a_page_for_one_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    drawn = tmp_path / "drawn"
    assert main(["simulate", str(drawn), "--subjects", "1", "--seconds", "12", "--seed", "3"]) == 0
    rate = np.loadtxt(drawn / "subject1" / "ground_truth.txt")[1].mean()
    table(drawn, f"file,bpm\nsubject1/vid.avi,{rate:.1f}\n")
    out = tmp_path / "out"
    argv = ["eval", "films", str(drawn), "--recompress", "--methods", "student", "--json"]
    capsys.readouterr()
    assert main([*argv, "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["sections"]] == [
        films.AS_IT_IS,
        *films.RECORDERS,
        "all",
    ]
    as_it_is = report["sections"][0]["windows"]["10"]["student"]
    assert as_it_is["mae"] < 2.0
    live = [one["live"]["student"]["seconds"] for one in report["sections"]]
    assert live[3] == sum(live[:3]), "three recordings, although of one film"
    assert any("drawn by hrd simulate" in note for note in report["notes"])
    page = (out / "report.html").read_text(encoding="utf-8")
    for name in (films.AS_IT_IS, *films.RECORDERS, "together"):
        assert f"<td>{name}</td><td>student</td>" in page
    assert page.count("data:image/png;base64,") == len(list(out.glob("*.png"))) > 3
