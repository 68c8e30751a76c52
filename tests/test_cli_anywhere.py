"""The command line where things are not as usual: streams closed or full, no home, no libGL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from hrd import protocol
from hrd.cli.main import main
from hrd.missing import sentence
from hrd.service.server import SocketServer
from tests.needs import needs
from tests.socket_help import hr, short_directory

ROOT = Path(__file__).parent.parent


def hrd(command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A shell's command line, with ``hrd`` for this checkout's."""
    environment = {**os.environ, "PYTHON": sys.executable, **options.pop("env", {})}
    script = f'hrd() {{ "$PYTHON" -m hrd "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script], cwd=str(ROOT), capture_output=True, env=environment, **options
    )


# Streams.


@pytest.mark.parametrize(
    "command", ["config", "--help", "help sources", "--version", "completion bash"]
)
def test_a_full_or_closed_output_is_one_sentence(command: str) -> None:
    if command.startswith("completion"):
        needs("argcomplete")
    full = hrd(f"hrd {command} >/dev/full")
    assert (full.returncode, full.stderr) == (
        1,
        b"hrd: the output cannot be written (No space left on device).\n",
    )
    closed = hrd(f"hrd {command} >&-")
    assert (closed.returncode, closed.stderr) == (
        1,
        b"hrd: the output cannot be written (Bad file descriptor).\n",
    )


@pytest.mark.parametrize("flags", ["", "--json"])
def test_watch_without_an_output(flags: str) -> None:
    with short_directory() as folder, SocketServer(f"{folder}/hrd.sock", "1.2.3") as server:
        server.publish(hr(1))
        for output, reason in ((">&-", b"Bad file descriptor"), (">/dev/full", b"No space left")):
            done = hrd(f"hrd watch {flags} --socket {folder}/hrd.sock {output}")
            assert done.returncode == 1
            assert done.stderr.startswith(b"hrd: the output cannot be written (" + reason)
            assert done.stderr.count(b"\n") == 1


def test_nobody_reads_the_end_of_the_output() -> None:
    done = hrd("set -o pipefail; hrd config | head -n 1")
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_that_nobody_can_be_told_keeps_its_exit_code() -> None:
    for output in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        assert hrd(f"hrd config --config /no/such.toml {output}").returncode == 2
        assert hrd(f"hrd watch --socket /no/such.sock {output}").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("output", ["2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_the_daemon_runs_without_streams(output: str, tmp_path: Path) -> None:
    source = "sim:seconds=0.5,size=160x120"
    done = hrd(
        f"hrd run --source {source} --engine pos"
        f" --socket {tmp_path}/s {output}; code=$?; ls {tmp_path}; exit $code"
    )
    assert (done.returncode, done.stdout) == (0, b"")


# Names and encodings.


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_name_of_any_bytes_is_printed_legibly(tmp_path: Path, locale: str, utf8: str) -> None:
    env = {"LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": utf8}
    name = b"h\xe9.mp4"
    Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"no film")
    done = hrd(f"cd {tmp_path}; PYTHONPATH={ROOT}:$PYTHONPATH hrd measure *.mp4", env=env)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith(b"hrd: ")]
    assert len(lines) == 1
    assert b"h\\xe9.mp4" in lines[0]
    assert b"Traceback" not in done.stderr


def test_a_readings_heart_in_a_locale_without_one() -> None:
    with short_directory() as folder, SocketServer(f"{folder}/hrd.sock", "1.2.3") as server:
        server.publish({**hr(1), "note": "♥"})
        env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = hrd(f"hrd watch --json --count 1 --socket {folder}/hrd.sock", env=env)
    assert (done.returncode, done.stdout) == (0, protocol.encode({**hr(1), "note": "♥"}))


# Places.


def test_no_home() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    # a user who is in no list, as in a container that is run under a number
    code = """
import pwd, sys
def getpwuid(uid):
    raise KeyError(uid)
pwd.getpwuid = getpwuid
from hrd.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    for argv in (
        ["measure", "--model", "~/x.onnx", "x.mp4"],
        ["run", "--source", "sim:", "--model", "~/x.onnx", "--socket", "/tmp/hrd-none/s"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv],
            cwd=str(ROOT),
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("hrd: ~/x.onnx begins with a home directory")
        assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written() -> None:
    done = hrd("hrd simulate /proc/faces --subjects 1 --seconds 1")
    assert done.returncode == 1
    assert done.stderr.startswith(b"hrd: /proc/faces")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/etc/x"), "hrd: /etc/x: Permission denied\n"),
        (OSError(28, "No space left on device"), "hrd: No space left on device\n"),
    ],
)
def test_what_no_command_has_foreseen_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    def run(args: object) -> int:
        raise error

    monkeypatch.setattr("hrd.cli.config.run", run)
    assert main(["config"]) == 1
    assert capsys.readouterr() == ("", said)


# Libraries.


@pytest.fixture
def without_libgl(tmp_path: Path) -> Dict[str, str]:
    """An OpenCV as it fails where the system lacks libGL."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path}


def test_no_command_needs_libgl(without_libgl: Dict[str, str]) -> None:
    done = hrd("hrd measure x.mp4", env=without_libgl)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        b"",
        b"hrd: There is no file x.mp4: check the name.\n",
    )
    for command in ("--help", "config", "doctor --source sim: --socket /tmp/hrd-none.sock"):
        assert hrd(f"hrd {command}", env=without_libgl).returncode == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch.nn"),
            "pip install 'hrd[train]'",
        ),
        (ModuleNotFoundError("No module named 'av'", name="av"), "package av is missing"),
        (ImportError("libfoo.so.7: cannot open shared object file: No such"), "apt-file search"),
        (ImportError("DLL load failed"), "(DLL load failed): install hrd again"),
    ],
)
def test_what_is_missing_is_named(error: ImportError, said: str) -> None:
    assert said in sentence(error)
