"""Which engine runs, and why."""

from __future__ import annotations

import logging
import threading
from typing import Dict, Optional, Set

from hrd.choices import ENGINES as CHOICES
from hrd.engine.base import Engine, EngineError
from hrd.engine.card import NAMES
from hrd.engine.interpreters import gpu_in_sight
from hrd.engine.options import TensorRtOptions
from hrd.engine.supervise import Level, SupervisedEngine
from hrd.errors import Kind

__all__ = ["CHOICES", "Selection", "open_engine"]

logger = logging.getLogger(__name__)

TENSORRT, ONNX_CUDA, ONNX_CPU, POS = range(4)
"""The levels, best first: ``auto`` takes the first that works and remembers why others did not."""


class Selection:
    """An engine that runs, and one line on why it and not another."""

    def __init__(self, engine: Engine, why: str) -> None:
        self.engine = engine
        self._why = why

    @property
    def why(self) -> str:
        """Why this engine, as of now: a supervised one may have fallen back since."""
        return self.engine.why if isinstance(self.engine, SupervisedEngine) else self._why

    @property
    def fallbacks(self) -> int:
        """How often an engine has failed and another gone on with the stream."""
        return self.engine.fallbacks if isinstance(self.engine, SupervisedEngine) else 0


def open_engine(
    name: str = "auto",
    model: str = "student",
    threads: int = 1,
    tensorrt: Optional[TensorRtOptions] = None,
    chunk_frames: int = 30,
    live: bool = False,
    may_build: bool = True,
) -> Selection:
    """Open the engine of that name: ``auto``, ``tensorrt``, ``onnx`` or ``pos``.

    ``auto`` falls back to the next best and says why; a named engine that can't run, and a model
    asked for by path that can't be read, are an ``EngineError``. What uses a GPU, and with ``live``
    every network, is supervised: if it fails later, it is opened anew or the next best goes on
    with the stream (POS only with ``auto`` and ``tensorrt``).

    TensorRT builds its engine once per machine, which takes minutes on a Nano: ``tensorrt`` waits
    for that, ``auto`` does not. With ``live`` (the daemon) ``auto`` starts on ONNX Runtime
    and TensorRT takes over when it is ready; without, it is used only if it is built already.
    Without ``may_build`` the caller does not wait for a build: ``tensorrt`` is an ``EngineError``
    that names ``hrd build-engine``.
    """
    if name not in CHOICES:
        raise EngineError(f"unknown engine {name!r}: use {', '.join(CHOICES)}")
    selection = _Opening(name, model, threads, tensorrt, chunk_frames, live, may_build).open()
    logger.info("engine: %s", selection.why)
    return selection


class _Opening:
    def __init__(
        self,
        name: str,
        model: str,
        threads: int,
        tensorrt: Optional[TensorRtOptions],
        chunk_frames: int,
        live: bool,
        may_build: bool,
    ) -> None:
        self._name = name
        self._model = model
        self._threads = threads
        self._options = tensorrt or TensorRtOptions()
        self._chunk_frames = chunk_frames
        self._live = live
        self._may_build = may_build
        self._failures: Dict[int, str] = {}
        self._retry: Set[int] = set()
        self._levels = [
            Level("TensorRT", self._tensorrt),
            Level("ONNX Runtime on CUDA", self._onnx_cuda),
            Level("ONNX Runtime on the CPU", self._onnx_cpu, quick=True),
            Level("POS", self._pos),
        ]

    def open(self) -> Selection:
        if self._name == "pos":
            return Selection(self._pos(), "POS (asked for)")
        first = {"auto": TENSORRT, "tensorrt": TENSORRT, "onnx": ONNX_CUDA}[self._name]
        last = {"auto": POS, "tensorrt": TENSORRT, "onnx": ONNX_CPU}[self._name]
        last_error = EngineError(f"engine {self._name} has nothing to try")
        for level in range(first, last + 1):
            if level == TENSORRT and self._name == "auto" and not self._worth_trying():
                continue
            try:
                engine = self._levels[level].open(threading.Event())
            except EngineError as error:
                last_error = error
                self._failures[level] = str(error)
                if level == TENSORRT and error.kind is not Kind.ABSENT:
                    self._retry.add(level)
                if level == ONNX_CPU and self._model not in NAMES:
                    raise  # a model that the user named is to be used or complained about
                continue
            return self._selected(level, engine)
        raise last_error

    def _worth_trying(self) -> bool:
        """Whether ``auto`` should open TensorRT now; if not, the reason is kept."""
        if self._options.python == "auto" and not gpu_in_sight():
            self._failures[TENSORRT] = "no NVIDIA GPU here"
            return False
        if self._live:
            self._failures[TENSORRT] = "being made ready"
            self._retry.add(TENSORRT)
            return False
        return True

    def _selected(self, level: int, engine: Engine) -> Selection:
        if level > ONNX_CUDA and not self._retry and not (self._live and level == ONNX_CPU):
            chosen = f"{self._levels[level].label} ({self._chosen()})"
            reasons = [f"{self._levels[at].label}: {self._failures[at]}" for at in self._failures]
            return Selection(engine, "; ".join([chosen, *reasons]))
        self._may_build = True  # what is opened later is opened in a thread that nobody waits for
        standby: Dict[int, Engine] = {}
        if level < ONNX_CPU:  # ready at once when the GPU fails; a second GPU engine would not be
            standby[ONNX_CPU] = self._onnx_cpu()
        # a network that was asked for by name is not replaced by POS
        last = ONNX_CPU if self._name == "onnx" else POS
        supervised = SupervisedEngine(
            self._levels[: last + 1],
            level,
            engine,
            standby,
            self._failures,
            self._retry,
            at_once=self._live,
        )
        return Selection(supervised, "")

    def _chosen(self) -> str:
        return "asked for" if self._name != "auto" else "the best that works here"

    def _tensorrt(self, stop: threading.Event) -> Engine:
        from hrd.engine.tensorrt_open import open_tensorrt

        may_build = self._may_build and (self._live or self._name == "tensorrt")
        return open_tensorrt(
            self._model, self._options, self._chunk_frames, may_build=may_build, stop=stop
        )

    def _onnx_cuda(self, stop: Optional[threading.Event] = None) -> Engine:
        from hrd.engine.onnx import OnnxEngine

        return OnnxEngine(self._model, provider="cuda", threads=self._threads)

    def _onnx_cpu(self, stop: Optional[threading.Event] = None) -> Engine:
        from hrd.engine.onnx import OnnxEngine

        return OnnxEngine(self._model, provider="cpu", threads=self._threads)

    def _pos(self, stop: Optional[threading.Event] = None) -> Engine:
        from hrd.engine.pos import PosEngine

        return PosEngine()
