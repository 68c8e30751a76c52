"""The command line as a user meets it: exit codes, one plain sentence, nothing left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from hrd.cli.main import main
from hrd.engine.card import models_dir


def fails(capsys: pytest.CaptureFixture[str], argv: List[str], code: int = 1) -> str:
    """Run; check the exit code and that one sentence and no traceback was said; return it."""
    assert main(argv) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("hrd: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert not out
    return lines[0]


def video(path: Path, frames: int, **options: object) -> Path:
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            picture = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), i % 255, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("command", ["measure", "bench"])
def test_files_that_are_no_video(capsys, tmp_path: Path, command: str) -> None:
    argv = [command] if command == "measure" else [command, "--seconds", "0.1", "--source"]
    text = tmp_path / "text.mp4"
    text.write_text("this is no film\n" * 100)
    assert "text.mp4" in fails(capsys, [*argv, str(text)])
    assert "absent.mp4" in fails(capsys, [*argv, str(tmp_path / "absent.mp4")])
    assert str(tmp_path) in fails(capsys, [*argv, str(tmp_path)])
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty.mp4" in fails(capsys, [*argv, str(empty)])


def test_truncated_and_frameless_video(capsys, tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mp4", 60).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cut.mp4" in fails(capsys, ["measure", str(cut)])
    frameless = video(tmp_path / "frameless.avi", 0)
    assert "frameless.avi" in fails(capsys, ["measure", str(frameless)])


def test_one_bad_file_does_not_stop_the_others(capsys, tmp_path: Path) -> None:
    good = video(tmp_path / "good.mp4", 30)
    assert main(["measure", "--json", str(tmp_path / "absent.mp4"), str(good)]) == 1
    out, err = capsys.readouterr()
    refusal, result = map(json.loads, out.splitlines())
    assert refusal["file"] == str(tmp_path / "absent.mp4")
    assert f"hrd: {refusal['error']}\n" in err
    assert result["file"] == str(good)
    assert "bpm" not in result
    assert {reading["state"] for reading in result["readings"]} == {"no_face"}
    assert err.count("hrd: ") == 1


def test_sources_that_are_not_there(capsys, tmp_path: Path) -> None:
    run = ["run", "--socket", str(tmp_path / "hrd.sock"), "--engine", "pos", "--source"]
    assert "/dev/video97" in fails(capsys, [*run, "/dev/video97"])
    assert str(tmp_path) in fails(capsys, [*run, str(tmp_path)])
    assert "bmp" in fails(capsys, [*run, "sim:bmp=72"])
    assert list(tmp_path.iterdir()) == []


def test_models_that_cannot_be_used(capsys, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(models_dir().joinpath("student.onnx").read_bytes()[:1000])
    assert "broken.onnx" in fails(capsys, ["measure", "--model", str(broken), "x.mp4"])
    socket_path = tmp_path / "hrd.sock"
    argv = ["run", "--source", "sim:", "--socket", str(socket_path), "--model", str(broken)]
    assert "broken.onnx" in fails(capsys, argv)
    assert not socket_path.exists()


def test_sockets_that_cannot_be_had(capsys, tmp_path: Path) -> None:
    run = ["run", "--engine", "pos", "--source", "sim:", "--socket"]
    taken = tmp_path / "taken.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(taken))
        other.listen()
        assert "taken.sock" in fails(capsys, [*run, str(taken)])
        assert taken.is_socket()
    file = tmp_path / "file"
    file.write_text("precious")
    assert "file" in fails(capsys, [*run, str(file)])
    assert file.read_text() == "precious"
    assert "/proc" in fails(capsys, [*run, "/proc/no/hrd.sock"])


def test_bad_usage_is_2(capsys, tmp_path: Path) -> None:
    config = tmp_path / "hrd.toml"
    config.write_text("[engine]\nspeed = 11\n")
    assert "engine.speed" in fails(capsys, ["config", "--config", str(config)], code=2)
    assert "--seconds" in fails(capsys, ["bench", "--seconds", "-1"], code=2)
    assert main([]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["measure"])
    assert caught.value.code == 2


def test_config_prints_what_is_in_force(capsys, tmp_path: Path) -> None:
    assert main(["config", "--engine", "pos"]) == 0
    printed = capsys.readouterr().out
    assert 'name = "pos"' in printed
    path = tmp_path / "hrd.toml"
    path.write_text(printed)
    assert main(["config", "--bare", "--config", str(path)]) == 0
    bare = capsys.readouterr().out
    assert "#" not in bare
    assert main(["config", "--bare", "--engine", "pos"]) == 0
    assert capsys.readouterr().out == bare


def test_config_says_where_each_value_came_from(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text("[engine]\nthreads = 2\nname = 'onnx'\n")
    assert main(["config", "--config", "my.toml", "--engine", "pos", "--source", "x.mp4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {
        line.split(" = ")[0]: lines[at - 1]
        for at, line in enumerate(lines)
        if not line.startswith("#") and " = " in line
    }
    assert said["threads"] == "# allowed: 1 to 64; default: 1; set by: my.toml"
    assert said["name"].endswith('default: "auto"; set by: command line')
    assert said["spec"].endswith('default: "auto"; set by: command line')
    assert said["model"] == '# default: "student"'
    assert said["deadline_s"] == "# unit: s; allowed: 0.05 to 1.5; default: 1.0"


def test_doctor_finds_this_machine_fit(capsys, tmp_path: Path) -> None:
    code = main(["doctor", "--json", "--socket", str(tmp_path / "hrd.sock")])
    findings = json.loads(capsys.readouterr().out)
    by_topic = {finding["topic"]: finding for finding in findings}
    assert code == 0, findings
    assert by_topic["opencv"]["verdict"] == "ok"
    assert by_topic["engine"]["verdict"] == "ok"
    assert all("remedy" in finding for finding in findings if finding["verdict"] == "warn")


def test_doctor_fails_where_run_would(capsys) -> None:
    assert main(["doctor", "--json", "--socket", "/proc/no/hrd.sock"]) == 1
    findings = json.loads(capsys.readouterr().out)
    failed = [finding for finding in findings if finding["verdict"] == "fail"]
    assert [finding["topic"] for finding in failed] == ["socket"]
    assert "--socket" in failed[0]["remedy"]


def test_help_of_every_command(capsys) -> None:
    for command in (
        "run",
        "watch",
        "measure",
        "bench",
        "doctor",
        "config",
        "service",
        "simulate",
        "train",
        "export",
        "eval",
    ):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert len(capsys.readouterr().out) > 200


_LOADED = """
import sys
import hrd.cli.main, hrd.pipeline, hrd.service.serve, hrd.measure, hrd.bench.live, hrd.doctor
import hrd.engine.onnx, hrd.engine.pos, hrd.capture.video, hrd.capture.simulated, hrd.simulate
bad = {"torch", "matplotlib", "mediapipe", "onnxruntime", "h5py"} & set(sys.modules)
bad |= {name for name in sys.modules if name.startswith("hrd.train")}
from hrd.face.blazeface import BlazeFaceDetector
BlazeFaceDetector().close()
bad |= {"torch", "matplotlib", "mediapipe"} & set(sys.modules)
sys.exit(f"the runtime imports {bad}" if bad else 0)
"""


def test_the_runtime_imports_neither_torch_nor_matplotlib_nor_training() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


_THREADS = """
import os
import hrd.cli.main
import numpy as np
a = np.ones((300, 300))
a @ a
print(len(os.listdir("/proc/self/task")))
"""


def test_the_command_line_starts_no_pool_of_blas_threads() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "1\n", done.stderr
