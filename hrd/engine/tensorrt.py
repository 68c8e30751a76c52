"""TensorRT, in a worker process under whichever Python has it.

``open_tensorrt`` finds the worker, takes the engine from the cache or builds it, and compares what
it computes with ONNX Runtime before anything relies on it. Nothing of CUDA is ever loaded into
this process.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

import numpy as np

from hrd.engine.base import EngineError, EngineInfo
from hrd.engine.cache import CacheKey, EngineCache, timing_key
from hrd.engine.card import model_path
from hrd.engine.interpreters import Device, candidates, find_worker, gpu_in_sight, probe
from hrd.engine.network import NetworkEngine
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.process import OnProgress, WorkerFailure, WorkerProcess
from hrd.engine.worker import framing
from hrd.errors import Kind
from hrd.types import CROP_PX

logger = logging.getLogger(__name__)

TOLERANCE = {"fp16": 1e-2, "fp32": 1e-3}
"""Largest difference to ONNX Runtime that is accepted, over the largest sample."""

_LOAD_S = 120.0  # cuDNN alone takes many seconds to load from an SD card
_PARITY_CHUNKS = (1.0, 0.25, 1.0, 1.0, 0.04)  # of the usual chunk, in turn


class NotBuiltError(EngineError):
    """No engine is in the cache, and it was not the time to build one."""

    kind = Kind.ABSENT


class InexactError(EngineError):
    """TensorRT computes something else than ONNX Runtime; building again would not change that."""

    kind = Kind.ABSENT


@dataclass(frozen=True)
class TensorRtFacts:
    """What runs, and how it came to be.

    ``parity``: the largest difference to ONNX Runtime over the largest sample, on this GPU, now.
    ``build_s``: what the build took, whenever it was. ``origin``: where the engine came from.
    """

    device: Device
    precision: str
    parity: float
    build_s: float
    gpu_mb: float
    origin: str


class TensorRtEngine(NetworkEngine):
    """Streams chunks through a worker that has an engine loaded; made by ``open_tensorrt``."""

    def __init__(
        self,
        worker: WorkerProcess,
        reference: OnnxEngine,
        chunk_frames: int,
        deadline_s: float,
        facts: TensorRtFacts,
    ) -> None:
        self._worker = worker
        self._chunk_frames = chunk_frames
        self._deadline_s = deadline_s
        self.facts = facts
        self.delay_frames = reference.delay_frames
        self.history_frames = reference.history_frames
        self.info = EngineInfo(
            name="tensorrt",
            model=reference.info.model,
            provider=f"cuda {facts.precision}",
            params=reference.info.params,
            macs_per_frame=reference.info.macs_per_frame,
        )
        self.reset()

    @property
    def worker_pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    def forget(self) -> None:
        self._forget = True

    def infer(self, frames: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(frames), self._chunk_frames):
            part = frames[start : start + self._chunk_frames]
            parts.append(_run(self._worker, part, self._forget, self._deadline_s))
            self._forget = False
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def close(self) -> None:
        self._worker.close()


def open_tensorrt(
    model: str,
    options: Optional[TensorRtOptions] = None,
    chunk_frames: int = 30,
    may_build: bool = True,
    rebuild: bool = False,
    stop: Optional[threading.Event] = None,
    on_progress: Optional[OnProgress] = None,
) -> TensorRtEngine:
    """A TensorRT engine for ``model``, from the cache, or built now (minutes on a Nano).

    Raises ``WorkerFailure`` (of kind ``absent`` where there is no TensorRT or no GPU),
    ``NotBuiltError`` if it would have to be built and ``may_build`` is False, and ``EngineError``
    if the model can't be read or the result differs too much from ONNX Runtime's.
    """
    options = options or TensorRtOptions()
    try:
        reference = OnnxEngine(model)
    except EngineError as error:  # the model's fault, which trying again would not mend
        raise EngineError(str(error), Kind.ABSENT) from error
    content = model_path(model).read_bytes()
    found = find_worker(options.python, stop)
    worker, device = found.worker, found.device
    key = _key(model, reference, device, options, chunk_frames)
    opening = _Opening(options, reference, chunk_frames, device, stop)
    cache = EngineCache(options.cache_dir)
    try:
        stored, why = (None, "to be built anew") if rebuild else cache.load(key)
        if stored is not None:
            precision = str(stored.facts.get("precision", "fp32"))
            build_s = float(stored.facts.get("build_s", 0.0))
            try:
                return opening.load(worker, stored.payload, precision, build_s, why)
            except WorkerFailure as error:
                if error.kind == Kind.MEMORY or (stop is not None and stop.is_set()):
                    raise
                # the file may be what ends the worker: it gets no second chance
                logger.warning("the cached TensorRT engine cannot be used (%s)", error)
            except EngineError as error:
                logger.warning("the cached TensorRT engine is not exact (%s)", error)
            cache.discard(key)
            why = "the cached one could not be used"
    except EngineError:
        worker.close()
        raise
    worker.close()  # building needs the memory
    if not may_build:
        raise NotBuiltError(
            f"no TensorRT engine is at hand for {key.model} ({why}); make it with: hrd build-engine"
        )
    return opening.build(content, cache, key, on_progress or _log_progress())


def _key(
    model: str,
    reference: OnnxEngine,
    device: Device,
    options: TensorRtOptions,
    chunk_frames: int,
) -> CacheKey:
    path = model_path(model)
    return CacheKey(
        model=reference.info.model or path.stem,
        model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        tensorrt=device.tensorrt,
        gpu=device.name,
        capability=device.capability,
        precision=options.precision,
        chunk_frames=chunk_frames,
    )


class _Opening:
    """One attempt to come to a running engine."""

    def __init__(
        self,
        options: TensorRtOptions,
        reference: OnnxEngine,
        chunk_frames: int,
        device: Device,
        stop: Optional[threading.Event],
    ) -> None:
        self._options = options
        self._reference = reference
        self._chunk_frames = chunk_frames
        self._device = device
        self._stop = stop

    def load(
        self, worker: WorkerProcess, plan: bytes, precision: str, build_s: float, origin: str
    ) -> TensorRtEngine:
        """Load a serialised engine and compare it. Raises ``EngineError`` if it is not exact;
        the worker is then closed, as it is on any failure."""
        try:
            reply = worker.ask(
                framing.LOAD,
                {"chunk": self._chunk_frames},
                plan,
                framing.LOADED,
                _LOAD_S,
                "loading the engine",
            )
            parity = self._parity(worker)
            logger.info(
                "TensorRT %s engine on %s: differs from ONNX Runtime by %.1e",
                precision,
                self._device.name,
                parity,
            )
            if not parity <= TOLERANCE[precision]:
                raise InexactError(
                    f"TensorRT's {precision} result differs from ONNX Runtime's by {parity:.1e} of "
                    f"the signal's size, more than {TOLERANCE[precision]:g}"
                )
        except EngineError:
            worker.close()
            raise
        facts = TensorRtFacts(
            device=self._device,
            precision=precision,
            parity=parity,
            build_s=build_s,
            gpu_mb=float(reply.fields.get("gpu_mb", 0.0)),
            origin=origin,
        )
        return TensorRtEngine(
            worker, self._reference, self._chunk_frames, self._options.deadline_s, facts
        )

    def build(
        self, content: bytes, cache: EngineCache, key: CacheKey, on_progress: OnProgress
    ) -> TensorRtEngine:
        """Build, compare, keep; FP32 where FP16 is not exact enough."""
        asked = {"auto": ("fp16", "fp32")}.get(self._options.precision, (self._options.precision,))
        logger.info(
            "building the TensorRT engine for %s on %s (minutes on a Jetson Nano)",
            key.model,
            key.gpu,
        )
        for turn, precision in enumerate(asked):
            built, plan, timing = self._build_one(content, cache, key, precision, on_progress)
            build_s = float(built.fields["seconds"])
            got = str(built.fields["precision"])
            if timing:
                cache.store(timing_key(key), timing, {}, "timing")
            worker = WorkerProcess(self._device.python, self._stop)
            try:
                probe(worker)
                engine = self.load(worker, plan, got, build_s, "built now")
            except WorkerFailure:
                worker.close()
                raise
            except EngineError as error:
                if turn == len(asked) - 1 or got != "fp16":
                    raise
                logger.warning("%s: building it in FP32", error)
                continue
            facts = {"precision": got, "build_s": build_s, "parity": engine.facts.parity}
            kept = cache.store(key, plan, facts)
            logger.info("TensorRT engine built in %.0f s, %s", build_s, kept)
            engine.facts = replace(engine.facts, origin=f"built now, {kept}")
            return engine
        raise EngineError("no precision was asked for")

    def _build_one(
        self,
        content: bytes,
        cache: EngineCache,
        key: CacheKey,
        precision: str,
        on_progress: OnProgress,
    ) -> Tuple[framing.Message, bytes, bytes]:
        """In a worker of its own: what the builder holds of memory ends with it."""
        timing, _ = cache.load(timing_key(key), "timing")
        known = timing.payload if timing is not None else b""
        worker = WorkerProcess(self._device.python, self._stop)
        try:
            built = worker.ask(
                framing.BUILD,
                {
                    "precision": precision,
                    "workspace_mb": self._options.workspace_mb,
                    "chunk": self._chunk_frames,
                    "timing_bytes": len(known),
                },
                known + content,
                framing.BUILT,
                self._options.build_limit_s,
                f"building the {precision} engine",
                on_progress,
            )
        finally:
            worker.close()
        cut = int(built.fields["timing_bytes"])
        return built, built.blob[cut:], built.blob[:cut]

    def _parity(self, worker: WorkerProcess) -> float:
        """Stream the same frames through both, in chunks of several lengths."""
        lengths = [max(1, round(share * self._chunk_frames)) for share in _PARITY_CHUNKS]
        frames = np.random.default_rng(5).standard_normal((sum(lengths), 3, CROP_PX, CROP_PX))
        frames = np.clip(1.25 * frames, -4.0, 4.0).astype(np.float32)  # mean magnitude 1
        self._reference.reset()
        wanted, found = [], []
        start = 0
        for length in lengths:
            part = frames[start : start + length]
            wanted.append(self._reference.infer(part))
            found.append(_run(worker, part, start == 0, _LOAD_S))
            start += length
        return relative_difference(np.concatenate(found), np.concatenate(wanted))


def relative_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference over the largest wanted sample; infinite where a number is missing."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    if not len(wanted):
        return 0.0
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))


def _run(worker: WorkerProcess, frames: np.ndarray, reset: bool, limit_s: float) -> np.ndarray:
    data = np.ascontiguousarray(frames, np.float32).tobytes()
    fields = {"frames": len(frames), "reset": reset}
    reply = worker.ask(framing.RUN, fields, data, framing.RESULT, limit_s, "a chunk")
    if len(reply.blob) != 4 * len(frames):
        raise WorkerFailure(f"TensorRT gave {len(reply.blob)} bytes for {len(frames)} frames")
    samples = np.frombuffer(reply.blob, np.float32)
    if not np.isfinite(samples).all():
        raise WorkerFailure("TensorRT gave samples that are not numbers")
    return samples


def _log_progress() -> OnProgress:
    """Says in the log, every ten seconds, that a build goes on."""
    last = [time.monotonic()]

    def tell(seconds: float, note: str) -> None:
        if time.monotonic() - last[0] >= 10.0:
            last[0] = time.monotonic()
            logger.info("building the TensorRT engine: %.0f s, %s", seconds, note)

    return tell


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
            key = _key(model, OnnxEngine(model), device, options, chunk_frames)
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
