"""scripts/install.sh: the Python it takes, what it says where none will do, what it leaves out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "install.sh"
DEBIAN_13 = 'ID=debian\nVERSION_ID="13"\n'
UBUNTU = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="26.04"\n'
FEDORA = "ID=fedora\nVERSION_ID=43\n"
ARCH = "ID=arch\n"


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def a_python(folder: Path, name: str, version: str, venv: bool = True) -> None:
    """A stand-in that knows its version, whether it has venv, and refuses to do more."""
    program(
        folder,
        name,
        f'case "$2" in *version_info*) echo {version};; *ensurepip*) exit {0 if venv else 1};;'
        f' *) echo "$0 $*" >> {folder}/used; exit 9;; esac',
    )


def install(
    folder: Path, release: str, packaged: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The script as a user of a system that has what is in ``folder``, and ``packaged`` in apt."""
    for name in ("bash", "dirname", "sort", "head", "grep", "cut", "uname", "cat", "sed"):
        there = shutil.which(name)
        assert there is not None
        (folder / name).symlink_to(there)
    program(folder, "id", "echo 1000")
    if "debian" in release:
        program(folder, "apt-get", "exit 99")
        program(folder, "apt-cache", f'case " {packaged} " in *" $2 "*) exit 0;; esac; exit 1')
    (folder / "os-release").write_text(release)
    return subprocess.run(
        [str(folder / "bash"), str(SCRIPT), str(folder / "venv")],
        capture_output=True,
        text=True,
        env={"PATH": str(folder), "OS_RELEASE": str(folder / "os-release"), **environment},
    )


@pytest.mark.parametrize(
    ("release", "packaged", "remedy"),
    [
        (
            DEBIAN_13,
            "python3.13-venv",
            "sudo apt-get install -y python3.13-venv  and then  make install PYTHON=python3.13",
        ),
        (UBUNTU, "python3.14-venv", "use the container (docker/Dockerfile.cpu), or install one"),
        (
            FEDORA,
            "",
            "sudo dnf install -y python3.12  and then  make install PYTHON=python3.12",
        ),
        (ARCH, "", "use the container (docker/Dockerfile.cpu), or install one"),
    ],
)
@pytest.mark.parametrize("version", ["3.14", "3.7"])
def test_where_no_python_will_do_it_says_what_to_do(
    tmp_path: Path, release: str, packaged: str, remedy: str, version: str
) -> None:
    a_python(tmp_path, "python3", version)
    done = install(tmp_path, release, packaged)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"install: here is Python {version}; hrd needs Python 3.8 to 3.13"
    )
    assert remedy in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("release", "remedy"),
    [
        (DEBIAN_13, "the system lacks python3 python3-venv: run  sudo apt-get install -y python3"),
        (FEDORA, "there is no Python here; hrd needs Python 3.8 to 3.13: run  sudo dnf install"),
    ],
)
def test_a_system_without_a_python(tmp_path: Path, release: str, remedy: str) -> None:
    done = install(tmp_path, release)
    assert done.returncode == 1
    assert done.stderr.startswith(f"install: {remedy}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("release", "name", "version"),
    [
        (DEBIAN_13, "python3", "3.13"),
        (UBUNTU, "python3.12", "3.12"),
        (FEDORA, "python3.13", "3.13"),
    ],
)
def test_the_python_of_todays_distributions_is_taken(
    tmp_path: Path, release: str, name: str, version: str
) -> None:
    a_python(tmp_path, "python3", version)
    a_python(tmp_path, name, version)
    done = install(tmp_path, release)
    assert done.stdout == f"install: {tmp_path}/venv with Python {version}\n"
    used = (tmp_path / "used").read_text()
    assert used == f"{tmp_path}/{name} -m venv --clear {tmp_path}/venv\n"


def test_on_debian_a_python_without_venv_names_its_package(tmp_path: Path) -> None:
    a_python(tmp_path, "python3.12", "3.12", venv=False)
    done = install(tmp_path, UBUNTU)
    assert done.stderr == (
        "install: the system lacks python3.12-venv: run  sudo apt-get install -y python3.12-venv"
        "  and try again\n"
    )


def test_another_python_than_the_environments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    program(
        tmp_path / "venv" / "bin",
        "python",
        'case "$*" in *version_info*) echo 3.11;; *pip*--version*) ;; *) exit 9;; esac',
    )
    a_python(tmp_path, "python3.9", "3.9")
    done = install(tmp_path, DEBIAN_13, PYTHON="python3.9")
    assert done.returncode == 1
    assert done.stderr == (
        f"install: {tmp_path}/venv was made with Python 3.11: make clean, and then again with "
        "PYTHON=python3.9\n"
    )


def test_what_is_left_out_is_never_loaded(tmp_path: Path) -> None:
    (names,) = re.findall(r'^NEVER_LOADED="(.*)"$', SCRIPT.read_text(), re.MULTILINE)
    blocked = ["google" if name == "protobuf" else name for name in names.split()]
    assert "sympy" in blocked
    script = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Missing())
import argcomplete, tqdm, prometheus_client
from hrd.cli.main import main
sys.exit(main(["measure", "--json", "--engine", "onnx", "sim:bpm=72,seconds=8,size=320x240"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["bpm"] == pytest.approx(72, abs=2)


def test_run_and_install_need_the_runtime_only(tmp_path: Path) -> None:
    """What make would do, in a checkout without an environment."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")

    def steps(target: str) -> str:
        command = [make, "-n", target, f"VENV={tmp_path}/venv"]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout

    for target in ("install", "run"):
        assert f"scripts/install.sh {tmp_path}/venv runtime" in steps(target)
        assert "development" not in steps(target)
    for target in ("test", "check", "lint", "types", "install-dev", "soak"):
        assert f"scripts/install.sh {tmp_path}/venv development" in steps(target)
    assert os.listdir(tmp_path) == []
