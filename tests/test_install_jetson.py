"""scripts/install-jetson.sh on a Jetson made of files and stand-ins for the commands it calls."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "install-jetson.sh"

NANO = "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat"
XAVIER = "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue"
ORIN = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed"

# A command that writes down how it was called, and does so much of it that the next step sees it.
RECORD = 'echo "$(basename "$0") $*" >>"$CALLS"\n'
PYTHON = (
    RECORD
    + """
if [ "$1 $2" = "-m venv" ]; then
    for folder in "$@"; do :; done
    mkdir -p "$folder/bin"
    for name in python hrd "$(basename "$0")"; do cp "$STUBS/in-venv" "$folder/bin/$name"; done
fi
"""
)
IN_VENV = (
    RECORD
    + """
case "$*" in
    "-m pip show -q onnxruntime-gpu") [ -e "$STUBS/has-gpu-build" ] ;;
    *onnxruntime_gpu*) touch "$STUBS/has-gpu-build" ;;
    "-c import pycuda, tensorrt") [ -e "$STUBS/has-pycuda" ] ;;
    *-worker.txt) [ ! -e "$STUBS/no-compiler" ] && touch "$STUBS/has-pycuda" ;;
esac
"""
)
APT = (
    RECORD
    + """
for package in "$@"; do
    case $package in -* | install | remove | update) ;; *) touch "$STUBS/apt/$package" ;; esac
done
"""
)
DPKG = 'for package; do :; done\n[ -e "$STUBS/apt/$package" ] && printf installed\n'


@dataclass
class Jetson:
    """``root``: its file system; ``stubs``: its commands."""

    root: Path
    stubs: Path

    def run(self, *options: str, user: str = "ada", **environment: str) -> str:
        """The script's output; raises if it fails."""
        (self.stubs / "calls").write_text("")
        done = self.start(*options, user=user, **environment)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start(
        self, *options: str, user: str = "ada", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        variables: Dict[str, str] = {
            "PATH": f"{self.stubs}:/usr/bin:/bin",
            "HRD_INSTALL_ROOT": str(self.root),
            "CALLS": str(self.stubs / "calls"),
            "STUBS": str(self.stubs),
            "SUDO_USER": user,
            **environment,
        }
        return subprocess.run(
            [str(SCRIPT), *options],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def calls(self) -> List[str]:
        return (self.stubs / "calls").read_text().splitlines()

    def files(self) -> List[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


def make(tmp_path: Path, release: str, cuda: bool = True) -> Jetson:
    root, stubs = tmp_path / "root", tmp_path / "stubs"
    for folder in ("etc", "usr/local/bin", "usr/bin", "var/cache"):
        (root / folder).mkdir(parents=True)
    (stubs / "apt").mkdir(parents=True)
    (root / "etc/nv_tegra_release").write_text(release + "\n")
    if cuda:
        (root / "usr/local/cuda/include").mkdir(parents=True)
        (root / "usr/local/cuda/include/cuda.h").touch()
    commands = {
        "python3.8": PYTHON,
        "python3.10": PYTHON,
        "python3-of-the-system": PYTHON,
        "in-venv": IN_VENV,
        "apt-get": APT,
        "dpkg-query": DPKG,
        "usermod": RECORD + 'touch "$STUBS/group-$2"\n',
        "gpasswd": RECORD,
        "chown": RECORD,
        "getent": "true\n",
        "id": '[ "$1" = -nG ] || { echo 0; exit; }\necho "$2" users '
        '$(cd "$STUBS" && ls -d group-* 2>/dev/null | sed s/group-//)\n',
    }
    for name, body in commands.items():
        path = stubs / name
        path.write_text(f"#!/bin/bash\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (stubs / "calls").touch()
    return Jetson(root, stubs)


@pytest.fixture
def nano(tmp_path: Path) -> Jetson:
    return make(tmp_path, NANO)


@pytest.fixture
def system_python() -> Dict[str, str]:
    return {"HRD_SYSTEM_PYTHON": "python3-of-the-system"}


def test_a_nano_gets_everything_in_order(nano: Jetson, system_python: Dict[str, str]) -> None:
    output = nano.run(**system_python)
    assert "L4T 32.7.1, JetPack 4.6: hrd on 3.8 in /opt/hrd" in output
    calls = nano.calls
    wanted = [
        "apt-get update",
        "apt-get install",
        "python3.8 -m venv",
        "jetpack4-cp38-aarch64.txt",
        "-m pip check",
        "python3-of-the-system -m venv --system-site-packages",
        "jetpack4-worker.txt",
        "hrd service install --no-start",
        "usermod -aG video ada",
        "usermod -aG hrd ada",
        "hrd build-engine",
        "chown -R hrd:hrd",
        "hrd service install",
        "hrd doctor",
    ]
    position = 0
    for text in wanted:
        found = [i for i in range(position, len(calls)) if text in calls[i]]
        assert found, f"{text} not after call {position} of {calls}"
        position = found[0] + 1
    installed = next(call for call in calls if call.startswith("apt-get install"))
    assert "python3.8 python3.8-venv" in installed
    assert os.readlink(nano.root / "usr/local/bin/hrd") == "/opt/hrd/bin/hrd"


def test_an_orin_gets_its_own_python_and_versions(
    tmp_path: Path, system_python: Dict[str, str]
) -> None:
    orin = make(tmp_path, ORIN)
    assert "L4T 36.4.3, JetPack 6: hrd on 3.10" in orin.run(**system_python)
    text = "\n".join(orin.calls)
    assert "python3.10 -m venv" in text
    assert "jetpack6-cp310-aarch64.txt" in text
    assert "jetpack6-worker.txt" in text
    assert "jetpack4" not in text


def test_jetpack_5_has_one_python_for_both(tmp_path: Path, system_python: Dict[str, str]) -> None:
    xavier = make(tmp_path, XAVIER)
    assert "L4T 35.4.1, JetPack 5: hrd on 3.8 in /opt/hrd" in xavier.run(**system_python)
    text = "\n".join(xavier.calls)
    assert "python3.8 -m venv" in text
    assert "jetpack4-cp38-aarch64.txt" in text
    assert "jetpack5-worker.txt" in text


def test_a_full_disk_is_said_before_anything_happens(nano: Jetson) -> None:
    program = nano.stubs / "df"
    program.write_text("#!/bin/sh\necho Filesystem\necho /dev/mmcblk0p1 14000 13100 900 94% /\n")
    program.chmod(0o755)
    done = nano.start()
    assert done.returncode == 1
    assert "900 MB are free where /opt is, and 1200 are needed" in done.stdout
    assert nano.calls == []


QUERIES = ("-m pip show", "-c import")
"""What the script asks and changes nothing by."""


def shown(output: str) -> List[str]:
    """The commands that a dry run prints, as the stand-ins write them down."""
    found = []
    for line in output.splitlines():
        _, mark, command = line.partition("would run: ")
        words = shlex.split(command)
        if words[:1] == ["env"]:
            words = [word for word in words[1:] if "=" not in word.split("/")[0]]
        if mark and words:
            found.append(" ".join([os.path.basename(words[0]), *words[1:]]))
    return found


@pytest.mark.parametrize("options", [[], ["--no-tensorrt"], ["--no-service"], ["--gpu-build"]])
@pytest.mark.parametrize("release", ["NANO", "XAVIER", "ORIN"])
@pytest.mark.parametrize("state", ["fresh", "again", "no-cuda", "uninstall", "purge"])
def test_a_dry_run_shows_what_a_run_does(
    tmp_path: Path, system_python: Dict[str, str], options: List[str], release: str, state: str
) -> None:
    """The commands of the one are the commands of the other, in this order."""
    jetson = make(tmp_path, globals()[release], cuda=state != "no-cuda")
    if options == ["--gpu-build"]:
        wheel = tmp_path / "onnxruntime_gpu-1.16.0-cp38-cp38-linux_aarch64.whl"
        wheel.touch()
        options = ["--onnxruntime-gpu", str(wheel)]
    if state in ("again", "uninstall", "purge"):
        jetson.run(*options, **system_python)
    if state in ("uninstall", "purge"):
        options = ["--uninstall"] + (["--purge"] if state == "purge" else [])
    dry = shown(jetson.run("--dry-run", *options, **system_python))
    jetson.run(*options, **system_python)
    done = [call for call in jetson.calls if not any(query in call for query in QUERIES)]
    assert done
    real = {"mkdir", "ln", "rm"}  # not stand-ins, so not written down
    assert [command for command in dry if command.split()[0] not in real] == done


def test_running_it_again_installs_and_compiles_nothing_twice(
    nano: Jetson, system_python: Dict[str, str]
) -> None:
    nano.run(**system_python)
    before = nano.files()
    output = nano.run(**system_python)
    assert nano.files() == before
    text = "\n".join(nano.calls)
    assert "apt-get" not in text
    assert "-m venv" not in text
    assert "worker.txt" not in text
    assert "usermod" not in text
    assert "system packages: all here" in output
    assert "ada is in video" in output


def test_a_dry_run_changes_nothing(nano: Jetson, system_python: Dict[str, str]) -> None:
    before = nano.files()
    output = nano.run("--dry-run", **system_python)
    assert nano.files() == before
    assert nano.calls == []
    for text in ("apt-get install", "-m venv", "service install", "build-engine", "bin/hrd doctor"):
        assert "would run" in next(line for line in output.splitlines() if text in line)


def test_uninstalling_leaves_what_was_there_before(
    nano: Jetson, system_python: Dict[str, str]
) -> None:
    (nano.stubs / "apt/v4l-utils").touch()
    before = nano.files()
    nano.run(**system_python)
    assert nano.files() != before
    output = nano.run("--uninstall", **system_python)
    assert "hrd service uninstall" in nano.calls[0]
    assert nano.files() == sorted([*before, "opt", "var/cache/hrd"])
    kept = next(line for line in output.splitlines() if "kept:" in line)
    assert "python3.8-venv" in kept
    assert "v4l-utils" not in kept
    assert "not installed" in nano.run("--uninstall", **system_python)  # twice does no harm


def test_purging_removes_only_the_packages_that_it_installed(
    nano: Jetson, system_python: Dict[str, str]
) -> None:
    (nano.stubs / "apt/v4l-utils").touch()
    nano.run(**system_python)
    nano.run("--uninstall", "--purge", **system_python)
    removed = next(call for call in nano.calls if call.startswith("apt-get remove"))
    assert "python3.8-venv" in removed
    assert "v4l-utils" not in removed
    assert any("service uninstall --purge" in call for call in nano.calls)
    assert "gpasswd -d ada hrd" in nano.calls


def test_without_cuda_the_gpu_is_left_out_and_it_says_why(
    tmp_path: Path, system_python: Dict[str, str]
) -> None:
    jetson = make(tmp_path, NANO, cuda=False)
    output = jetson.run(**system_python)
    assert "no CUDA in /usr/local/cuda" in output
    assert "build-engine" not in "\n".join(jetson.calls)


def test_pycuda_that_cannot_be_built_does_not_end_the_installation(
    nano: Jetson, system_python: Dict[str, str]
) -> None:
    (nano.stubs / "no-compiler").touch()
    output = nano.run(**system_python)
    assert "PyCUDA could not be built" in output
    assert "done." in output


def test_nvidias_onnx_runtime_takes_the_place_of_the_cpus_and_keeps_it(
    nano: Jetson, tmp_path: Path, system_python: Dict[str, str]
) -> None:
    wheel = tmp_path / "onnxruntime_gpu-1.16.0-cp38-cp38-linux_aarch64.whl"
    wheel.touch()
    nano.run("--onnxruntime-gpu", str(wheel), **system_python)
    text = "\n".join(nano.calls)
    assert text.index("pip uninstall -q -y onnxruntime") < text.index(str(wheel))
    assert "[cpu" not in text
    nano.run(**system_python)
    assert "[cpu" not in "\n".join(nano.calls)
    assert "[metrics]" in "\n".join(nano.calls)


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("# R32 (release), REVISION: 4.4, GCID: 1", "older than JetPack 4.6"),
        ("# R34 (release), REVISION: 1.1, GCID: 1", "is none of JetPack 4.6.x"),
        ("something else", "names no L4T release"),
    ],
)
def test_other_releases_are_refused_in_a_sentence(tmp_path: Path, release: str, said: str) -> None:
    jetson = make(tmp_path, release)
    done = jetson.start()
    assert done.returncode == 1
    assert said in done.stdout
    assert jetson.calls == []


def test_a_machine_that_is_no_jetson_is_told_what_to_do(nano: Jetson) -> None:
    (nano.root / "etc/nv_tegra_release").unlink()
    done = nano.start()
    assert done.returncode == 1
    assert "not a Jetson" in done.stdout
    assert "make install" in done.stdout


def test_bad_usage_is_refused_before_anything_happens(nano: Jetson) -> None:
    for options in (["--nonsense"], ["--wheel"], ["--wheel", "/nowhere.whl"], ["--purge"]):
        done = nano.start(*options)
        assert done.returncode == 1, options
    assert nano.calls == []
