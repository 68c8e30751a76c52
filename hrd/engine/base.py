"""The interface of everything that turns ROI chunks into rPPG signal."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Optional

from hrd.errors import HrdError
from hrd.types import PulseChunk, RoiChunk


class EngineError(HrdError):
    """An engine that cannot be built or has failed; the message says which and what to do."""


@dataclass(frozen=True)
class EngineInfo:
    """What runs: ``name`` (``onnx``, ``pos``, ``tensorrt``), the model, and the hardware."""

    name: str
    model: Optional[str]
    provider: str
    params: Optional[int] = None
    macs_per_frame: Optional[int] = None


class Engine(abc.ABC):
    """A stateful stream processor: chunks of any length in, as many samples out, in order.

    Feeding one long chunk or many short ones gives the same signal. ``delay_frames`` is how far
    the output lags the input; ``process`` has already taken it off ``PulseChunk.start_s``.
    """

    info: EngineInfo
    delay_frames: int

    @abc.abstractmethod
    def process(self, chunk: RoiChunk) -> PulseChunk:
        """(T, 36, 36, 3) crops -> (T,) samples; raises ``EngineError``."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget the past: the next chunk starts a new stream."""

    def close(self) -> None:  # noqa: B027 - most engines hold nothing to release
        """Release what is held; may be called twice."""
