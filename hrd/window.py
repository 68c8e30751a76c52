"""The sliding window: frames at the times they were really taken -> samples on a regular grid.

Cameras jitter and drop. Sample k of a stream belongs to the time ``start + k / MODEL_FS_HZ`` and
is interpolated linearly between the two frames round it, so the spectrum's frequency axis is
true whatever the camera does.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from hrd.types import GAP_S, MODEL_FS_HZ, RoiChunk, RoiFrame

RESTART_GAP_S = 1.0
"""After a longer one nothing before it is worth keeping: the stream starts again."""


class SlidingWindow:
    """Collects RoiFrames and hands out RoiChunks of ``hop_frames`` grid samples.

    ``push`` returns a chunk whenever a hop is complete. ``restarted`` is True on the push that
    began a new stream (the first, or after a long gap or time running backwards): whoever keeps
    state from earlier chunks must then forget it before reading the next one.
    """

    def __init__(self, hop_frames: int, fs_hz: float = MODEL_FS_HZ) -> None:
        if hop_frames < 1:
            raise ValueError(f"hop_frames must be at least 1, not {hop_frames}")
        self.fs_hz = fs_hz
        self.hop_frames = hop_frames
        self.restarted = False
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame starts a new stream."""
        self._last: Optional[RoiFrame] = None
        self._start_s = 0.0
        self._next = 0  # index of the next grid sample
        self._emitted = 0
        self._crops: List[np.ndarray] = []
        self._cuts: List[bool] = []
        self._shifts: List[np.ndarray] = []
        self._pending_cut = True
        self._pending_shift = np.zeros(2, np.float32)  # moved since the last sample

    def push(self, frame: RoiFrame) -> Optional[RoiChunk]:
        """Take one frame; return the next chunk if it is complete."""
        self.restarted = False
        last = self._last
        if last is None or not 0.0 <= frame.time_s - last.time_s <= RESTART_GAP_S:
            self.reset()
            self.restarted = True
            self._start_s = frame.time_s
            self._append(frame.crop, cut=True)
            self._last = frame
            return self._take()
        step_s = frame.time_s - last.time_s
        if step_s == 0.0:
            return None  # the same instant twice: nothing to learn from it
        cut = frame.cut or step_s > GAP_S
        self._pending_cut = self._pending_cut or cut
        shift = np.zeros(2, np.float32) if cut else np.asarray(frame.shift_px, np.float32)
        moved = 0.0  # share of this step's shift that samples have taken up
        while True:
            time_s = self._start_s + self._next / self.fs_hz
            if time_s > frame.time_s:
                break
            weight = (time_s - last.time_s) / step_s
            self._pending_shift = self._pending_shift + np.float32(weight - moved) * shift
            moved = weight
            if cut:  # the two crops show different squares: blending them would be meaningless
                crop = frame.crop if weight > 0.5 else last.crop
                self._append(crop, cut=self._pending_cut)
                # the step out of the old square, if this sample still shows it, is yet to come
                self._pending_cut = weight <= 0.5
            else:
                crop = last.crop + np.float32(weight) * (frame.crop - last.crop)
                self._append(crop, cut=self._pending_cut)
                self._pending_cut = False
        self._pending_shift = self._pending_shift + np.float32(1.0 - moved) * shift
        self._last = frame
        return self._take()

    def flush(self) -> Optional[RoiChunk]:
        """The samples of the unfinished hop, if any."""
        return self._take(everything=True)

    def _append(self, crop: np.ndarray, cut: bool) -> None:
        self._crops.append(crop)
        self._cuts.append(cut)
        # across a cut the two crops show different squares: how far the face moved is not known
        self._shifts.append(np.zeros(2, np.float32) if cut else self._pending_shift)
        self._pending_shift = np.zeros(2, np.float32)
        self._next += 1
        self._pending_cut = False

    def _take(self, everything: bool = False) -> Optional[RoiChunk]:
        frames = len(self._crops)
        if frames == 0 or (frames < self.hop_frames and not everything):
            return None
        chunk = RoiChunk(
            start_s=self._start_s + self._emitted / self.fs_hz,
            fs_hz=self.fs_hz,
            crops=np.stack(self._crops).astype(np.float32, copy=False),
            cut=np.array(self._cuts, bool),
            shift_px=np.stack(self._shifts),
        )
        self._emitted += frames
        self._crops = []
        self._cuts = []
        self._shifts = []
        return chunk
