"""``make check-tensorrt``: hold what the worker uses against real TensorRT wheels.

Downloads the wheels (8.5.3.1 is 550 MB, twice; the others 1 MB) into a cache folder, keeps only
their Python bindings, and runs tools/tensorrt_surface.py under the interpreters that they
are for. The libraries behind the bindings would only be called with a GPU, so empty ones stand in:
nothing of CUDA is needed. Needs a C compiler. Exit code 1: something does not fit; 77: nothing
could be checked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77


class Wheel(NamedTuple):
    """A wheel and the Python (major.minor) that it is tried under."""

    package: str
    version: str
    module: str
    python: str


WHEELS = (
    Wheel("tensorrt", "8.5.3.1", "tensorrt", "3.6"),  # nearest to JetPack 4.6 that can be had
    Wheel("tensorrt", "8.5.3.1", "tensorrt", "3.10"),
    Wheel("tensorrt_bindings", "8.6.1", "tensorrt_bindings", "3.6"),
    Wheel("tensorrt_bindings", "8.6.1", "tensorrt_bindings", "3.10"),
    Wheel("tensorrt_cu12_bindings", "10.3.0", "tensorrt_bindings", "3.10"),  # JetPack 6
)

# All that the bindings need to be imported; the functions are never called, but the last one.
_FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv",
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv",
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
    "getNvOnnxParserVersion",
)
_LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers")


def interpreter(version: str) -> Optional[str]:
    """A working Python of that version: on the path, or under pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
    found = [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    found += [name for name in [shutil.which(f"python{version}")] if name]
    for name in found:
        if subprocess.run([name, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0:
            return name
    return None


def make_stand_ins(folder: Path) -> Optional[str]:
    """Empty libraries; what is wrong if they can't be made."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return "no C compiler (sudo apt-get install gcc)"
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _FUNCTIONS))
    for library in _LIBRARIES:
        for major in ("8", "10"):
            name = f"lib{library}.so.{major}"
            if not (folder / name).exists():
                command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o"]
                subprocess.run([*command, str(folder / name), str(source)], check=True)
    return None


def fetch(wheel: Wheel, cache: Path) -> Path:
    """The folder with the wheel's bindings. Raises ``CalledProcessError`` if it can't be had."""
    name = f"{wheel.package}-{wheel.version}-py{wheel.python}"
    folder = cache / name
    if folder.is_dir():
        return folder
    download = cache / f"{name}.download"
    print(f"fetching {wheel.package} {wheel.version} for Python {wheel.python}", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--abi", "none"]
    platform = ["--platform", "manylinux_2_17_x86_64", "--python-version", wheel.python]
    requirement = f"{wheel.package}=={wheel.version}"
    subprocess.run([*pip, *options, *platform, "-d", str(download), requirement], check=True)
    beside = cache / f"{name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    (file,) = download.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        for entry in archive.namelist():
            native = re.search(r"\.so(\.|$)", entry) and not entry.endswith("/tensorrt.so")
            if entry.startswith(wheel.module + "/") and not native:
                archive.extract(entry, beside)
    beside.rename(folder)
    shutil.rmtree(download)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cache", default=str(ROOT / "build" / "check-tensorrt"))
    cache = Path(parser.parse_args().cache)
    stand_ins = cache / "stand-ins"
    missing = make_stand_ins(stand_ins)
    if missing:
        print(f"check-tensorrt: skipped: {missing}")
        return SKIPPED
    checked, failed = 0, 0
    for wheel in WHEELS:
        title = f"{wheel.package} {wheel.version}, Python {wheel.python}"
        python = interpreter(wheel.python)
        if python is None:
            print(f"skip  {title}: no Python {wheel.python} here")
            continue
        try:
            folder = fetch(wheel, cache)
        except subprocess.CalledProcessError:
            print(f"skip  {title}: the wheel cannot be downloaded")
            continue
        complaints = ask(python, folder, stand_ins, wheel.module)
        checked += 1
        failed += bool(complaints)
        for complaint in complaints:
            print(f"FAIL  {title}: {complaint}")
    if not checked:
        print("check-tensorrt: skipped: no wheel could be tried")
        return SKIPPED
    return 1 if failed else 0


def ask(python: str, folder: Path, stand_ins: Path, module: str) -> List[str]:
    """Run the check under ``python``; print what was found, return the complaints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "LD_LIBRARY_PATH": str(stand_ins),
    }
    surface, worker = ROOT / "tools" / "tensorrt_surface.py", ROOT / "hrd" / "engine" / "worker"
    done = subprocess.run(
        [python, str(surface), str(worker), module],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    try:
        result = json.loads(done.stdout)
    except ValueError:
        return [(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]]
    complaints = [str(complaint) for complaint in result["complaints"]]
    if not complaints:
        print(
            f"ok    TensorRT {result['tensorrt']}, Python {result['python']}: "
            f"{result['looked_at']} names and calls as the worker uses them",
            flush=True,
        )
    return complaints


if __name__ == "__main__":
    sys.exit(main())
