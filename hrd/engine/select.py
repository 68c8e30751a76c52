"""Which engine runs, and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

from hrd.engine.base import Engine, EngineError

logger = logging.getLogger(__name__)

CHOICES = ("auto", "onnx", "pos")


@dataclass(frozen=True)
class Selection:
    """An engine that runs, and one line on why it and not another."""

    engine: Engine
    why: str


def _onnx_cuda(model: str, threads: int) -> Engine:
    from hrd.engine.onnx import OnnxEngine

    return OnnxEngine(model, provider="cuda", threads=threads)


def _onnx_cpu(model: str, threads: int) -> Engine:
    from hrd.engine.onnx import OnnxEngine

    return OnnxEngine(model, provider="cpu", threads=threads)


def _pos(model: str, threads: int) -> Engine:
    from hrd.engine.pos import PosEngine

    return PosEngine()


# Best first: `auto` takes the first that works and remembers why the others did not.
_CHAIN: Tuple[Tuple[str, Callable[[str, int], Engine]], ...] = (
    ("ONNX Runtime on CUDA", _onnx_cuda),
    ("ONNX Runtime on the CPU", _onnx_cpu),
    ("POS", _pos),
)
_NAMED: Dict[str, Tuple[Tuple[str, Callable[[str, int], Engine]], ...]] = {
    "auto": _CHAIN,
    "onnx": _CHAIN[:2],
    "pos": _CHAIN[2:],
}


def open_engine(name: str = "auto", model: str = "student", threads: int = 1) -> Selection:
    """Open the engine of that name: ``auto``, ``onnx`` or ``pos``.

    ``auto`` falls back to the next best and says why; a named engine that can't run, and a model
    asked for by path that can't be read, are an ``EngineError``.
    """
    if name not in _NAMED:
        raise EngineError(f"unknown engine {name!r}: use {', '.join(CHOICES)}")
    failures: List[str] = []
    last_error: EngineError = EngineError(f"engine {name} has nothing to try")
    for label, open_one in _NAMED[name]:
        try:
            engine = open_one(model, threads)
        except EngineError as error:
            failures.append(f"{label}: {error}")
            last_error = error
            if label != "ONNX Runtime on CUDA" and model not in ("student", "teacher"):
                raise  # a model that the user named is to be used or complained about
            continue
        chosen = f"{label} ({'asked for' if name != 'auto' else 'the best that works here'})"
        why = "; ".join([chosen] + failures)
        logger.info("engine: %s", why)
        return Selection(engine, why)
    raise last_error
