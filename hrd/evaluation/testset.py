"""The frozen simulated test set: a recipe and seeds, drawn when needed, never trained on.

Clip ``k`` of a difficulty is drawn from a seed of its own below 100,000; training and validation
start above that. The ranges are this module's own, so that tuning the training generator does not
move the test; what both share is the renderer (hrd.sim). Skin groups and rate bands are not left
to chance: they go round with ``k``, so that 36 clips hold every pair of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from hrd.evaluation.drawn import (
    DrawnClip,
    as_recording,
    cache_folder,
    fingerprint,
    follow,
    load_or_draw,
    meta_groups,
)
from hrd.evaluation.recording import Entry, Recording, Reference
from hrd.sim.background import sample_background
from hrd.sim.face import Lighting, draw_face
from hrd.sim.framing import BOX_SIZE, KnowingDetector, lay_out
from hrd.sim.lens import CodecConfig, Sensor, SensorConfig
from hrd.sim.light import Jolts, Light
from hrd.sim.look import PULSE_OF_GROUP, sample_look
from hrd.sim.motion import Motion, Periodic, Product, Sum
from hrd.sim.pulse import Heart, HeartConfig, ramp, step
from hrd.sim.scene import PULSE_RGB, FaceScene, PulseLook
from hrd.sim.signals import Bumps, Gate, Levels, Signal, SmoothNoise, zero

VERSION = 2
"""Raised with every change of the recipe."""

SECONDS = 30.5
"""Length of a clip: three whole windows of 10 s and one of 30 s."""

EASY, TYPICAL, HARD, NO_PULSE = "easy", "typical", "hard", "no-pulse"
STEP, RAMP, CAMERAS = "step", "ramp", "cameras"
DIFFICULTIES = (EASY, TYPICAL, HARD)
"""What a heart-rate error is given for."""
ALL = (*DIFFICULTIES, NO_PULSE, STEP, RAMP, CAMERAS)
"""STEP, RAMP and CAMERAS are easy but for one thing each: a rate that jumps by 20 bpm, a rate that
runs at 30 bpm a minute, and cameras of every frame rate that jitter and drop frames."""

SEEDS_EACH = 10_000
FIRST_SEED = {
    EASY: 0,
    TYPICAL: 10_000,
    HARD: 20_000,
    NO_PULSE: 30_000,
    STEP: 50_000,  # painted faces have those from 40,000
    RAMP: 60_000,
    CAMERAS: 70_000,
}

STEP_AT_S = 25.0
STEP_BPM = 20.0
STEPS_FROM_BPM = (60.0, 90.0, 75.0, 110.0, 130.0, 100.0)
"""Rate before the step of clip k, in turn; it goes up in even clips and down in odd ones."""
RAMP_START_S = 20.0
RAMP_BPM_PER_MIN = 30.0
RAMPS_BPM = ((60.0, 85.0), (110.0, 85.0), (80.0, 105.0), (140.0, 115.0))
LASTING_S = {NO_PULSE: 20.5, STEP: 45.5, RAMP: 75.5}
"""Length of a clip that is not of the common length."""
CAMERA_FPS = (15.0, 20.0, 24.9, 30.0, 60.0)
CAMERA_BPM = (45.0, 61.0, 82.0, 111.0, 149.0, 200.0)
"""Clip k of CAMERAS: every frame rate with every heart rate, a few bpm apart from clip to clip."""
CAMERA_JITTER, CAMERA_DROPS = 0.2, 0.1

SKIN_GROUPS = (1, 2, 3, 4, 5, 6)
BANDS_BPM = ((60, 90), (45, 60), (60, 90), (90, 120), (60, 90), (120, 175))
"""Rate band of clip k, in turn (each for six clips, one of every skin group)."""

KINDS = (
    "still face",
    "moving face",
    "nodding in the band",
    "photograph",
    "photograph held in a hand",
    "pulsing light on a face",
    "pulsing light on a photograph",
    "flickering screen",
    "exposure hunting",
    "talking",
    "face on a noisy screen",
)
"""What clip k of NO_PULSE shows, in turn."""

Range = Tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """One difficulty: ranges (low, high) are drawn from log-uniformly, shares are 0..1.

    ``sway``: rms movement of the head, face widths; ``turn``: rms rotation, radians; ``shift``:
    size of changes of posture, face widths; ``nod``: amplitude of periodic nodding inside the
    heart-rate band, face widths; ``light``: rms of slow changes of exposure, relative; ``jolt``:
    size of exposure jumps; ``screen``: steps of a screen's light on the face; ``brightness``: of
    the lamp; ``dim_dark_share``: share of the clips of skin groups 5 and 6 that are in dim light
    on top; ``green_ac``: peak-to-peak pulse over mean, green, on light skin; ``face_px``: width
    of the face in the picture; ``jpeg``, ``crf``: quality; ``raw``: share without compression.
    """

    sway: Range
    turn: Range
    shift: Range
    shift_share: float
    nod: Range
    nod_share: float
    talk_share: float
    light: Range
    jolt: Range
    jolt_share: float
    screen: Range
    screen_share: float
    brightness: Range
    dim_dark_share: float
    green_ac: Range
    read_noise: Range
    shot_noise: Range
    face_px: Range
    raw: float
    h264: float
    jpeg: Tuple[int, int]
    crf: Tuple[int, int]
    fps: Tuple[float, ...]
    jitter: float
    drops: float


CONDITIONS: Dict[str, Conditions] = {
    EASY: Conditions(
        sway=(0.001, 0.004),
        turn=(0.002, 0.01),
        shift=(0.01, 0.02),
        shift_share=0.0,
        nod=(0.003, 0.006),
        nod_share=0.0,
        talk_share=0.0,
        light=(0.0004, 0.0025),
        jolt=(0.005, 0.01),
        jolt_share=0.0,
        screen=(0.002, 0.006),
        screen_share=0.1,
        brightness=(0.75, 1.05),
        dim_dark_share=0.0,
        green_ac=(0.005, 0.012),
        read_noise=(0.6, 1.6),
        shot_noise=(0.005, 0.03),
        face_px=(110.0, 180.0),
        raw=0.6,
        h264=0.0,
        jpeg=(85, 95),
        crf=(18, 20),
        fps=(30.0,),
        jitter=0.02,
        drops=0.0,
    ),
    TYPICAL: Conditions(
        sway=(0.002, 0.008),
        turn=(0.004, 0.025),
        shift=(0.02, 0.06),
        shift_share=0.5,
        nod=(0.003, 0.008),
        nod_share=0.1,
        talk_share=0.25,
        light=(0.0006, 0.004),
        jolt=(0.01, 0.03),
        jolt_share=0.2,
        screen=(0.003, 0.01),
        screen_share=0.2,
        brightness=(0.55, 1.05),
        dim_dark_share=0.0,
        green_ac=(0.005, 0.012),
        read_noise=(0.6, 2.0),
        shot_noise=(0.005, 0.04),
        face_px=(90.0, 170.0),
        raw=0.25,
        h264=0.1,
        jpeg=(70, 92),
        crf=(17, 21),
        fps=(30.0, 30.0, 25.0, 20.0),
        jitter=0.08,
        drops=0.01,
    ),
    HARD: Conditions(
        sway=(0.006, 0.02),
        turn=(0.015, 0.08),
        shift=(0.04, 0.14),
        shift_share=0.7,
        nod=(0.005, 0.02),
        nod_share=0.4,
        talk_share=0.5,
        light=(0.0015, 0.01),
        jolt=(0.015, 0.06),
        jolt_share=0.5,
        screen=(0.006, 0.025),
        screen_share=0.4,
        brightness=(0.4, 0.95),
        dim_dark_share=0.5,
        green_ac=(0.004, 0.010),
        read_noise=(1.0, 3.0),
        shot_noise=(0.01, 0.06),
        face_px=(80.0, 160.0),
        raw=0.0,
        h264=0.3,
        jpeg=(55, 80),
        crf=(20, 26),
        fps=(30.0, 25.0, 20.0, 15.0),
        jitter=0.15,
        drops=0.02,
    ),
}


def recipe() -> Dict[str, Any]:
    """Everything that defines the set, as JSON."""
    return {
        "version": VERSION,
        "seconds": SECONDS,
        "first_seed": FIRST_SEED,
        "skin_groups": SKIN_GROUPS,
        "bands_bpm": BANDS_BPM,
        "kinds": KINDS,
        "conditions": {name: dataclasses.asdict(c) for name, c in CONDITIONS.items()},
        "step": (STEP_AT_S, STEP_BPM, STEPS_FROM_BPM),
        "ramp": (RAMP_START_S, RAMP_BPM_PER_MIN, RAMPS_BPM),
        "lasting_s": LASTING_S,
        "cameras": (CAMERA_FPS, CAMERA_BPM, CAMERA_JITTER, CAMERA_DROPS),
    }


def drawn_by() -> str:
    """Mark of the recipe and the code that draws by it: sets with another mark are other sets."""
    return fingerprint(recipe())[:16]


def entries(difficulties: Sequence[str], clips: int, cache: Optional[str]) -> List[Entry]:
    """``clips`` entries of each difficulty; drawn when loaded, kept under ``cache``."""
    if not 1 <= clips <= SEEDS_EACH:
        raise ValueError(f"{clips} clips: from 1 to {SEEDS_EACH} can be had of each difficulty")
    folder = cache_folder(cache) / f"testset-{VERSION}-{drawn_by()}"
    return [
        Entry(
            clip_name(difficulty, k),
            partial(load_clip, difficulty, k, str(folder)),
            section=difficulty,
        )
        for difficulty in difficulties
        for k in range(clips)
    ]


def clip_name(difficulty: str, k: int) -> str:
    return f"{difficulty}-{k:04d}"


def load_clip(difficulty: str, k: int, folder: Optional[str]) -> Recording:
    """Clip ``k`` as a recording, from the cache if it is there."""
    name = clip_name(difficulty, k)
    path = Path(folder) / f"{name}.npz" if folder is not None else None
    clip = load_or_draw(path, partial(draw_clip, difficulty, k))
    groups = meta_groups(
        clip.meta,
        {
            "difficulty": "difficulty",
            "skin_group": "skin group (simulated)",
            "light": "light",
            "codec": "compression",
            "nods": "nods in the band",
            "kind": "kind",
            "camera": "frame rate",
        },
    )
    return as_recording(clip, name, groups)


def draw_clip(difficulty: str, k: int, seconds: Optional[float] = None) -> DrawnClip:
    """Draw clip ``k`` of a difficulty (NO_PULSE: under the typical conditions, without a pulse)."""
    if not 0 <= k < SEEDS_EACH:
        raise ValueError(f"clip {k}: there are {SEEDS_EACH} of each difficulty")
    rng = np.random.default_rng((FIRST_SEED[difficulty] + k, 23))
    seconds = seconds if seconds is not None else LASTING_S.get(difficulty, SECONDS)
    conditions = conditions_of(difficulty, k)
    kind = KINDS[k % len(KINDS)] if difficulty == NO_PULSE else "pulse"
    group = SKIN_GROUPS[k % len(SKIN_GROUPS)]
    look = sample_look(rng, group)
    heart = _heart(rng, *_rate(rng, difficulty, k))
    pulse = _pulse(rng, conditions, group) if kind == "pulse" else None
    motion, nods = sample_motion(rng, conditions, heart, kind)
    light = sample_light(rng, conditions, kind)
    dim = group >= 5 and rng.random() < conditions.dim_dark_share
    brightness = 0.55 if dim else _between(rng, conditions.brightness)
    warm = float(rng.normal(0.0, 1.0))
    fps, times_s = _times(rng, conditions, seconds)
    unit_px = _between(rng, conditions.face_px) / BOX_SIZE
    geometry = lay_out(rng, motion, times_s, unit_px)
    lighting = Lighting(
        azimuth=float(rng.uniform(-0.9, 0.9)),
        elevation=float(rng.uniform(-0.1, 0.9)),
        ambient=float(rng.uniform(0.4, 0.85)),
        hardness=float(rng.uniform(0.4, 0.8)),
    )
    scene = FaceScene(
        draw_face(look, unit_px, 0.9, 0.95, 0.9),
        lighting,
        geometry.size,
        geometry.origin_px,
        sample_background(rng, geometry.size, alive=bool(difficulty == HARD and k % 3 == 0)),
        motion,
        light,
        heart if pulse is not None else None,
        pulse,
        tint=(
            brightness * float(np.exp(0.08 * warm)),
            brightness,
            brightness / np.exp(0.15 * warm),
        ),
        shine=float(rng.uniform(5.0, 60.0)),
    )
    codec = _codec(rng, conditions)
    camera = Sensor(_sensor(rng, conditions, kind, dim), rng)
    detector = KnowingDetector(geometry.boxes, rng, float(rng.uniform(0.002, 0.008)))
    grid_s = np.arange(0.0, times_s[-1] + 1.0 / 30.0, 1.0 / 30.0)
    reference = Reference()
    if pulse is not None:
        reference = Reference(heart.bvp(grid_s), grid_s, heart.bpm(grid_s), grid_s)

    def at(index: int) -> None:
        detector.index = index

    return follow(
        (camera.expose(picture) for picture in scene.frames(times_s)),
        times_s,
        codec,
        fps,
        detector,
        at,
        reference,
        {
            "seed": FIRST_SEED[difficulty] + k,
            "difficulty": difficulty,
            "skin_group": group,
            "kind": kind,
            "light": "dim" if dim else "normal",
            "nods": "yes" if nods else "no",
            "codec": codec.kind,
            "fps": fps,
            **({"camera": f"{fps:g} fps"} if difficulty == CAMERAS else {}),
            "mean_bpm": float(heart.bpm(grid_s).mean()) if pulse is not None else None,
            "green_ac": pulse.green_ac if pulse is not None else 0.0,
        },
    )


def _between(rng: np.random.Generator, bounds: Range) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def conditions_of(difficulty: str, k: int) -> Conditions:
    """Under which conditions clip ``k`` of a difficulty is taken."""
    if difficulty in CONDITIONS:
        return CONDITIONS[difficulty]
    if difficulty == NO_PULSE:
        return CONDITIONS[TYPICAL]
    if difficulty == CAMERAS:
        fps = CAMERA_FPS[k % len(CAMERA_FPS)]
        return dataclasses.replace(
            CONDITIONS[EASY], fps=(fps,), jitter=CAMERA_JITTER, drops=CAMERA_DROPS
        )
    return CONDITIONS[EASY]


def _rate(
    rng: np.random.Generator, difficulty: str, k: int
) -> Tuple[float, Tuple[Tuple[float, float], ...]]:
    """Mean rate of clip ``k``, and its profile if it has one."""
    if difficulty == STEP:
        before = STEPS_FROM_BPM[k % len(STEPS_FROM_BPM)]
        after = before + (STEP_BPM if k % 2 == 0 else -STEP_BPM)
        return before, step(before, after, STEP_AT_S)
    if difficulty == RAMP:
        first, last = RAMPS_BPM[k % len(RAMPS_BPM)]
        return first, ramp(first, last, RAMP_START_S, RAMP_BPM_PER_MIN)
    if difficulty == CAMERAS:
        bpm = CAMERA_BPM[(k // len(CAMERA_FPS)) % len(CAMERA_BPM)]
        return float(np.clip(bpm + rng.uniform(-3.0, 3.0), CAMERA_BPM[0], CAMERA_BPM[-1])), ()
    low, high = BANDS_BPM[(k // len(SKIN_GROUPS)) % len(BANDS_BPM)]
    return _between(rng, (low + 1.0, high - 1.0)), ()


def _heart(rng: np.random.Generator, bpm: float, profile: Tuple[Tuple[float, float], ...]) -> Heart:
    config = HeartConfig(
        bpm=bpm,
        profile=profile,
        lf=_between(rng, (0.008, 0.03)),
        hf=_between(rng, (0.008, 0.03)),
        drift_bpm_per_min=float(rng.uniform(0.0, 5.0)),
        breath_hz=float(rng.uniform(0.18, 0.4)),
        breath_amplitude=float(rng.uniform(0.0, 0.2)),
        breath_baseline=float(rng.uniform(0.0, 0.4)),
        notch=float(rng.uniform(0.0, 0.5)),
        systole=float(rng.uniform(0.08, 0.12) * np.clip(np.sqrt(bpm / 70.0), 0.8, 1.5)),
    )
    return Heart(config, int(rng.integers(1 << 31)))


def _pulse(rng: np.random.Generator, conditions: Conditions, group: int) -> PulseLook:
    r, g, b = np.array(PULSE_RGB) * np.exp(rng.normal(0.0, [0.2, 0.0, 0.15]))
    return PulseLook(
        green_ac=_between(rng, conditions.green_ac) * PULSE_OF_GROUP[group],
        rgb=(float(r), float(g), float(b)),
        recoil=_between(rng, (0.0001, 0.0008)),
    )


def sample_motion(
    rng: np.random.Generator, conditions: Conditions, heart: Heart, kind: str
) -> Tuple[Motion, bool]:
    """How the head moves, and whether it nods periodically. ``kind``: of KINDS, or any other."""

    def seed() -> int:
        return int(rng.integers(1 << 31))

    if kind in ("photograph", "pulsing light on a photograph"):
        return Motion(), False
    sway, turn = _between(rng, conditions.sway), _between(rng, conditions.turn)
    if kind == "photograph held in a hand":
        return (
            Motion(
                x=SmoothNoise(rng, 2.0 * sway, 0.1, 3.0),
                y=SmoothNoise(rng, 2.0 * sway, 0.1, 3.0),
                roll=SmoothNoise(rng, sway, 0.1, 3.0),
                zoom=SmoothNoise(rng, 0.5 * sway, 0.1, 1.0),
            ),
            False,
        )
    if kind in ("still face", "face on a noisy screen"):
        sway, turn = 0.3 * sway, 0.2 * turn
    x: List[Signal] = [SmoothNoise(rng, sway, 0.05, 0.8)]
    y: List[Signal] = [SmoothNoise(rng, 0.7 * sway, 0.05, 0.8)]
    yaw: List[Signal] = [SmoothNoise(rng, turn, 0.05, 0.7)]
    pitch: List[Signal] = [SmoothNoise(rng, 0.7 * turn, 0.05, 0.7)]
    roll: List[Signal] = [SmoothNoise(rng, 0.4 * turn, 0.05, 0.7)]
    breathing = _between(rng, (0.0005, 0.003))
    y.append(_Times(heart.breath, breathing))
    if rng.random() < conditions.shift_share:
        size, slot_s = _between(rng, conditions.shift), float(rng.uniform(4.0, 12.0))
        x.append(Levels(seed(), slot_s, size, 0.8))
        y.append(Levels(seed(), slot_s, 0.5 * size, 0.8))
        yaw.append(Levels(seed(), slot_s, 1.5 * size, 0.8))
    nods = rng.random() < conditions.nod_share or kind == "nodding in the band"
    if nods:
        # inside the band of heart rates, and never at the heart's own: that could not be told
        rate_hz = float(rng.uniform(0.8, 2.6))
        if abs(60.0 * rate_hz - heart.config.bpm) < 15.0:
            rate_hz += 0.5 if rate_hz < 1.7 else -0.5
        wave = Periodic(rng, _between(rng, conditions.nod), rate_hz)
        gate = Gate(seed(), 8.0, 0.8)
        if rng.random() < 0.5:
            y.append(Product(wave, gate))
            pitch.append(Product(wave, gate, 1.5))
        else:
            x.append(Product(wave, gate))
            yaw.append(Product(wave, gate, 1.5))
    jaw: Signal = zero
    if kind == "talking" or rng.random() < conditions.talk_share:
        jaw = Product(
            _Upper(SmoothNoise(rng, 0.35, 1.5, 6.0, slope=0.3)), Gate(seed(), 3.0, 0.6, 0.2)
        )
    motion = Motion(
        x=Sum(*x),
        y=Sum(*y),
        roll=Sum(*roll),
        zoom=SmoothNoise(rng, 0.3 * sway, 0.05, 0.5),
        yaw=Sum(*yaw),
        pitch=Sum(*pitch),
        jaw=jaw,
        blink=Bumps(seed(), float(rng.uniform(2.0, 5.0)), 0.85, 0.25),
        turning=True,
    )
    return motion, bool(nods)


def sample_light(rng: np.random.Generator, conditions: Conditions, kind: str) -> Light:
    """How the light changes. ``kind``: of KINDS, or any other."""

    def seed() -> int:
        return int(rng.integers(1 << 31))

    exposure: List[Signal] = [
        SmoothNoise(rng, _between(rng, conditions.light), 0.03, 0.6, slope=1.0)
    ]
    if rng.random() < conditions.jolt_share:
        exposure.append(Jolts(seed(), 6.0, 0.6, _between(rng, conditions.jolt), 0.8))
    if kind == "exposure hunting":
        exposure.append(Periodic(rng, _between(rng, (0.001, 0.004)), float(rng.uniform(0.8, 2.5))))
    balance = 0.5 * _between(rng, conditions.light)
    screen: Signal = zero
    rgb = (1.0, 1.0, 1.0)
    if rng.random() < conditions.screen_share or kind == "flickering screen":
        screen = Levels(
            seed(), float(rng.uniform(0.8, 4.0)), _between(rng, conditions.screen), 0.06
        )
        r, g, b = rng.uniform(0.5, 1.2, 3)
        rgb = (float(r), float(g), float(b))
    if kind.startswith("pulsing light"):
        screen = Periodic(rng, _between(rng, (0.001, 0.006)), float(rng.uniform(0.8, 2.8)))
        r, g, b = rng.uniform(0.8, 1.2, 3)
        rgb = (float(r), float(g), float(b))
    return Light(
        exposure=Sum(*exposure),
        red=SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0),
        blue=SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0),
        screen=screen,
        screen_rgb=rgb,
    )


def _times(
    rng: np.random.Generator, conditions: Conditions, seconds: float
) -> Tuple[float, np.ndarray]:
    """Frame rate, and times of capture from zero to just past ``seconds``."""
    fps = float(rng.choice(conditions.fps))
    count = int(seconds * fps) + 2
    steps_s = np.full(count, 1.0 / fps)
    steps_s *= np.clip(1.0 + rng.normal(0.0, conditions.jitter, count), 0.5, 1.5)
    steps_s += (rng.random(count) < conditions.drops) / fps
    times_s = np.cumsum(steps_s) - steps_s[0]
    return fps, times_s[times_s <= seconds]


def _sensor(rng: np.random.Generator, conditions: Conditions, kind: str, dim: bool) -> SensorConfig:
    # a camera in dim light turns its gain up, and its noise with it
    gain = 1.6 if dim else 1.0
    if kind == "face on a noisy screen":
        gain = 2.0
    return SensorConfig(
        read_noise=gain * _between(rng, conditions.read_noise),
        shot_noise=gain * _between(rng, conditions.shot_noise),
        grain=str(rng.choice(["white", "fine", "blotchy"], p=[0.3, 0.5, 0.2])),
        blur_px=float(rng.choice([0.0, 0.8])),
    )


def _codec(rng: np.random.Generator, conditions: Conditions) -> CodecConfig:
    chance = rng.random()
    if chance < conditions.raw:
        return CodecConfig("yuv420")
    if chance < conditions.raw + conditions.h264:
        low, high = conditions.crf
        return CodecConfig("h264", crf=int(rng.integers(low, high + 1)), gop=60)
    low, high = conditions.jpeg
    return CodecConfig("jpeg", quality=int(rng.integers(low, high + 1)))


class _Times:
    """A signal times a constant."""

    def __init__(self, inner: Callable[[np.ndarray], np.ndarray], scale: float) -> None:
        self._inner, self._scale = inner, scale

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        return self._scale * self._inner(times_s)


class _Upper:
    """The upper half of a signal, at most 1."""

    def __init__(self, inner: Signal) -> None:
        self._inner = inner

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        return np.clip(self._inner(times_s), 0.0, 1.0)
