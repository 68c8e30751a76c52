"""Libraries that are not there, in one sentence that says how to get them."""

from __future__ import annotations

import re
import sys
from typing import Tuple

# Shared library -> the package of Debian and Ubuntu that has it.
_SYSTEM = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libgomp.so.1": "libgomp1",
    "libgfortran.so.5": "libgfortran5",
    "libopenblas.so.0": "libopenblas0",
    "libxcb.so.1": "libxcb1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
}

# Module -> what brings it.
_PYTHON = {
    "cv2": "opencv-python-headless",
    "av": "av",
    "tomli": "tomli",
    "torch": "hrd[train]",
    "onnx": "hrd[train]",
    "matplotlib": "hrd[train]",
    "h5py": "hrd[train]",
    "sklearn": "hrd[train]",
    "scipy": "hrd[eval]",
    "bleak": "hrd[devices]",
    "serial": "hrd[devices]",
    "onnxruntime": "hrd[cpu]",
    "prometheus_client": "hrd[metrics]",
    "aiohttp": "hrd[web]",
}


def explain(error: ImportError) -> Tuple[str, str]:
    """What is missing, and the command that mends it."""
    text = str(error)
    library = re.match(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", text)
    if library:
        package = _SYSTEM.get(library[1])
        remedy = (
            f"sudo apt-get install {package}"
            if package
            else f"install the package that holds {library[1]} (apt-file search {library[1]})"
        )
        return f"the system library {library[1]} is missing", remedy
    module = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and module:
        package = _PYTHON.get(module, module)
        return f"the Python package {module} is missing", pip_install(package)
    return f"a library cannot be loaded ({text})", "install hrd again"


def pip_install(package: str) -> str:
    """The command that adds a package, or an extra such as ``hrd[train]``, to the environment that
    this hrd runs in: no index need have hrd for that, as pip finds it there. Another environment's
    pip would not."""
    return f"{sys.executable or 'python3'} -m pip install '{package}'"


def sentence(error: ImportError) -> str:
    """Both in one."""
    what, remedy = explain(error)
    return f"{what}: {remedy}"
