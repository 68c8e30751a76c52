"""``hrd train`` and ``hrd export`` as a user meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hrd
from tests.needs import needs

needs("torch")
needs("onnx")

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
    model = "runs/student/student.onnx"
    hint = f"next: hrd export runs/student/last.pt --out {model}, then hrd run --model {model}\n"
    assert capsys.readouterr().out.endswith(hint)
    assert main([*train, "--steps", "2"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*train, "--steps", "2", "--resume"]) == 0
    assert "going on from step 1 of 2" in capsys.readouterr().err
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

    for name in ("mine.onnx", "mine.json"):
        (tmp_path / name).write_text("precious")
        assert main(["export", "runs/student/last.pt", "--out", "mine.onnx"]) == 2
        assert f"{name} is already there" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    (tmp_path / "mine.onnx").write_text("worthless")
    assert main(["export", "runs/student/last.pt", "--out", "mine.onnx", "--force"]) == 0
    assert json.loads((tmp_path / "mine.json").read_text())["params"] == 24_769


def send_ctrl_c(process: subprocess.Popen) -> None:
    """To all of a command's processes, as a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def started(folder: Path, *args: str) -> subprocess.Popen:
    """``hrd train student`` in a process group of its own, its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "hrd", "train", "student", *args],
        cwd=str(folder),
        env={**os.environ, "PYTHONPATH": str(Path(hrd.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen, words: bytes) -> bytes:
    """What it prints up to and with ``words``, or to its end."""
    assert process.stdout is not None
    said = b""
    while not said.endswith(words):
        piece = process.stdout.read(1)
        if not piece:
            break
        said += piece
    return said


@pytest.mark.slow
def test_training_that_is_stopped_saves_and_says_how_to_go_on(tmp_path):
    shards.write_shards(
        tmp_path / "clips", FIRST_TRAINING_SEED, 1, Recipe(frames=256), progress=False
    )
    args = ["--data", "clips", "--clips", "0", "--validation-clips", "0", "--threads", "1"]
    args += ["--batch", "1", "--workers", "2", "--steps", "100000", "--minutes", "3"]
    reached = 0
    # Ctrl-C in a terminal, and a service manager that ends all of a command's processes
    for more, number in (([], signal.SIGINT), (["--resume"], signal.SIGTERM)):
        process = started(tmp_path, *args, *more)
        before = read_until(process, b"loss=")  # the first is shown after 50 steps
        os.killpg(process.pid, number)
        rest, _ = process.communicate(timeout=120)
        said = (before + rest).decode()
        assert process.returncode == 130, said
        assert "Traceback" not in said
        found = re.fullmatch(
            r"hrd: stopped at step (\d+), \d\.\d of 3 minutes, saved in runs/student/last\.pt; the "
            r"same command with --resume goes on from there",
            said.strip().splitlines()[-1],
        )
        assert found, said
        if more:
            assert re.search(rf"going on from step {reached}, \d\.\d of 3 minutes", said)
        assert int(found.group(1)) > reached
        reached = int(found.group(1))
        assert load_checkpoint(tmp_path / "runs/student/last.pt")["step"] == reached


@pytest.mark.slow
def test_ctrl_c_while_drawing_ends_the_workers_quietly(tmp_path):
    process = started(tmp_path, "--clips", "100", "--validation-clips", "0", "--workers", "2")
    read_until(process, b"clip/s")  # the bar is there, the workers are starting
    send_ctrl_c(process)
    rest, _ = process.communicate(timeout=120)
    said = rest.decode()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("hrd: stopped before training; clips drawn")


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
