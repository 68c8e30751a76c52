"""``hrd train`` and ``hrd export`` as a user meets them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from hrd.cli.main import main  # noqa: E402
from hrd.train import shards  # noqa: E402
from hrd.train.checkpoint import load_checkpoint  # noqa: E402
from hrd.train.config import TrainConfig  # noqa: E402
from hrd.train.generator import FIRST_TRAINING_SEED, Recipe  # noqa: E402


@pytest.mark.slow
def test_a_student_is_trained_resumed_and_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shards.write_shards(
        tmp_path / "clips", FIRST_TRAINING_SEED, 1, Recipe(frames=256), progress=False
    )
    train = ["train", "student", "--data", "clips", "--clips", "0", "--validation-clips", "0"]
    train += ["--batch", "1", "--workers", "0", "--threads", "1"]
    assert main([*train, "--steps", "1"]) == 0
    assert "next: hrd export runs/student/last.pt" in capsys.readouterr().out
    assert main([*train, "--steps", "2"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*train, "--steps", "2", "--resume"]) == 0
    content = load_checkpoint(tmp_path / "runs/student/last.pt")
    assert content["step"] == 2
    assert TrainConfig.from_dict(content["config"]).data == "clips"
    capsys.readouterr()

    assert main(["export", "runs/student/last.pt", "--out", "mine.onnx"]) == 0
    assert "equal to PyTorch" in capsys.readouterr().out
    card = json.loads((tmp_path / "mine.json").read_text())
    assert card["params"] == 24_769
    assert card["training"]["steps"] == 2
    assert card["training"]["command"].startswith("hrd train student")


def test_a_teacher_cannot_be_distilled(capsys):
    assert main(["train", "teacher", "--distill", "x.pt"]) == 2
    assert "nobody to learn from" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--clips=-1", "--batch=0", "--steps=0", "--workers=-1"])
def test_numbers_that_cannot_be_meant_are_refused(flag, capsys):
    assert main(["train", "student", flag]) == 2
    assert flag.split("=")[0] in capsys.readouterr().err


def test_clips_that_are_not_there_are_missed_in_plain_words(tmp_path, capsys):
    empty = tmp_path / "none"
    empty.mkdir()
    args = ["train", "student", "--data", str(empty), "--clips", "0", "--validation-clips", "0"]
    assert main([*args, "--out", str(tmp_path / "run")]) == 1
    assert "no finished shards" in capsys.readouterr().err


def test_exporting_needs_a_checkpoint(tmp_path, capsys):
    assert main(["export", str(tmp_path / "last.pt")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err
