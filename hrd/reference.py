"""Reference signals: what the pixels say beside the engine's own signal.

A network gives a wave for anything that is put before it. Beside it, signals are followed that
share no weights with it: POS, the mean colour of the face, the light on its hair, and the movement
of the head. They never change the bpm, only the confidence in it.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from hrd.pos import StreamingPos
from hrd.skin import bridge_cuts, mean_rgb
from hrd.types import CROP_PX, PulseChunk, ReferenceSignals, RoiChunk

REGIONS = {
    "hair": (0, 6, 12, 24),
}
"""Parts of a crop where blood does not show and a lamp does: first row and the one after the last,
first column and the one after the last."""

_LEVELS = 3 + len(REGIONS)


def _region_shares() -> np.ndarray:
    """(CROP_PX ** 2, R) float32: green crops times this are the means of the regions."""
    shares = []
    for top, bottom, left, right in REGIONS.values():
        share = np.zeros((CROP_PX, CROP_PX), np.float32)
        share[top:bottom, left:right] = 1.0 / ((bottom - top) * (right - left))
        shares.append(share)
    return np.stack([share.ravel() for share in shares], axis=1)


_REGION_SHARES = _region_shares()


class ReferenceExtractor:
    """``extract`` from chunk after chunk of one stream; ``reset`` when another begins."""

    def __init__(self) -> None:
        self._pos = StreamingPos()
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next chunk starts a new stream."""
        self._pos.reset()
        self._level: Optional[np.ndarray] = None  # continuous face RGB, regions
        self._gain = np.ones(_LEVELS)

    def extract(self, chunk: RoiChunk, pos: Optional[PulseChunk] = None) -> ReferenceSignals:
        """The signals of this chunk. ``pos``: its POS signal, where the engine is POS itself."""
        rgb = mean_rgb(chunk.crops)
        levels = np.hstack([rgb, _greens(chunk.crops)])
        cut = chunk.cut
        if self._level is None:
            self._level = levels[0]
            cut = cut.copy()
            cut[0] = False
        levels = bridge_cuts(levels, cut, self._level, self._gain)
        self._level = levels[-1]
        return ReferenceSignals(
            start_s=chunk.start_s,
            fs_hz=chunk.fs_hz,
            pos=pos.bvp if pos is not None else self._pos.process(rgb, chunk.cut),
            pos_delay_frames=self._pos.delay_frames,
            motion_px=chunk.shift_px,
            face_rgb=levels[:, :3],
            regions=levels[:, 3:],
        )


def _greens(crops: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 crops -> (T, R) float64 mean green of the regions."""
    return (crops[..., 1].reshape(len(crops), -1) @ _REGION_SHARES).astype(np.float64)
