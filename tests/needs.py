"""Packages and programs that not every environment has: the tests of what needs them say so and are
skipped."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest


def needs(module: str) -> Any:
    """The module, or a skip with a sentence that says how to have it."""
    if module.split(".")[0] in ("torch", "onnx", "sklearn", "h5py"):
        if sys.version_info < (3, 10):
            have = "training needs Python 3.10 or later: make clean, make test PYTHON=python3.11"
        else:
            have = "training was left out of this environment: make clean, make test without TORCH="
    else:
        have = "make install-dev brings it"
    return pytest.importorskip(module, reason=f"{module} is not installed; {have}.")


@functools.lru_cache(maxsize=None)
def needs_program(program: str, package: str) -> str:
    """Where a program is; as root on a Debian it is installed, else a skip says how to have it."""
    found = shutil.which(program)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=settings, stdout=subprocess.DEVNULL, timeout=300)
        found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program} (apt-get install {package})")
    return found
