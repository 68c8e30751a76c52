"""Interpreters that "have TensorRT": real child processes with the stand-ins on their path."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.fake_gpu.server import GpuServer

FAKES = Path(__file__).resolve().parent / "fake_gpu"


def python36() -> Optional[str]:
    """A Python 3.6, as JetPack 4.6 has; None where there is none."""
    versions = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
    found = [str(path) for path in sorted(versions.glob("3.6.*/bin/python"))]
    found += [name for name in [shutil.which("python3.6")] if name]
    for name in found:  # pyenv puts a python3.6 on the path that may not work
        if subprocess.run([name, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0:
            return name
    return None


@dataclass
class FakeGpu:
    """``python``: what to configure as ``engine.tensorrt.python``."""

    folder: Path
    server: GpuServer
    python: str

    def fault(self, name: str) -> None:
        """The fault of all runs from now on; empty: none."""
        beside = self.folder / "fault.new"
        beside.write_text(name)
        os.replace(beside, self.folder / "fault")

    def interpreter(self, api: str = "8.6", real: str = sys.executable, **environment: str) -> str:
        """An interpreter whose ``tensorrt`` has the interface of ``api``."""
        variables = {
            "PYTHONPATH": str(FAKES),
            "FAKE_TRT": api,
            "FAKE_GPU_SOCKET": self.server.path,
            "FAKE_GPU_FAULT": str(self.folder / "fault"),
            **environment,
        }
        return script(
            self.folder,
            "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
            + f'\nexec {shlex.quote(real)} "$@"',
        )

    def close(self) -> None:
        self.server.close()


def make_fake_gpu(folder: Path, api: str = "8.6", real: str = sys.executable) -> FakeGpu:
    """A fake GPU whose files are in ``folder``."""
    short = tempfile.mkdtemp(prefix="gpu")  # a socket's path must be short
    gpu = FakeGpu(folder, GpuServer(os.path.join(short, "s")), "")
    gpu.python = gpu.interpreter(api, real)
    return gpu


def script(folder: Path, text: str) -> str:
    """An executable shell script."""
    handle, path = tempfile.mkstemp(prefix="python-", dir=str(folder))
    with os.fdopen(handle, "w") as file:
        file.write(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)
    return path
