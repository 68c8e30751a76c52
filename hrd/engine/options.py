"""What can be set about TensorRT."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CACHE_DIR = "/var/cache/hrd"

PRECISIONS = ("auto", "fp16", "fp32")


@dataclass(frozen=True)
class TensorRtOptions:
    """The table ``[engine.tensorrt]`` of the configuration."""

    python: str = "auto"
    """The Python that has tensorrt and pycuda, e.g. /usr/bin/python3; auto: looked for."""
    precision: str = "auto"
    """auto, fp16 or fp32; auto: FP16 where the GPU has it and it is exact enough."""
    cache_dir: str = DEFAULT_CACHE_DIR
    """Where built engines are kept; empty: nowhere."""
    workspace_mb: int = 64
    """Memory that TensorRT may use for trying kernels while it builds (MiB)."""
    deadline_s: float = 1.0
    """A chunk that takes longer than this has failed, and another engine goes on."""
    build_limit_s: float = 1800.0
    """A build that takes longer than this is given up."""
