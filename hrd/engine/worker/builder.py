"""ONNX to a serialised TensorRT engine."""

import time
from typing import Any, NamedTuple

from . import framing
from .errors import WorkerError, is_memory_error
from .log import last_error
from .progress import Progress, make_monitor

FRAMES_SHAPE = (3, 36, 36)  # of one frame, as in the model's contract


class Built(NamedTuple):
    """``precision``: what was built, which may be less than what was asked for."""

    plan: bytes
    timing: bytes
    precision: str
    seconds: float


def build(
    trt: Any,
    logger: Any,
    onnx: bytes,
    precision: str,
    workspace_bytes: int,
    chunk: int,
    timing: bytes,
    progress: Progress,
) -> Built:
    """Build for chunks of 1 to ``chunk`` frames, tuned for ``chunk``.

    ``precision`` ``fp16`` is built as ``fp32`` where the GPU computes FP16 no faster; inputs,
    outputs and state stay float32. ``timing``: a timing cache from an earlier build, or nothing.
    """
    begin_s = time.time()
    builder = trt.Builder(logger)
    flags = trt.NetworkDefinitionCreationFlag
    # from 10 on there is no other kind of network, and one day no flag
    explicit = 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0
    network = builder.create_network(explicit)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        said = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise WorkerError(
            framing.FAILED,
            f"TensorRT cannot read the model: {said[0] if said else last_error(logger)}",
        )

    config = builder.create_builder_config()
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    else:
        config.max_workspace_size = workspace_bytes
    half = precision == "fp16" and _can_half(trt, builder)
    if half:
        config.set_flag(trt.BuilderFlag.FP16)
    elif hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa are not FP32
    _add_profile(builder, config, network, chunk)
    _use_timing(config, timing)
    monitor = make_monitor(trt, progress)  # must live until the build is done
    if monitor is not None:
        config.progress_monitor = monitor

    with progress:
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        why = last_error(logger)
        kind = framing.MEMORY if is_memory_error(why) else framing.FAILED
        raise WorkerError(kind, f"TensorRT cannot build the engine: {why}")
    return Built(bytes(plan), _timing_of(config), "fp16" if half else "fp32", time.time() - begin_s)


def _can_half(trt: Any, builder: Any) -> bool:
    return hasattr(trt.BuilderFlag, "FP16") and bool(
        getattr(builder, "platform_has_fast_fp16", True)
    )


def _add_profile(builder: Any, config: Any, network: Any, chunk: int) -> None:
    """Chunks may be shorter than usual (a clip's end): the first axis is open from 1 to chunk."""
    profile = builder.create_optimization_profile()
    usual = (chunk,) + FRAMES_SHAPE
    profile.set_shape("frames", (1,) + FRAMES_SHAPE, usual, usual)
    if config.add_optimization_profile(profile) < 0:
        raise WorkerError(framing.FAILED, f"TensorRT refuses chunks of 1 to {chunk} frames")


def _use_timing(config: Any, timing: bytes) -> None:
    if not config.set_timing_cache(config.create_timing_cache(timing), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _timing_of(config: Any) -> bytes:
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())
