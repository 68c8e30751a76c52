"""What TensorRT has and lacks on this machine, for ``hrd doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

from hrd.engine.base import EngineError
from hrd.engine.cache import EngineCache
from hrd.engine.interpreters import candidates, find_worker, gpu_in_sight
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.tensorrt_open import key_of


@dataclass(frozen=True)
class Diagnosis:
    """One thing that TensorRT needs. ``remedy``: what mends it, where something does."""

    ok: bool
    text: str
    remedy: Optional[str] = None


def diagnose(
    options: Optional[TensorRtOptions] = None,
    models: Sequence[str] = ("student",),
    chunk_frames: int = 30,
) -> List[Diagnosis]:
    """What ``--engine tensorrt`` has and lacks here, for ``hrd doctor``. Never raises, builds
    nothing; starts a worker and CUDA in it where an interpreter may have TensorRT."""
    options = options or TensorRtOptions()
    if options.python == "auto" and not gpu_in_sight():
        return [Diagnosis(False, "no NVIDIA GPU here: TensorRT is not used")]
    try:
        found = find_worker(options.python)
    except EngineError as error:
        return [Diagnosis(False, str(error), _remedy(options))]
    found.worker.close()
    device = found.device
    results = [
        Diagnosis(
            True,
            f"TensorRT {device.tensorrt} of {device.python} (Python {device.python_version}) on "
            f"{device.name}, compute capability {device.capability}, "
            f"{device.free_mb} of {device.total_mb} MB free",
        )
    ]
    cache = EngineCache(options.cache_dir)
    for model in models:
        try:
            key = key_of(model, OnnxEngine(model), device, options, chunk_frames)
        except EngineError as error:
            results.append(Diagnosis(False, str(error)))
            continue
        stored, why = cache.load(key, to_run=False)
        if stored is None:
            results.append(
                Diagnosis(False, f"{model}: no engine ({why})", f"hrd build-engine --model {model}")
            )
        else:
            results.append(Diagnosis(True, f"{model}: engine {why}"))
    return results


def _remedy(options: TensorRtOptions) -> str:
    tried = candidates(options.python)
    python = tried[0] if tried else "/usr/bin/python3"
    return (
        f"on a Jetson: sudo apt-get install python3-libnvinfer, then {python} -m pip install "
        "pycuda; or name another Python as engine.tensorrt.python in the configuration"
    )
