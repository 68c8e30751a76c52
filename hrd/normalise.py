"""What the networks read: causal, normalised frame differences. Shared by training and runtime.

The difference of two frames over their sum is, to first order, the relative change of the skin's
reflectance: the stationary colour of skin and lamp cancels (the derivative of the dichromatic
reflection model, as in DeepPhys, Chen & McDuff 2018). Dividing by a running mean magnitude makes
the input independent of camera noise and contrast without looking at the future, so a stream and
a whole clip are normalised alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

NAME = "diff-v1"
"""Written into every exported model; a model trained on another normalisation is refused."""

_TIME_CONSTANT_FRAMES = 60.0
_DECAY = float(np.exp(-1.0 / _TIME_CONSTANT_FRAMES))
_CLIP = 4.0
_BLOCK_FRAMES = 32  # half a megabyte: stays in a core's cache, nearly twice as fast as whole clips
_MIN_SCALE = 2e-4  # below any real camera's noise: keeps a noiseless picture from exploding


@dataclass(frozen=True)
class NormaliserState:
    """What must be carried from one chunk to the next."""

    last_crop: Optional[np.ndarray] = None  # (H, W, 3) float32
    magnitude_sum: float = 0.0
    weight_sum: float = 0.0


def normalise(
    crops: np.ndarray, cut: np.ndarray, state: NormaliserState
) -> Tuple[np.ndarray, NormaliserState]:
    """Normalised differences of a chunk, and the state to go on with.

    ``crops``: (T, H, W, 3) float32 RGB 0..255; ``cut``: (T,) bool. Returns (T, 3, H, W) float32
    in [-4, 4], zero at cuts and at the very first frame, and the next state. The scale of
    sample t is the bias-corrected exponential mean (2 s at 30 Hz) of mean |difference| up to t.
    """
    if crops.ndim != 4 or crops.shape[-1] != 3:
        raise ValueError(f"crops must be (T, H, W, 3), not {crops.shape}")
    if cut.shape != crops.shape[:1]:
        raise ValueError(f"cut must be {crops.shape[:1]}, not {cut.shape}")
    frames = len(crops)
    if frames == 0:
        return np.zeros((0, 3) + crops.shape[1:3], np.float32), state
    last_crop = state.last_crop
    if last_crop is None:  # a stream begins as after a cut
        last_crop, cut = crops[0], cut.copy()
        cut[0] = True
    magnitude_sum, weight_sum = state.magnitude_sum, state.weight_sum
    planar = np.empty((frames, 3) + crops.shape[1:3], np.float32)
    for first in range(0, frames, _BLOCK_FRAMES):
        block = crops[first : first + _BLOCK_FRAMES]
        block_cut = cut[first : first + _BLOCK_FRAMES]
        previous = np.concatenate([last_crop[None], block[:-1]])
        difference = block - previous
        previous += block
        previous += 2.0
        difference /= previous
        difference[block_cut] = 0.0
        magnitude = np.abs(difference, out=previous).mean(axis=(1, 2, 3))
        scale = np.empty(len(block), np.float32)
        for t in range(len(block)):
            if not block_cut[t]:
                magnitude_sum = _DECAY * magnitude_sum + float(magnitude[t])
                weight_sum = _DECAY * weight_sum + 1.0
            scale[t] = max(magnitude_sum / weight_sum, _MIN_SCALE) if weight_sum > 0 else 1.0
        difference /= scale[:, None, None, None]
        np.clip(difference, -_CLIP, _CLIP, out=difference)
        planar[first : first + _BLOCK_FRAMES] = difference.transpose(0, 3, 1, 2)
        last_crop = block[-1]
    return planar, NormaliserState(crops[-1].copy(), magnitude_sum, weight_sum)
