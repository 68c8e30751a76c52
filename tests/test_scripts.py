"""Long tests on a fresh machine: they install what they need, or say why they prove nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def need(folder: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    """``need`` of scripts/debian.sh, on a machine that has only what is in ``folder``."""
    script = f'source "{ROOT}/scripts/debian.sh"; need {" ".join(wanted)}'
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, env={"PATH": str(folder)}
    )


def test_root_on_a_debian_installs_what_is_missing(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "there", "")
    log, made = tmp_path / "log", tmp_path / "wanted-tool"
    program(
        tmp_path,
        "apt-get",
        f'echo "$@" >> {log}; [ "$1" = update ] || {{ echo "#!/bin/sh" > {made}; '
        f"{shutil.which('chmod')} +x {made}; }}",
    )
    done = need(tmp_path, "there", "there-package", "wanted-tool", "its-package")
    assert (done.returncode, done.stdout) == (0, "")
    assert log.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends its-package",
    ]
    assert need(tmp_path, "wanted-tool", "its-package").stderr == ""  # nothing left to do


@pytest.mark.parametrize("user", ["0", "1000"])
def test_where_it_cannot_be_installed_one_sentence_names_the_package(
    tmp_path: Path, user: str
) -> None:
    program(tmp_path, "id", f"echo {user}")
    if user == "1000":
        program(tmp_path, "apt-get", "exit 99")
    done = need(tmp_path, "no-such-tool", "its-package")
    assert (done.returncode, done.stdout) == (
        1,
        "no-such-tool is missing (apt-get install its-package)\n",
    )


@pytest.mark.parametrize("script", ["test-aarch64.sh", "test-docker.sh"])
def test_what_proves_nothing_exits_with_77(tmp_path: Path, script: str) -> None:
    program(tmp_path, "id", "echo 1000")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 77
    assert "nothing was proved: needs root" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [("pytest.skip('no tool')", 77), ("pass", 0), ("assert False", 1)],
)
def test_a_long_run_that_skipped_everything_exits_with_77(
    tmp_path: Path, body: str, code: int
) -> None:
    shutil.copy(ROOT / "tests" / "long" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(f"import pytest\n\ndef test_it():\n    {body}\n")
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    assert subprocess.run(pytest_, capture_output=True, cwd=str(tmp_path)).returncode == code


def make_run(folder: Path, source: str, count: str = "") -> subprocess.CompletedProcess[str]:
    """scripts/run.sh, as ``make run`` calls it."""
    program(folder, "hrd", f'exec "{sys.executable}" -m hrd "$@"')
    script = ["bash", str(ROOT / "scripts" / "run.sh"), str(folder), source, count]
    return subprocess.run(
        [*script, "--engine", "pos"],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


@pytest.mark.slow
def test_a_file_played_to_its_end_is_summed_up_and_no_failure(tmp_path: Path) -> None:
    done = make_run(tmp_path, "sim:kind=wall,seconds=4,size=160x120")
    assert (done.returncode, done.stderr) == (0, "")
    *readings, summary = done.stdout.splitlines()
    assert all("no bpm: no face, nobody to be seen" in line for line in readings)
    assert summary == f"{len(readings)} readings, 0 with a bpm"
    assert not list(tmp_path.glob("hrd-*"))  # nothing is left behind


@pytest.mark.slow
def test_a_drawn_face_is_announced_before_the_first_reading(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program(tmp_path, "hrd", f'exec "{sys.executable}" -m hrd "$@"')
    script = f'"{ROOT}/scripts/run.sh" "{tmp_path}" auto 1 >"{log}" 2>&1'
    assert subprocess.run(["bash", "-c", script], cwd=str(ROOT)).returncode == 0
    first, *readings, summary = log.read_text().splitlines()
    if list(Path("/dev").glob("video*")):
        return  # a machine with a camera announces nothing
    assert "no camera found: using the SIMULATED one" in first
    assert "bpm" in readings[-1]
    assert "1 with a bpm" in summary


def test_a_bad_source_is_one_sentence_and_nothing_else(tmp_path: Path) -> None:
    done = make_run(tmp_path, "/no/such/film.mp4")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hrd: There is no file /no/such/film.mp4")
    assert done.stderr.count("\n") == 1


def test_an_outer_makes_settings_are_not_for_the_inner_one(tmp_path: Path) -> None:
    """``make test-install ARGS=3.9`` once gave 3.9 to ``hrd run`` as well."""
    lines = (ROOT / "scripts" / "test-install.sh").read_text().splitlines()
    (unset,) = [line for line in lines if line.startswith("unset ")]
    (tmp_path / "inner.mk").write_text("show: ; @echo args=$(ARGS)\n")
    inner = f"{unset}; make --no-print-directory -f {tmp_path}/inner.mk show"
    (tmp_path / "outer.mk").write_text(f"show: ; @bash -c '{inner}'\n")
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", str(tmp_path / "outer.mk"), "show", "ARGS=3.9"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "args=\n")
