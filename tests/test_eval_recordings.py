"""``hrd eval``: drawn faces are known in any layout, and every recording is told by itself."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import av
import numpy as np
import pytest

from hrd.drawn_mark import MARK, is_drawn
from hrd.evaluation import pictures, runner
from hrd.evaluation.by_recording import COLUMNS, write_csv
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.evaluation.markdown import markdown, titled
from hrd.evaluation.methods import choose_methods
from hrd.evaluation.protocol import LiveRow, WindowRow
from hrd.evaluation.session import Choice, evaluate, make_plan
from hrd.evaluation.summary import summarise
from hrd.pipeline import PipelineConfig
from hrd.simulate import write_dataset
from tests import eval_help as made
from tests.test_eval_run import ubfc  # noqa: F401 - a fixture

METHODS = ("student", "GREEN")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one subject that hrd simulate wrote."""
    root = tmp_path_factory.mktemp("drawn")
    return write_dataset(root, 1, 1.0, 3, size=(96, 96))[0]


WRITERS: Dict[str, Any] = {
    "ubfc-rppg": (made.write_ubfc_2, "subject1", "vid.avi"),
    "ubfc-rppg-1": (made.write_ubfc_1, "5-gt", "vid.avi"),
    "ubfc-phys": (made.write_ubfc_phys, "s1", "vid_s1_T1.avi"),
    "cohface": (made.write_cohface, "1", "data.avi"),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_drawn_film_is_known_in_any_layout(tmp_path: Path, drawn: Path, layout: str) -> None:
    write, name, film = WRITERS[layout]
    if layout == "ubfc-phys":
        write(tmp_path, name, "T1", made.small(30), 72.0, 1.0)
    elif layout == "cohface":
        write(tmp_path, name, "0", made.small(30), 72.0, 1.0)
    else:
        write(tmp_path, name, made.small(30), 72.0, 1.0)
    (entry,) = find_recordings(LAYOUTS[layout], tmp_path)
    recording = entry.load()
    assert recording.pictures is not None
    assert not is_drawn(recording.pictures)
    shutil.copy(drawn / "vid.avi", recording.pictures)  # nothing beside it tells
    assert is_drawn(recording.pictures)


def test_drawn_pictures_are_known_by_the_recipe_above_them(tmp_path: Path, drawn: Path) -> None:
    folder = made.write_pure(tmp_path, "01-01", made.small(30), 72.0, 1.0)
    (entry,) = find_recordings(LAYOUTS["pure"], tmp_path)
    recording = entry.load()
    assert recording.pictures is not None
    assert not is_drawn(recording.pictures)
    shutil.copy(drawn / "recipe.json", tmp_path / "01-01" / "recipe.json")
    assert is_drawn(recording.pictures), folder


def test_the_mark_outlives_another_container(tmp_path: Path, drawn: Path) -> None:
    """As ``ffmpeg -i vid.avi -c copy film.mkv`` leaves it."""
    with av.open(str(drawn / "vid.avi")) as source, av.open(str(tmp_path / "f.mkv"), "w") as out:
        assert MARK in source.metadata["comment"]
        out.metadata.update(source.metadata)
        stream = source.streams.video[0]
        if hasattr(out, "add_stream_from_template"):
            copy = out.add_stream_from_template(stream)
        else:
            copy = out.add_stream(template=stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    assert is_drawn(tmp_path / "f.mkv")


@pytest.mark.parametrize("content", ["", "[]", '{"simulated": false}', '{"seed": 3}', "{"])
def test_a_recipe_that_does_not_say_so_is_no_mark(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    assert not is_drawn(tmp_path)
    assert not is_drawn(tmp_path / "no-such.avi")


def report_of(folder: Path, limit: int) -> Dict[str, Any]:
    plan = make_plan(Choice("ubfc-rppg", str(folder), limit))
    specs, _ = choose_methods(["pos"], [])
    report, _ = evaluate(plan, specs, PipelineConfig(), rounds=0)
    return report


@pytest.mark.slow
def test_the_papers_table_is_for_people_only(ubfc: Path) -> None:  # noqa: F811
    alone = report_of(ubfc, 2)
    assert "drawn" not in alone["recordings"]
    assert "## Under the paper's table" in markdown(alone)
    (ubfc / "subject1" / "recipe.json").write_text('{"simulated": true}')
    mixed = report_of(ubfc, 2)
    assert (mixed["simulated"], mixed["recordings"]["drawn"]) == (False, 1)
    assert mixed["notes"][0].startswith("1 of 2 recordings was drawn by hrd simulate")
    (ubfc / "subject3" / "recipe.json").write_text('{"simulated": true}')
    both = report_of(ubfc, 2)
    assert (both["simulated"], both["recordings"]["drawn"]) == (True, 2)
    for report, said in ((mixed, "1 of 2 faces drawn"), (both, "drawn faces")):
        text = markdown(report)
        assert text.startswith(f"# hrd eval: {said}, in the layout of UBFC-rPPG DATASET_2\n")
        assert "## Under the paper's table" not in text
        assert "The paper's table is left out" in text
        assert "student + KD" not in text
        assert "| subject1 (drawn) |" in text


def window(name: str, method: str, error: float, start_s: float = 0.0) -> WindowRow:
    read = 70.0 + error
    return WindowRow("", method, name, name, 10.0, start_s, 70.0, read, 1.0, 70.0, read)


def live(name: str, time_s: float, error: float) -> LiveRow:
    return LiveRow("", "student", name, name, time_s, 70.0, True, 70.0 + error, 0.95, None)


def results() -> List[runner.RecordingResult]:
    return [
        runner.RecordingResult(
            name=name,
            section="",
            windows=[window(name, "student", error), window(name, "student", -2 * error, 10.0)]
            + [window(name, "GREEN", 30.0 + error)],
            live=[live(name, float(k), error if k % 2 else 9.0) for k in range(1, 21)],
            reference="rate",
            seconds=20.0,
            drawn=name == "b",
        )
        for name, error in (("a", 0.5), ("b", 6.0), ("c", 2.0))
    ] + [runner.RecordingResult("d", "", problem="d is empty; copy it again")]


def test_recordings_are_told_worst_first(tmp_path: Path) -> None:
    (section,) = summarise(results(), METHODS, ("student",), 0.8, rounds=0)
    told = section["by_recording"]
    assert [one["recording"] for one in told] == ["b", "c", "a"]
    assert told[0]["methods"]["student"]["mae"] == pytest.approx(9.0)
    assert told[0]["methods"]["student"]["worst"] == pytest.approx(12.0)
    assert told[1]["methods"]["GREEN"]["mae"] == pytest.approx(32.0)
    assert [one.get("drawn") for one in told] == [True, None, None]
    assert "published" not in told[0]["methods"]["GREEN"]
    assert told[2]["methods"]["student"]["right"] == pytest.approx(0.5)
    write_csv(tmp_path / "r.csv", [section])
    with open(tmp_path / "r.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["recording"] for row in rows] == ["b", "b", "c", "c", "a", "a"]
    assert (rows[0]["drawn"], rows[0]["mae"], rows[2]["drawn"]) == ("yes", "9.0000", "")


def texts_of(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text")))


def test_pictures_say_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed.")
    seen: Dict[str, str] = {}
    close = pyplot.close

    def note(figure: Any = None) -> None:
        if figure is not None:
            seen[f"{len(seen)}"] = texts_of(figure)
            close(figure)

    (section,) = summarise(results(), METHODS, ("student",), 0.8, rounds=0)
    report = {
        "title": "UBFC-rPPG DATASET_2",
        "layout": "ubfc-rppg",
        "recordings": {"found": 4, "evaluated": 3, "left_out": 1, "drawn": 1},
        "methods": dict.fromkeys(METHODS, {}),
        "min_confidence": 0.8,
        "sections": [section],
    }
    assert titled(report) == "1 of 3 faces drawn, in the layout of UBFC-rPPG DATASET_2"
    monkeypatch.setattr(pyplot, "close", note)
    waves = np.sin(np.arange(300) / 5)
    some = [
        runner.RecordingResult(
            **{**vars(one), "excerpt": runner.Excerpt(0.0, {"student": waves, "GREEN": waves})}
        )
        for one in results()
    ]
    paths = pictures.draw_all(tmp_path, json.loads(json.dumps(report)), some)
    assert [path.name for path in paths] == [
        "bland-altman.png",
        "reliability.png",
        "rates.png",
        "waves.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    agreement, _, rates, shown = seen.values()
    error = np.array([0.5, -1.0, 6.0, -12.0, 2.0, -4.0])
    for limit in (error.mean() + 1.96 * error.std(), error.mean() - 1.96 * error.std()):
        assert f"1.96 SD {limit:+.2f}" in agreement
    assert f"bias {error.mean():+.2f}" in agreement
    assert "+1.96 SD +37" in agreement  # GREEN's, beyond the picture
    assert "(beyond)" in agreement
    for text in (rates, shown):
        assert "1 of 3 faces drawn" in text
        assert text.index("b, drawn") < text.index(" c") < text.index(" a")
