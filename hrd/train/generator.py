"""Training clips: a drawn face with a known pulse, as the runtime would deliver it.

Every clip goes the way that a camera's frames go: drawn at the size it has in a real picture,
exposed, compressed, followed by the runtime's own ``FaceTracker`` (with a detector that knows the
truth and errs as MediaPipe does), cropped, and resampled by the runtime's ``SlidingWindow``. Only
the search for the face in the picture is left out.

Seeds. Training uses 1,000,000 and above, validation 500,000 to 999,999. Seeds below 100,000 are
the frozen test set: nothing is ever trained or tuned on them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import numpy as np

from hrd.face.crop import GROWTH
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.sim.background import sample_background
from hrd.sim.face import Lighting, draw_face
from hrd.sim.framing import BOX_SIZE, KnowingDetector, lay_out
from hrd.sim.hearts import sample_heart
from hrd.sim.lens import VIDEO_ENCODERS, Sensor, encode
from hrd.sim.light import Light, sample_hunting_light, sample_light, sample_pulsing_light
from hrd.sim.look import PULSE_OF_GROUP, FaceLook, sample_look
from hrd.sim.motion import (
    DIFFICULTIES,
    Motion,
    sample_bobbing,
    sample_motion,
    sample_photo_motion,
)
from hrd.sim.pulse import Heart
from hrd.sim.scene import PULSE_RGB, FaceScene, PulseLook
from hrd.train.cameras import sample_codec, sample_sensor, sample_times
from hrd.types import MODEL_FS_HZ, Frame
from hrd.window import SlidingWindow

TEST_SEEDS = range(100_000)
VALIDATION_SEEDS = range(500_000, 1_000_000)
FIRST_TRAINING_SEED = 1_000_000

PULSE, STILL_FACE, PHOTO, PULSING_LIGHT = "pulse", "still-face", "photo", "pulsing-light"
LIT_PHOTO, BOBBING, ROCKED_PHOTO = "photo-in-pulsing-light", "bobbing-face", "rocked-photo"
HUNTING = "hunting-camera"
PULSE_FREE_KINDS = (STILL_FACE, PHOTO, PULSING_LIGHT, LIT_PHOTO, BOBBING, ROCKED_PHOTO, HUNTING)


@dataclass(frozen=True)
class Recipe:
    """What to draw, and how often. Shares are 0..1, ranges (low, high)."""

    frames: int = 256
    pulse_free: float = 0.12
    pulse_free_kinds: Tuple[float, ...] = (0.27, 0.17, 0.18, 0.03, 0.22, 0.07, 0.06)
    """Shares of ``PULSE_FREE_KINDS``, in order."""
    bpm: Tuple[float, float] = (40.0, 205.0)
    green_ac: Tuple[float, float] = (0.001, 0.02)
    """Peak-to-peak over mean of the green channel on light skin where the gain is 1."""
    green_ac_median: float = 0.0075
    green_ac_spread: float = 0.6
    side_px: Tuple[float, float] = (70.0, 400.0)
    difficulty: Tuple[float, float, float] = (0.35, 0.4, 0.25)
    """Shares of still, typical and hard clips."""
    codec: Dict[str, float] = field(
        default_factory=lambda: {
            "raw": 0.05,
            "yuv420": 0.13,
            "jpeg": 0.22,
            "h264": 0.29,
            "mpeg4": 0.23,
            "h265": 0.04,
            "vp8": 0.04,
        }
    )
    """Shares of the codecs."""
    skin_groups: Tuple[int, ...] = (1, 2, 3, 4, 5, 5, 6, 6)
    """Drawn from evenly; twice the dark ones, whose pulse is weakest."""

    def to_json(self) -> Dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TrainingClip:
    """One clip and its truth, on the regular 30 Hz grid.

    ``crops``: (T, 36, 36, 3) float32 RGB 0..255. ``cut``: (T,) bool. ``bvp``: (T,) float32, zero
    mean and unit standard deviation, rising with systole (when skin darkens); zeros where there
    is no pulse. ``bpm``: (T,) float32 instantaneous rate; zeros where there is no pulse.
    """

    seed: int
    crops: np.ndarray
    cut: np.ndarray
    bvp: np.ndarray
    bpm: np.ndarray
    has_pulse: bool
    skin_group: int
    difficulty: str
    kind: str
    meta: Dict[str, Any]


def make_clip(seed: int, recipe: Optional[Recipe] = None) -> TrainingClip:
    """Draw clip number ``seed``; the same seed and recipe always give the same clip."""
    recipe = recipe or Recipe()
    rng = np.random.default_rng((seed, 7))
    difficulty = str(rng.choice(DIFFICULTIES, p=recipe.difficulty))
    kind = PULSE
    if rng.random() < recipe.pulse_free:
        kind = str(rng.choice(PULSE_FREE_KINDS, p=recipe.pulse_free_kinds))
    look = sample_look(rng, int(rng.choice(recipe.skin_groups)))
    seconds = recipe.frames / MODEL_FS_HZ
    heart = Heart(sample_heart(rng, recipe.bpm, seconds), int(rng.integers(1 << 31)))
    pulse = _sample_pulse(rng, recipe, look) if kind == PULSE else None
    motion = _sample_motion(rng, kind, difficulty, heart)
    light = _sample_light(rng, kind, difficulty)
    sensor = sample_sensor(rng, difficulty)
    codec = sample_codec(rng, recipe.codec)
    fps, times_s = sample_times(rng, recipe.frames, codec.kind)
    low, high = recipe.side_px
    # a camera's video codec comes from large pictures, in which a face is many blocks wide
    place = rng.beta(1.8, 1.7) if codec.kind in VIDEO_ENCODERS else rng.beta(1.3, 1.9)
    side_px = low * (high / low) ** float(place)
    unit_px = side_px / (GROWTH * BOX_SIZE)
    geometry = lay_out(rng, motion, times_s, unit_px)
    layers = draw_face(look, unit_px, 0.9, 0.95, 0.9)
    warm = rng.normal(0.0, 1.0)
    brightness = float(rng.choice([rng.uniform(0.3, 0.7), rng.uniform(0.65, 1.1)], p=[0.3, 0.7]))
    if look.skin_group >= 5:
        brightness = min(1.6 * brightness, 1.3)  # exposure control lifts a dark face
    scene = FaceScene(
        layers,
        _sample_lighting(rng),
        geometry.size,
        geometry.origin_px,
        sample_background(rng, geometry.size, alive=bool(rng.random() < 0.18)),
        motion,
        light,
        heart if pulse is not None else None,
        pulse,
        tint=(
            brightness * float(np.exp(0.10 * warm)),
            brightness * float(np.exp(rng.normal(0.0, 0.03))),
            brightness * float(np.exp(-0.20 * warm)),
        ),
        shine=float(rng.choice([0.0, rng.uniform(5.0, 90.0)], p=[0.15, 0.85])),
    )
    camera = Sensor(sensor, rng)
    pictures = (camera.expose(picture) for picture in scene.frames(times_s))
    detector = KnowingDetector(geometry.boxes, rng, float(rng.uniform(0.002, 0.010)))
    tracker = FaceTracker(detector, TrackerConfig(deadband=float(rng.uniform(0.045, 0.075))))
    window = SlidingWindow(recipe.frames)
    chunk = None
    for index, image in enumerate(encode(pictures, codec, fps)):
        detector.index = index
        roi = tracker.push(Frame(image, float(times_s[index]), index))
        if roi is None:
            raise RuntimeError(f"clip {seed}: the drawn face was lost at frame {index}")
        chunk = window.push(roi)
        if chunk is not None:
            break
    if chunk is None:
        raise RuntimeError(f"clip {seed}: {len(times_s)} frames did not fill the window")
    # at low frame rates one frame can complete more samples than the clip needs
    crops, cut = chunk.crops[: recipe.frames], chunk.cut[: recipe.frames]
    grid_s = chunk.start_s + np.arange(recipe.frames) / MODEL_FS_HZ
    bvp = np.zeros(recipe.frames)
    bpm = np.zeros(recipe.frames)
    if pulse is not None:
        bvp = heart.bvp(grid_s)
        bvp = (bvp - bvp.mean()) / bvp.std()
        bpm = heart.bpm(grid_s)
    return TrainingClip(
        seed=seed,
        crops=crops,
        cut=cut,
        bvp=bvp.astype(np.float32),
        bpm=bpm.astype(np.float32),
        has_pulse=pulse is not None,
        skin_group=look.skin_group,
        difficulty=difficulty,
        kind=kind,
        meta={
            "fps": fps,
            "side_px": side_px,
            "green_ac": pulse.green_ac if pulse is not None else 0.0,
            "mean_bpm": float(bpm.mean()),
            "codec": codec.kind,
            "quality": {"jpeg": codec.quality, "mpeg4": codec.quantiser}.get(codec.kind, codec.crf),
            "bitrate": codec.bitrate,
            "gop": codec.gop,
            "read_noise": sensor.read_noise,
            "denoise": sensor.denoise,
            "beautify": sensor.beautify,
            "cuts": int(cut.sum()),
        },
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sample_pulse(rng: np.random.Generator, recipe: Recipe, look: FaceLook) -> PulseLook:
    median, spread = recipe.green_ac_median, recipe.green_ac_spread
    green_ac = median * float(np.exp(rng.normal(0.0, spread)))
    green_ac = float(np.clip(green_ac * PULSE_OF_GROUP[look.skin_group], *recipe.green_ac))
    r, g, b = np.array(PULSE_RGB) * np.exp(rng.normal([-0.1, 0.0, -0.05], [0.3, 0.0, 0.25]))
    return PulseLook(
        green_ac=green_ac,
        rgb=(float(r), float(g), float(b)),
        recoil=_log_uniform(rng, 0.0001, 0.0012),
    )


def _sample_motion(rng: np.random.Generator, kind: str, difficulty: str, heart: Heart) -> Motion:
    if kind in (PHOTO, LIT_PHOTO):
        return sample_photo_motion(rng, held=bool(rng.random() < 0.6))
    if kind in (BOBBING, ROCKED_PHOTO):
        return sample_bobbing(rng, difficulty, heart.breath, alive=kind == BOBBING)
    return sample_motion(rng, difficulty, heart.breath)


def _sample_light(rng: np.random.Generator, kind: str, difficulty: str) -> Light:
    if kind in (PULSING_LIGHT, LIT_PHOTO):
        return sample_pulsing_light(rng)
    if kind == HUNTING:
        return sample_hunting_light(rng, difficulty)
    return sample_light(rng, difficulty)


def _sample_lighting(rng: np.random.Generator) -> Lighting:
    return Lighting(
        azimuth=float(rng.uniform(-1.1, 1.1)),
        elevation=float(rng.uniform(-0.15, 1.0)),
        ambient=float(rng.uniform(0.3, 0.85)),
        hardness=float(rng.uniform(0.4, 0.9)),
    )
