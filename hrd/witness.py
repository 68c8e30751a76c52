"""What else the pixels say: evidence for and against the network's reading.

A network gives a wave for anything that is put before it. Beside it, four things are followed that
share no weights with it: the POS signal, the face's mean colour, the light on its hair and on what
surrounds it, and the movement of the head. They never change the bpm, only the confidence in it.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from hrd.engine.pos import PosEngine, bridge_cuts, mean_rgb
from hrd.face.motion import movement
from hrd.types import CROP_PX, Heard, PulseChunk, RoiChunk


def _surround_share() -> np.ndarray:
    """(CROP_PX, CROP_PX) float32 of sum 1: what lies well outside the face's ellipse."""
    axis = (np.arange(CROP_PX, dtype=np.float32) + 0.5) / CROP_PX * 2.0 - 1.0
    radius2 = (axis[None, :] / 0.62) ** 2 + ((axis[:, None] - 0.08) / 0.8) ** 2
    outside = (radius2 > 2.4).astype(np.float32)
    return outside / outside.sum()


REGIONS = {
    "hair": (0, 6, 12, 24),
    "beside, left": (12, 24, 0, 3),
    "beside, right": (12, 24, 33, 36),
}
"""Parts of a crop where blood does not show and a lamp does: first row and the one after the last,
first column and the one after the last."""

_BRIDGED = 3 + 1 + len(REGIONS)


def _places() -> np.ndarray:
    """(CROP_PX ** 2, 1 + R) float32: what to multiply green crops by to have the mean of the
    surround and of each region."""
    shares = [_surround_share()]
    for top, bottom, left, right in REGIONS.values():
        share = np.zeros((CROP_PX, CROP_PX), np.float32)
        share[top:bottom, left:right] = 1.0 / ((bottom - top) * (right - left))
        shares.append(share)
    return np.stack([share.ravel() for share in shares], axis=1)


_PLACES = _places()


class Witnesses:
    """``hear`` chunk after chunk of one stream; ``reset`` when another begins."""

    def __init__(self) -> None:
        self._pos = PosEngine()
        self.reset()

    def reset(self) -> None:
        self._pos.reset()
        self._crop: Optional[np.ndarray] = None
        self._level: Optional[np.ndarray] = None  # continuous face RGB, surround, regions
        self._gain = np.ones(_BRIDGED)

    def hear(self, chunk: RoiChunk, pos: Optional[PulseChunk] = None) -> Heard:
        """What this chunk adds. ``pos``: its POS signal, where the engine is POS itself."""
        cut = chunk.cut
        levels = np.hstack([mean_rgb(chunk.crops), _greens(chunk.crops)])
        if self._level is None:
            self._level = levels[0]
            cut = cut.copy()
            cut[0] = False
        levels = bridge_cuts(levels, cut, self._level, self._gain)
        heard = Heard(
            fs_hz=chunk.fs_hz,
            pos=(pos if pos is not None else self._pos.process(chunk)).bvp,
            motion_px=movement(chunk.crops, chunk.cut, self._crop),
            face_rgb=levels[:, :3],
            surround=levels[:, 3],
            regions=levels[:, 4:],
        )
        self._level = levels[-1]
        self._crop = chunk.crops[-1]
        return heard


def _greens(crops: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 crops -> (T, 1 + R) float64 mean green of surround and regions."""
    return (crops[..., 1].reshape(len(crops), -1) @ _PLACES).astype(np.float64)
