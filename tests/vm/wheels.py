"""Python's packages for a virtual machine, put in place from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List, Sequence

from tests.vm.machines import Machine


def install_wheels(
    machine: Machine, site: Path, kept: Path, wanted: Sequence[str], local: Sequence[str] = ()
) -> None:
    """What pip run in the machine would put into ``site``: ``wanted`` (its arguments), downloaded
    to ``kept``, and ``local`` wheels; without what they depend on."""
    pip: List[str] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq"]
    where = ["--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    where += [f"--platform=manylinux2014_{machine.wheel_platform}"]
    where += [f"--platform=manylinux_2_{n}_{machine.wheel_platform}" for n in range(17, 37)]
    subprocess.run([*pip, "download", *where, "-d", str(kept), *wanted], check=True)
    here = ["--no-index", f"--find-links={kept}", "--no-compile", f"--target={site}"]
    subprocess.run([*pip, "install", *where, *here, *wanted, *local], check=True)


def compile_all(site: Path, root: Path, at: str) -> None:
    """Byte code for what lies in ``site``, where ``root`` will be found as ``at``."""
    compiling = ["-m", "compileall", "-q", "-s", str(root), "-p", at, str(site)]
    subprocess.run([sys.executable, *compiling], stdout=subprocess.DEVNULL)
