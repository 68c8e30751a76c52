"""What pyproject.toml, the constraints, the images and the example configuration promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List

import pytest

from hrd.config import Config, load_config
from tests.needs import needs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

packaging_requirements = needs("packaging.requirements")

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    "jetpack4-cp38-aarch64": ("3.8", "aarch64"),
    "jetpack6-cp310-aarch64": ("3.10", "aarch64"),
    "aarch64-cp311": ("3.11", "aarch64"),
    "x86-64-cp38": ("3.8", "x86_64"),
    "x86-64-cp39": ("3.9", "x86_64"),
    "x86-64-cp310": ("3.10", "x86_64"),
    "x86-64-cp311": ("3.11", "x86_64"),
    "aarch64-cp312": ("3.12", "aarch64"),
    "x86-64-cp312": ("3.12", "x86_64"),
    "x86-64-cp313": ("3.13", "x86_64"),
}


def project() -> Dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> Dict[str, str]:
    lines = (ROOT / "constraints" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split("#")[0].strip() for line in lines]
    return {canonical(k): v for k, v in (line.split("==") for line in wanted if line)}


def requirements(extras: List[str], python: str, machine: str) -> List[Any]:
    """What the project needs on a machine."""
    data = project()
    texts = list(data["dependencies"])
    for extra in extras:
        texts += data["optional-dependencies"][extra]
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "extra": "",
    }
    parsed = [packaging_requirements.Requirement(text) for text in texts]
    return [r for r in parsed if r.marker is None or r.marker.evaluate(environment)]


@pytest.mark.parametrize("target", TARGETS)
def test_every_runtime_dependency_is_pinned_within_its_bounds(target: str) -> None:
    pinned = pins(target)
    for requirement in requirements(["cpu", "metrics"], *TARGETS[target]):
        version = pinned.get(canonical(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints/{target}.txt"
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def test_there_is_a_constraints_file_for_each_target_and_no_other() -> None:
    names = {path.stem for path in (ROOT / "constraints").glob("*.txt")}
    assert names == set(TARGETS) | {"jetpack4-worker", "jetpack5-worker", "jetpack6-worker"}
    script = (ROOT / "scripts" / "targets.sh").read_text(encoding="utf-8")
    assert set(re.findall(r'^    "([^|"]+)\|', script, re.MULTILINE)) == set(TARGETS)


@pytest.mark.parametrize("python", ["3.8", "3.9", "3.10", "3.11"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_gpu_extra_never_brings_both_builds_of_onnx_runtime(python: str, machine: str) -> None:
    for extra, expected in (("cpu", ["onnxruntime"]), ("gpu", ["onnxruntime-gpu"])):
        names = [canonical(r.name) for r in requirements([extra], python, machine)]
        found = [name for name in names if name.startswith("onnxruntime")]
        # the index has no onnxruntime-gpu for a Jetson: there NVIDIA's wheel is named by file
        assert found == ([] if extra == "gpu" and machine == "aarch64" else expected)


def test_no_extra_but_cpu_and_gpu_names_onnx_runtime() -> None:
    for name, texts in project()["optional-dependencies"].items():
        if name in ("cpu", "gpu"):
            continue
        for text in texts:
            assert not text.startswith("onnxruntime"), (name, text)


def test_numpy_that_crashes_on_a_nano_is_not_the_workers() -> None:
    assert pins("jetpack4-worker")["numpy"] == "1.19.4"


def test_the_example_configuration_is_valid_and_says_the_defaults() -> None:
    assert load_config(ROOT / "systemd" / "hrd.toml") == Config()


@pytest.mark.slow
def test_the_wheel_contains_models_unit_and_configuration(tmp_path: Path) -> None:
    needs("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = tmp_path.glob("hrd-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "hrd/models/student.onnx",
        "hrd/models/student.json",
        "hrd/models/teacher.onnx",
        "hrd/systemd/hrd.service",
        "hrd/systemd/hrd.toml",
        "hrd/systemd/hrd-web.service",
        "hrd/web/static/index.html",
        "hrd/web/static/flow.js",
        "hrd/engine/worker/__main__.py",
        "hrd/estimate/confidence.json",
        "hrd/protocol.schema.json",
        "hrd/py.typed",
    ):
        assert name in names, name
    assert not [name for name in names if name.startswith(("tests/", "runs/"))]


@pytest.mark.parametrize("image", ["cpu", "jetpack4", "jetpack6"])
def test_images_are_multi_stage_pinned_unprivileged_and_watched(image: str) -> None:
    text = (ROOT / "docker" / f"Dockerfile.{image}").read_text(encoding="utf-8")
    bases = re.findall(r"^ARG (?:BASE|DEVEL)=\S+:(\S+)$", text, re.MULTILINE)
    assert bases
    assert not {"latest"} & set(bases)
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    last_stage = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 990:990$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\\\n    CMD \[\"hrd\", \"watch\"", last_stage, re.MULTILINE)
    constraints = re.findall(r"^ARG (?:CONSTRAINTS|WORKER)=(\S+)$", text, re.MULTILINE)
    for name in constraints:
        assert (ROOT / "constraints" / f"{name}.txt").is_file()


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.sh")))
def test_shell_scripts_can_be_parsed(script: str) -> None:
    bash = shutil.which("bash")
    assert bash
    subprocess.run([bash, "-n", str(ROOT / "scripts" / script)], check=True)


def test_ci_runs_one_script_everywhere() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "run: bash .ci/run" in workflow


def test_no_page_and_no_message_tells_to_fetch_hrd_from_an_index() -> None:
    """None has it. An extra goes into the environment that hrd is in, by that environment's pip."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for path in [*pages, *(ROOT / "hrd").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"^.*pip\s+install[^\n]*\bhrd\b(?!-).*$", text, re.MULTILINE):
            assert re.search(r"(\.venv|/opt/hrd)/bin/pip install|``pip install hrd\[", line), (
                f"{path}: {line}"
            )
