"""The values that cross borders inside hrd: frozen, with units in their names.

Data flows one way: Frame -> RoiFrame or NoFace -> RoiChunk -> PulseChunk -> Reading.
All inside times are seconds on one monotonic axis per source (``time.monotonic()`` for a live
camera, the presentation time stamp for a file); wall-clock time appears on the wire only.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Tuple, Union

if TYPE_CHECKING:  # commands that only name a state do without
    import numpy as np

CROP_PX = 36
"""Side of the square ROI crop that every engine reads, in pixels."""

MODEL_FS_HZ = 30.0
"""Rate of the grid that the window resamples to, in frames per second."""

GAP_S = 0.25
"""A longer silence between two frames is a gap: the step across it is marked as a cut."""

TRUTH_S = 8.0
"""What a reading is held against, everywhere: the mean rate of the beats in so many seconds before
its time."""

NEAR_BPM = 5.0
"""A reading this close to the truth counts as right; confidence is the probability of that."""


class State(str, enum.Enum):
    """What the daemon can say about the face in front of it (socket protocol 1)."""

    NO_CAMERA = "no_camera"
    NO_FACE = "no_face"
    WARMING_UP = "warming_up"
    TRACKING = "tracking"
    UNSURE = "unsure"


class Reason(str, enum.Enum):
    """Why there is no bpm; present in every state but ``tracking``."""

    CAMERA_LOST = "CAMERA_LOST"
    NO_FACE = "NO_FACE"
    FACE_TOO_SMALL = "FACE_TOO_SMALL"
    TOO_DARK = "TOO_DARK"
    TOO_BRIGHT = "TOO_BRIGHT"
    MOTION = "MOTION"
    LOW_FRAME_RATE = "LOW_FRAME_RATE"
    UNRELIABLE_TIMESTAMPS = "UNRELIABLE_TIMESTAMPS"
    WEAK_SIGNAL = "WEAK_SIGNAL"
    FILLING_WINDOW = "FILLING_WINDOW"


class Packing(str, enum.Enum):
    """How the pixels of a Frame lie in memory."""

    RGB = "rgb"
    """(H, W, 3): red, green, blue."""
    YUYV = "yuyv"
    """(H, W, 2): luma, and blue and red chroma in turns, as USB cameras deliver it."""
    PLANAR = "planar"
    """(N,): a plane of luma, then one of blue and one of red chroma, as decoders deliver it."""


@dataclass(frozen=True)
class Layout:
    """What the array of a Frame stands for. ``width_px`` x ``height_px`` is the camera's picture.

    ``reduced``: 2, 4 or 8 where the array holds each so many pixels of it as one (RGB only).
    ``chroma``: luma pixels to one of chroma, across and down. ``full_range``, ``bt709``: which
    colours the values stand for (ITU-R BT.601 and BT.709, limited or full range).
    """

    packing: Packing
    width_px: int
    height_px: int
    reduced: int = 1
    chroma: Tuple[int, int] = (2, 2)
    full_range: bool = False
    bt709: bool = False


@dataclass(frozen=True)
class Frame:
    """One camera frame. ``image``: (H, W, 3) uint8 RGB, or what ``layout`` says (uint8 always).

    ``time_s``: capture time or PTS. ``earlier_s``: the times of frames since the one before that
    were counted and not looked at.
    ``cut``: the stream begins anew here (files joined, a clock set, times taken another way), so
    nothing before this frame may be put together with it. ``unreliable_time``: it is not known when
    the frame was taken, so no rate may be read of it.
    """

    image: np.ndarray
    time_s: float
    index: int
    layout: Optional[Layout] = None
    earlier_s: Tuple[float, ...] = ()
    cut: bool = False
    unreliable_time: bool = False


@dataclass(frozen=True)
class Demand:
    """What the face stage needs of the frames to come; a source saves the rest where it can.

    ``reduced``: 1, 2, 4 or 8: pictures may be that much smaller across and down.
    ``every_s``: only a picture this often need be decoded; the others are counted.
    ``together_s``: frames may come some together, the first of them so late: whoever works on
    several in a row wakes up less often and has all at hand.
    ``unchanged_s``: in place of ``every_s``, if longer, where the source can tell without decoding
    it that a picture is like the one before (compressed one by one, it takes as many bytes).
    """

    reduced: int = 1
    every_s: float = 0.0
    together_s: float = 0.0
    unchanged_s: float = 0.0


@dataclass(frozen=True)
class FaceBox:
    """An upright face box in pixels of its frame: left, top, width, height, and its score 0..1."""

    x_px: float
    y_px: float
    w_px: float
    h_px: float
    score: float = 1.0

    @property
    def center_px(self) -> Tuple[float, float]:
        return self.x_px + self.w_px / 2.0, self.y_px + self.h_px / 2.0


@dataclass(frozen=True)
class RoiFrame:
    """The face of one frame as the engines read it.

    ``crop``: (CROP_PX, CROP_PX, 3) float32 RGB in 0..255, area-averaged and not rounded (rounding
    to 8 bits would add more noise than an averaged cell has left). ``cut``: the crop window has
    moved (or the face is new) since the previous RoiFrame, so the two must not be differenced.
    ``motion_per_s``: speed of the face in face widths per second. ``shift_px``: how far the face
    has moved (dx, dy) in the crop since the previous RoiFrame, in crop pixels; zero at a cut.
    ``earlier_s``, ``unreliable_time``: as in Frame. ``anew``: the stream begins anew here, and
    whoever is seen from here on need not be who was seen before.
    """

    time_s: float
    crop: np.ndarray
    face: FaceBox
    cut: bool
    motion_per_s: float
    shift_px: Tuple[float, float] = (0.0, 0.0)
    earlier_s: Tuple[float, ...] = ()
    anew: bool = False
    unreliable_time: bool = False


@dataclass(frozen=True)
class NoFace:
    """A moment at which there is no face to read, and why. ``earlier_s``: as in Frame; ``anew``: as
    in RoiFrame."""

    time_s: float
    reason: Reason = Reason.NO_FACE
    earlier_s: Tuple[float, ...] = ()
    anew: bool = False


FaceView = Union[RoiFrame, NoFace]
"""What the face stage says of a frame: the face that is followed, or that there is none."""


@dataclass(frozen=True)
class RoiChunk:
    """Consecutive samples of the ROI on the regular grid that engines run at.

    ``crops``: (T, CROP_PX, CROP_PX, 3) float32 RGB 0..255. ``cut``: (T,) bool, True where the step
    into a sample crosses a moved crop or a gap. ``shift_px``: (T, 2) float32, how far the face has
    moved in the crop since the sample before, crop pixels. Sample i was taken at
    ``start_s + i / fs_hz``.
    """

    start_s: float
    fs_hz: float
    crops: np.ndarray
    cut: np.ndarray
    shift_px: np.ndarray


@dataclass(frozen=True)
class PulseChunk:
    """A stretch of rPPG signal. ``bvp``: (T,) float32, arbitrary unit; sample i is of the time
    ``start_s + i / fs_hz`` (the engine's delay already taken off)."""

    start_s: float
    fs_hz: float
    bvp: np.ndarray


@dataclass(frozen=True)
class ReferenceSignals:
    """What the pixels of a chunk say beside the engine's signal (``hrd.reference``).

    ``start_s``: time of the first sample of all but ``pos`` (T,) float32, the POS signal, which
    lags by ``pos_delay_frames``. ``motion_px`` (T, 2) float32: the
    head's movement, crop pixels a frame. ``face_rgb`` (T, 3), ``regions`` (T, R) float64: mean
    colour of the face, green of the parts of the picture that ``hrd.reference`` names, continuous
    across cuts.
    """

    start_s: float
    fs_hz: float
    pos: np.ndarray
    pos_delay_frames: int
    motion_px: np.ndarray
    face_rgb: np.ndarray
    regions: np.ndarray


@dataclass(frozen=True)
class Reading:
    """One statement about the heart rate at ``time_s`` (time of the newest frame used).

    ``bpm`` and ``confidence`` are set in ``State.TRACKING`` only, ``reason`` in all other states.
    ``confidence`` is the calibrated probability that bpm is within 5 bpm of the truth.
    ``snr_db`` is peak-referenced (no reference heart rate is at hand).
    """

    time_s: float
    state: State
    bpm: Optional[float] = None
    confidence: Optional[float] = None
    reason: Optional[Reason] = None
    snr_db: Optional[float] = None
    fps: Optional[float] = None
