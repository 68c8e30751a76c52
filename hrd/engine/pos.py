"""POS as an engine: needs no model, the last resort of ``auto`` and a baseline of evaluations."""

from __future__ import annotations

from hrd.engine.base import Engine, EngineInfo
from hrd.pos import StreamingPos
from hrd.skin import mean_rgb
from hrd.types import PulseChunk, RoiChunk


class PosEngine(Engine):
    """``hrd.pos.StreamingPos`` on the mean colour of the face."""

    def __init__(self) -> None:
        self._pos = StreamingPos()
        self.delay_frames = self._pos.delay_frames
        self.info = EngineInfo(name="pos", model=None, provider="numpy")

    def reset(self) -> None:
        self._pos.reset()

    def process(self, chunk: RoiChunk) -> PulseChunk:
        return PulseChunk(
            start_s=chunk.start_s - self.delay_frames / chunk.fs_hz,
            fs_hz=chunk.fs_hz,
            bvp=self._pos.process(mean_rgb(chunk.crops), chunk.cut),
        )
