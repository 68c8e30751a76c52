"""How the clips of the test set are drawn within their conditions: heart, motion, light, camera."""

from __future__ import annotations

from typing import Callable, List, Tuple

import numpy as np

from hrd.evaluation.conditions import (
    BANDS_BPM,
    CAMERA_BPM,
    CAMERA_FPS,
    CAMERAS,
    LOW_BITRATE_BPP,
    LOW_BITRATE_CODECS,
    LOW_BITRATE_CRF,
    LOW_BITRATE_GOPS,
    LOW_BITRATE_QUANTISER,
    RAMP,
    RAMP_BPM_PER_MIN,
    RAMP_START_S,
    RAMPS_BPM,
    SKIN_GROUPS,
    STEP,
    STEP_AT_S,
    STEP_BPM,
    STEPS_FROM_BPM,
    Conditions,
    Range,
)
from hrd.sim.lens import CodecConfig, SensorConfig
from hrd.sim.light import Jolts, Light
from hrd.sim.look import PULSE_OF_GROUP
from hrd.sim.motion import Motion, Periodic, Product, Sum
from hrd.sim.pulse import Heart, HeartConfig, ramp, step
from hrd.sim.scene import PULSE_RGB, PulseLook
from hrd.sim.signals import Bumps, Gate, Levels, Signal, SmoothNoise, zero


def between(rng: np.random.Generator, bounds: Range) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def sample_rate(
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
    return between(rng, (low + 1.0, high - 1.0)), ()


def sample_heart(
    rng: np.random.Generator,
    conditions: Conditions,
    bpm: float,
    profile: Tuple[Tuple[float, float], ...],
    calm: bool,
    seconds: float,
) -> Heart:
    """A heart of that rate: as lively as people's, or ``calm`` where a step or a ramp of its
    profile, or the camera, is what is tested."""
    if calm:
        lf, hf = between(rng, (0.008, 0.03)), between(rng, (0.008, 0.03))
        jitter, early, drift = 0.0, 0.0, float(rng.uniform(0.0, 5.0))
    else:
        quiet = float(np.clip((95.0 / bpm) ** 1.2, 0.25, 1.15))
        lf = min(1.0, quiet) ** 0.5 * between(rng, (0.02, 0.05))
        hf = quiet * between(rng, (0.015, 0.05))
        jitter = between(rng, (0.010, 0.022)) * bpm / 60.0
        early = float(rng.choice([0.0, rng.uniform(0.01, 0.04)], p=[0.9, 0.1]))
        drift = float(rng.uniform(0.0, 15.0))
        if rng.random() < conditions.runs_share:
            at_s = float(rng.uniform(0.1, 0.7)) * seconds
            other = float(np.clip(bpm + rng.uniform(-20.0, 20.0), 45.0, 185.0))
            profile = ((at_s, bpm), (at_s + between(rng, (4.0, 30.0)), other))
    config = HeartConfig(
        bpm=bpm,
        profile=profile,
        lf=lf,
        hf=hf,
        jitter=jitter,
        early_beats=early,
        drift_bpm_per_min=drift,
        breath_hz=float(rng.uniform(0.18, 0.4)),
        breath_amplitude=float(rng.uniform(0.0, 0.2)),
        breath_baseline=float(rng.uniform(0.0, 0.4)),
        notch=float(rng.uniform(0.0, 0.5) if calm else rng.uniform(0.15, 0.45)),
        notch_wander=0.25 if calm else float(rng.uniform(0.1, 0.5)),
        height_wander=0.06 if calm else float(rng.uniform(0.04, 0.15)),
        width_wander=0.0 if calm else float(rng.uniform(0.0, 0.25)),
        systole=float(rng.uniform(0.07, 0.11) * np.clip(np.sqrt(bpm / 70.0), 0.8, 1.5)),
    )
    return Heart(config, int(rng.integers(1 << 31)))


def sample_pulse(rng: np.random.Generator, conditions: Conditions, group: int) -> PulseLook:
    r, g, b = np.array(PULSE_RGB) * np.exp(rng.normal(0.0, [0.2, 0.0, 0.15]))
    return PulseLook(
        green_ac=between(rng, conditions.green_ac) * PULSE_OF_GROUP[group],
        rgb=(float(r), float(g), float(b)),
        recoil=between(rng, (0.0001, 0.0008)),
    )


def sample_motion(
    rng: np.random.Generator, conditions: Conditions, heart: Heart, kind: str
) -> Tuple[Motion, bool]:
    """How the head moves, and whether it nods periodically. ``kind``: of KINDS, or any other."""

    def seed() -> int:
        return int(rng.integers(1 << 31))

    if kind in ("photograph", "pulsing light on a photograph", "photograph at a low bit rate"):
        return Motion(), False
    sway, turn = between(rng, conditions.sway), between(rng, conditions.turn)
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
    if kind.startswith("photograph rocked"):
        rocking = Periodic(rng, between(rng, (0.004, 0.03)), float(rng.uniform(40.0, 60.0)) / 60.0)
        return Motion(x=rocking, roll=_Times(rocking, 0.5)), True
    if kind.startswith("still face") or kind == "face on a noisy screen":
        sway, turn = 0.3 * sway, 0.2 * turn
    x: List[Signal] = [SmoothNoise(rng, sway, 0.05, 0.8)]
    y: List[Signal] = [SmoothNoise(rng, 0.7 * sway, 0.05, 0.8)]
    yaw: List[Signal] = [SmoothNoise(rng, turn, 0.05, 0.7)]
    pitch: List[Signal] = [SmoothNoise(rng, 0.7 * turn, 0.05, 0.7)]
    roll: List[Signal] = [SmoothNoise(rng, 0.4 * turn, 0.05, 0.7)]
    breathing = between(rng, (0.0005, 0.003))
    y.append(_Times(heart.breath, breathing))
    if rng.random() < conditions.shift_share:
        size, slot_s = between(rng, conditions.shift), float(rng.uniform(4.0, 12.0))
        x.append(Levels(seed(), slot_s, size, 0.8))
        y.append(Levels(seed(), slot_s, 0.5 * size, 0.8))
        yaw.append(Levels(seed(), slot_s, 1.5 * size, 0.8))
    if kind.endswith("40 to 60 a minute"):
        wave = Periodic(rng, between(rng, (0.004, 0.03)), float(rng.uniform(40.0, 60.0)) / 60.0)
        (y if "bobbing" in kind else x).append(wave)
        (pitch if "bobbing" in kind else roll).append(_Times(wave, 0.7))
    nods = rng.random() < conditions.nod_share or kind == "nodding in the band"
    if nods:
        # inside the band of heart rates, and never at the heart's own: that could not be told
        rate_hz = float(rng.uniform(0.8, 2.6))
        if abs(60.0 * rate_hz - heart.config.bpm) < 15.0:
            rate_hz += 0.5 if rate_hz < 1.7 else -0.5
        wave = Periodic(rng, between(rng, conditions.nod), rate_hz)
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
        SmoothNoise(rng, between(rng, conditions.light), 0.03, 0.6, slope=1.0)
    ]
    if rng.random() < conditions.jolt_share:
        exposure.append(Jolts(seed(), 6.0, 0.6, between(rng, conditions.jolt), 0.8))
    if kind == "exposure hunting":
        exposure.append(Periodic(rng, between(rng, (0.001, 0.004)), float(rng.uniform(0.8, 2.5))))
    balance = 0.5 * between(rng, conditions.light)
    red: List[Signal] = [SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0)]
    blue: List[Signal] = [SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0)]
    if kind == "white balance hunting":
        hunting = Periodic(rng, between(rng, (0.002, 0.008)), float(rng.uniform(0.7, 2.0)))
        red.append(hunting)
        blue.append(_Times(hunting, -1.0))
    screen: Signal = zero
    rgb = (1.0, 1.0, 1.0)
    if rng.random() < conditions.screen_share or kind == "flickering screen":
        screen = Levels(seed(), float(rng.uniform(0.8, 4.0)), between(rng, conditions.screen), 0.06)
        r, g, b = rng.uniform(0.5, 1.2, 3)
        rgb = (float(r), float(g), float(b))
    if kind.startswith("pulsing light"):
        screen = Periodic(rng, between(rng, (0.001, 0.006)), float(rng.uniform(0.8, 2.8)))
        r, g, b = rng.uniform(0.8, 1.2, 3)
        rgb = (float(r), float(g), float(b))
    return Light(
        exposure=Sum(*exposure),
        red=Sum(*red),
        blue=Sum(*blue),
        screen=screen,
        screen_rgb=rgb,
    )


def sample_times(
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


def sample_sensor(
    rng: np.random.Generator, conditions: Conditions, kind: str, dim: bool
) -> SensorConfig:
    # a camera in dim light turns its gain up, and its noise with it
    gain = 1.6 if dim else 1.0
    if kind == "face on a noisy screen":
        gain = 2.0
    return SensorConfig(
        read_noise=gain * between(rng, conditions.read_noise),
        shot_noise=gain * between(rng, conditions.shot_noise),
        grain=str(rng.choice(["white", "fine", "blotchy"], p=[0.3, 0.5, 0.2])),
        blur_px=float(rng.choice([0.0, 0.8])),
    )


def sample_codec(
    rng: np.random.Generator, conditions: Conditions, kind: str, k: int
) -> CodecConfig:
    """The compression of clip ``k``. ``kind``: of KINDS, or any other."""
    chance = rng.random()
    if kind.endswith("at a low bit rate") or chance >= 1.0 - conditions.low_bitrate:
        return _low_bitrate(rng, k)
    if chance < conditions.raw:
        return CodecConfig("yuv420")
    if chance < conditions.raw + conditions.h264:
        low, high = conditions.crf
        return CodecConfig("h264", crf=int(rng.integers(low, high + 1)), gop=60)
    low, high = conditions.jpeg
    return CodecConfig("jpeg", quality=int(rng.integers(low, high + 1)))


def _low_bitrate(rng: np.random.Generator, k: int) -> CodecConfig:
    # skin groups go round by k and rate bands by k // 6: this goes round within both
    codec = LOW_BITRATE_CODECS[(k + k // len(SKIN_GROUPS)) % len(LOW_BITRATE_CODECS)]
    low, high = LOW_BITRATE_QUANTISER if codec == "mpeg4" else LOW_BITRATE_CRF
    quality = int(rng.integers(low, high + 1))
    limited = rng.random() < 0.5
    bitrate = between(rng, LOW_BITRATE_BPP)
    return CodecConfig(
        codec,
        quantiser=quality,
        crf=quality,
        preset="ultrafast" if codec == "h265" else "veryfast",
        gop=int(rng.choice(LOW_BITRATE_GOPS)),
        bitrate=bitrate if limited else 0.0,
    )


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
