"""hrd reproduce: end to end on drawn people, stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="hrd's extra `train` is not installed")
pytest.importorskip("matplotlib", reason="hrd's extra `train` is not installed")

from hrd.cli.main import main
from hrd.errors import UsageError
from hrd.simulate import write_dataset
from hrd.train import loop
from hrd.train.reproduce import Settings, _Forecast, _span, keep_settings


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    keep_settings(tmp_path / "run", Settings("ubfc-rppg"))
    keep_settings(tmp_path / "run", Settings("ubfc-rppg"))
    with pytest.raises(UsageError, match="other settings \\(fold, steps\\)"):
        keep_settings(tmp_path / "run", Settings("ubfc-rppg", fold=1, steps=9))


def test_how_long_it_will_take_is_said_once(monkeypatch: Any, capsys: Any) -> None:
    now_s = [0.0]
    monkeypatch.setattr("hrd.train.reproduce.time.monotonic", lambda: now_s[0])
    tell = _Forecast(2000, 2)
    for k in range(20):
        tell({"step": 10.0 * k})
        now_s[0] += 10.0
    # a second a step, 60 steps done
    assert capsys.readouterr().out.count("at 1.00 s a step, training takes about 32 minutes") == 1
    assert _span(20.0) == "1 minutes"
    assert _span(7200.0) == "2.0 hours"


def test_a_batch_is_of_all_processes(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(["reproduce", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "give a multiple of 3" in capsys.readouterr().err


@pytest.mark.slow
def test_end_to_end(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    faces = tmp_path / "faces"
    write_dataset(faces, 3, 14.0, 5, bpm=(60.0, 100.0), motions=("still",), size=(320, 240))
    monkeypatch.chdir(tmp_path)
    argv = ["reproduce", str(faces), "--out", "run", "--steps", "2", "--batch", "1"]
    argv += ["--workers", "0", "--threads", "1", "--own", str(faces)]

    # stopped between the teacher and the students
    real, calls = loop.train_together, []

    def train_together(configs: Any, *args: Any, **more: Any) -> Any:
        calls.append([config.network for config in configs])
        if configs[0].network == "student" and len(calls) == 2:
            raise KeyboardInterrupt
        return real(configs, *args, **more)

    monkeypatch.setattr("hrd.train.reproduce.train_together", train_together)
    assert main(argv) == 130
    assert "the same command goes on" in capsys.readouterr().err
    teacher = (tmp_path / "run" / "teacher" / "last.pt").read_bytes()
    assert main(argv) == 0
    assert calls == [["teacher"], ["student", "student"]] * 2
    text = capsys.readouterr().out
    assert (tmp_path / "run" / "tables.md").read_text() in text
    # what is done is not done again
    before = json.loads(
        (tmp_path / "run" / "teacher" / "history.jsonl").read_text().splitlines()[0]
    )
    assert before["step"] in (1, 2)
    assert len(teacher) > 1000
    assert "drawn" in text.split("## Table 1")[0]
    for row in ("teacher (the paper)", "student + KD (this run)", "student (hrd's own)", "POS"):
        assert f"| {row} |" in text
    for title in ("Table 1", "Table 2", "Table 3", "Table 4"):
        assert f"## {title}" in text
    for name in (
        "teacher/curves.png",
        "report/report.md",
        "own/report.md",
        "student-kd-0/model.onnx",
    ):
        assert (tmp_path / "run" / name).is_file()
    card = (tmp_path / "run" / "teacher" / "model.json").read_text()
    assert "recordings (ubfc-rppg, 1 people)" in card
    assert main([*argv, "--fold", "1"]) == 2
