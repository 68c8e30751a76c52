"""Comes to a running TensorRT engine: finds the worker, reads the cache or builds, compares.

What an engine computes is compared with ONNX Runtime on this GPU before anything relies on it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import replace
from typing import Optional, Tuple

import numpy as np

from hrd.engine.base import EngineError
from hrd.engine.cache import CacheKey, EngineCache, timing_key
from hrd.engine.card import model_path
from hrd.engine.interpreters import Device, find_worker, probe
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.process import OnProgress, WorkerFailure, WorkerProcess
from hrd.engine.tensorrt import TensorRtEngine, TensorRtFacts, run_chunk
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
    key = key_of(model, reference, device, options, chunk_frames)
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


def key_of(
    model: str,
    reference: OnnxEngine,
    device: Device,
    options: TensorRtOptions,
    chunk_frames: int,
) -> CacheKey:
    """Everything that the engine of a model depends on here."""
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
            found.append(run_chunk(worker, part, start == 0, _LOAD_S))
            start += length
        return relative_difference(np.concatenate(found), np.concatenate(wanted))


def relative_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference over the largest wanted sample; infinite where a number is missing."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    if not len(wanted):
        return 0.0
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))


def _log_progress() -> OnProgress:
    """Says in the log, every ten seconds, that a build goes on."""
    last = [time.monotonic()]

    def tell(seconds: float, note: str) -> None:
        if time.monotonic() - last[0] >= 10.0:
            last[0] = time.monotonic()
            logger.info("building the TensorRT engine: %.0f s, %s", seconds, note)

    return tell
