"""Seconds per frame of every model and engine at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from hrd.bench.timing import Percentiles, percentiles
from hrd.engine.base import Engine, EngineError
from hrd.engine.card import NAMES, models_dir
from hrd.engine.interpreters import gpu_in_sight
from hrd.engine.network import NetworkEngine
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.pos import PosEngine
from hrd.engine.tensorrt import TensorRtEngine, TensorRtFacts
from hrd.engine.tensorrt_open import open_tensorrt
from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

_WARM_UP_CHUNKS = 5
_MIN_CHUNKS = 5
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class ModelTiming:
    """One model on one engine. ``network``: the network alone, per chunk; ``whole``: with the
    normalisation of its input. For an engine without a network the two are the same.
    ``tensorrt``: what else there is to say of a TensorRT engine."""

    name: str
    engine: str
    provider: str
    params: Optional[int]
    macs_per_frame: Optional[int]
    chunk_frames: int
    network: Percentiles
    whole: Percentiles
    tensorrt: Optional[TensorRtFacts] = None

    @property
    def s_per_chunk(self) -> float:
        return self.network.p50_ms / 1e3

    @property
    def s_per_frame(self) -> float:
        """Amortised over the chunk; every frame is computed once."""
        return self.s_per_chunk / self.chunk_frames


def time_models(
    seconds: float,
    chunk_frames: int,
    threads: int,
    on_model: Optional[Callable[[str], None]] = None,
    tensorrt: Optional[TensorRtOptions] = None,
    build: bool = False,
) -> List[ModelTiming]:
    """Time each for about ``seconds``. Models are timed in turns, so that a machine whose speed
    drifts does not favour one of them. TensorRT engines that are not built yet are built if
    ``build``, else left out."""
    engines = list(_engines(threads, chunk_frames, tensorrt or TensorRtOptions(), build))
    runs: List[Tuple[Engine, List[float], List[float]]] = [(e, [], []) for _, e in engines]
    chunk = _chunk(chunk_frames)
    frames = np.random.default_rng(1).standard_normal((chunk_frames, 3, CROP_PX, CROP_PX))
    frames = frames.astype(np.float32)
    for name, engine in engines:
        if on_model is not None:
            on_model(name)
        for _ in range(_WARM_UP_CHUNKS):
            engine.process(chunk)
    rounds = max(1, int(seconds))
    for _ in range(rounds):
        for engine, network_s, whole_s in runs:
            _time_one(engine, chunk, frames, seconds / rounds, network_s, whole_s)
    results = []
    for (name, engine), (_, network_s, whole_s) in zip(engines, runs):
        results.append(
            ModelTiming(
                name=name,
                engine=engine.info.name,
                provider=engine.info.provider,
                params=engine.info.params,
                macs_per_frame=engine.info.macs_per_frame,
                chunk_frames=chunk_frames,
                network=percentiles(network_s or whole_s),
                whole=percentiles(whole_s),
                tensorrt=engine.facts if isinstance(engine, TensorRtEngine) else None,
            )
        )
        engine.close()
    return results


def _time_one(
    engine: Engine,
    chunk: RoiChunk,
    frames: np.ndarray,
    seconds: float,
    network_s: List[float],
    whole_s: List[float],
) -> None:
    end_s = time.perf_counter() + seconds
    count = 0
    while count < _MIN_CHUNKS or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        if isinstance(engine, NetworkEngine):
            engine.infer(frames)
            network_s.append(time.perf_counter() - start_s)
            start_s = time.perf_counter()
        engine.process(chunk)
        whole_s.append(time.perf_counter() - start_s)
        count += 1


def _engines(
    threads: int, chunk_frames: int, tensorrt: TensorRtOptions, build: bool
) -> Iterator[Tuple[str, Engine]]:
    for name in NAMES:
        if not (models_dir() / f"{name}.onnx").is_file():
            continue
        yield name, OnnxEngine(name, provider="cpu", threads=threads)
        try:
            yield name, OnnxEngine(name, provider="cuda", threads=threads)
        except EngineError:
            pass  # no CUDA here: nothing to time
        if not build and tensorrt.python == "auto" and not gpu_in_sight():
            continue
        try:
            # what is slow is to be timed here, not to be given up
            patient = replace(tensorrt, deadline_s=_PATIENCE_S)
            yield name, open_tensorrt(name, patient, chunk_frames, may_build=build)
        except EngineError:
            if build:
                raise  # it was asked for
    yield "pos", PosEngine()


def _chunk(frames: int) -> RoiChunk:
    """Crops with a camera's noise: what they show does not change how long they take."""
    rng = np.random.default_rng(0)
    crops = 120.0 + rng.standard_normal((frames, CROP_PX, CROP_PX, 3))
    still = np.zeros((frames, 2), np.float32)
    return RoiChunk(0.0, MODEL_FS_HZ, crops.astype(np.float32), np.zeros(frames, bool), still)
