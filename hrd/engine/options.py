"""What can be set about the engines."""

from __future__ import annotations

from dataclasses import dataclass

from hrd.options import Options, option

DEFAULT_CACHE_DIR = "/var/cache/hrd"

PRECISIONS = ("auto", "fp16", "fp32")


@dataclass(frozen=True)
class TensorRtOptions(Options):
    """TensorRT, in a process of its own."""

    python: str = option(
        "auto",
        "The Python that has tensorrt and pycuda, e.g. /usr/bin/python3; auto: looked for.",
    )
    precision: str = option(
        "auto",
        "auto: FP16 where the GPU has it and it is exact enough, else FP32.",
        choices=PRECISIONS,
    )
    cache_dir: str = option(
        DEFAULT_CACHE_DIR, "Folder where built engines are kept; empty: nowhere."
    )
    workspace_mb: int = option(
        64, "Memory that TensorRT may use for trying kernels while it builds.", "MiB", 1, 4096
    )
    deadline_s: float = option(
        1.0,
        "A chunk that takes longer than this has failed, and another engine goes on.",
        "s",
        0.05,
        1.5,
    )
    build_limit_s: float = option(
        1800.0, "A build that takes longer than this is given up.", "s", 10, 86400
    )
