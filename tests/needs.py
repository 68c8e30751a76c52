"""Packages that not every environment has: the tests of what needs them say so and are skipped."""

from __future__ import annotations

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
