"""What engines that run a network have in common: the input's normalisation and the past."""

from __future__ import annotations

import abc

import numpy as np

from hrd.engine.base import Engine
from hrd.normalise import NormaliserState, normalise
from hrd.types import PulseChunk, RoiChunk


class NetworkEngine(Engine):
    """Normalises crops, then infers. ``history_frames``: how many frames back a sample depends on;
    a network that is shown that many of the newest frames goes on as if it had seen them all."""

    history_frames: int
    _normaliser: NormaliserState

    def process(self, chunk: RoiChunk) -> PulseChunk:
        frames, self._normaliser = normalise(chunk.crops, chunk.cut, self._normaliser)
        return PulseChunk(
            start_s=chunk.start_s - self.delay_frames / chunk.fs_hz,
            fs_hz=chunk.fs_hz,
            bvp=self.infer(frames),
        )

    def reset(self) -> None:
        self._normaliser = NormaliserState()
        self.forget()

    @abc.abstractmethod
    def infer(self, frames: np.ndarray) -> np.ndarray:
        """(T, 3, 36, 36) float32 normalised frames -> (T,) float32 signal; keeps the state.

        Raises ``EngineError``."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Make the network's state zero."""
