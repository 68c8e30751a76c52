"""Which Python has TensorRT: on JetPack 4.6 the system's 3.6, and not the one hrd runs on."""

from __future__ import annotations

import glob
import importlib.util
import os
import shutil
import sys
import threading
from dataclasses import dataclass
from typing import List, Optional

from hrd.engine.process import WorkerFailure, WorkerProcess
from hrd.engine.worker import framing
from hrd.errors import Kind

_CUDA_S = 60.0
_NO_MODULE = "No module named 'tensorrt'"

# Device nodes of NVIDIA's drivers: discrete cards, Jetsons (old, new), WSL.
_GPU_NODES = ("/dev/nvidia[0-9]*", "/dev/nvhost-*gpu*", "/dev/nvgpu*", "/dev/nvmap", "/dev/dxg")


def gpu_in_sight() -> bool:
    """Whether any NVIDIA device node is here. Cheap, and touches no driver."""
    return any(glob.glob(pattern) for pattern in _GPU_NODES)


def candidates(python: str = "auto") -> List[str]:
    """The interpreters to try, in order: the configured one alone, or our own if it has
    ``tensorrt``, the one that the Jetson's installer made for it, then the system's."""
    if python != "auto":
        path = os.path.expanduser(python)
        return [os.path.abspath(path) if os.sep in path else shutil.which(path) or path]
    found: List[str] = []
    if importlib.util.find_spec("tensorrt") is not None:
        found.append(sys.executable)
    made_for_it = os.path.join(sys.prefix, "tensorrt", "bin", "python")
    for name in (made_for_it, "/usr/bin/python3", shutil.which("python3")):
        if name and os.access(name, os.X_OK) and name not in found and name != sys.executable:
            found.append(name)
    return found


@dataclass(frozen=True)
class Device:
    """A GPU, as CUDA describes it, and the TensorRT that would use it."""

    name: str
    capability: str
    total_mb: int
    free_mb: int
    tensorrt: str
    python: str
    python_version: str


def probe(worker: WorkerProcess) -> Device:
    """Start CUDA in the worker. Raises ``WorkerFailure`` where there is no TensorRT or no GPU."""
    if worker.tensorrt is None:
        raise WorkerFailure(
            f"{worker.python} (Python {worker.python_version}) has no tensorrt: {worker.missing}",
            Kind.ABSENT,
        )
    try:
        reply = worker.ask(framing.PROBE, {}, b"", framing.DEVICE, _CUDA_S, "starting CUDA")
    except WorkerFailure as error:
        raise WorkerFailure(
            f"TensorRT {worker.tensorrt} of {worker.python} is of no use: {error}", error.kind
        ) from error
    fields = reply.fields
    return Device(
        name=str(fields["name"]),
        capability=str(fields["capability"]),
        total_mb=int(fields["total_mb"]),
        free_mb=int(fields["free_mb"]),
        tensorrt=worker.tensorrt,
        python=worker.python,
        python_version=worker.python_version,
    )


@dataclass(frozen=True)
class Found:
    """A worker with CUDA started."""

    worker: WorkerProcess
    device: Device


def find_worker(python: str = "auto", stop: Optional[threading.Event] = None) -> Found:
    """Start a worker under the first interpreter that has TensorRT and a GPU.

    Raises ``WorkerFailure``: of kind ``absent`` if every interpreter lacks something that trying
    again would not bring.
    """
    failures: List[WorkerFailure] = []
    without: List[str] = []
    for name in candidates(python):
        worker = None
        try:
            worker = WorkerProcess(name, stop)
            if worker.tensorrt is None and worker.missing == _NO_MODULE:
                without.append(f"{name} (Python {worker.python_version})")
                worker.close()
                continue
            return Found(worker, probe(worker))
        except WorkerFailure as error:
            if worker is not None:
                worker.close()
            failures.append(error)
    if not failures:
        raise WorkerFailure(
            f"no Python here has tensorrt (tried: {', '.join(without) or 'none'}); on a Jetson "
            "install it with sudo apt-get install python3-libnvinfer, elsewhere name the Python "
            "that has it as engine.tensorrt.python, or use --engine auto",
            Kind.ABSENT,
        )
    lasting = all(failure.kind == Kind.ABSENT for failure in failures)
    kind = Kind.ABSENT if lasting else Kind.FAILED
    raise WorkerFailure("; ".join(str(failure) for failure in failures), kind)
