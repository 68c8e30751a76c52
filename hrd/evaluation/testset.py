"""The frozen simulated test set: a recipe and seeds, drawn when needed, never trained on.

Clip ``k`` of a difficulty is drawn from a seed of its own below 100,000; training and validation
start above that. The ranges are this module's own, so that tuning the training generator does not
move the test; what both share is the renderer (hrd.sim). Skin groups and rate bands are not left
to chance: they go round with ``k``, so that 36 clips hold every pair of them.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from hrd.evaluation.conditions import (
    ALL,
    BANDS_BPM,
    CAMERA_BPM,
    CAMERA_DROPS,
    CAMERA_FPS,
    CAMERA_JITTER,
    CAMERAS,
    CONDITIONS,
    FIRST_SEED,
    HARD,
    KINDS,
    LASTING_S,
    LOW_BITRATE,
    LOW_BITRATE_BPP,
    LOW_BITRATE_CODECS,
    LOW_BITRATE_CRF,
    LOW_BITRATE_GOPS,
    LOW_BITRATE_QUANTISER,
    NO_PULSE,
    RAMP,
    RAMP_BPM_PER_MIN,
    RAMP_START_S,
    RAMPS_BPM,
    SECONDS,
    SEEDS_EACH,
    SKIN_GROUPS,
    STEP,
    STEP_AT_S,
    STEP_BPM,
    STEPS_FROM_BPM,
    conditions_of,
)
from hrd.evaluation.drawn import (
    DrawnClip,
    as_recording,
    cache_folder,
    drawing_mark,
    follow,
    load_or_draw,
    meta_groups,
)
from hrd.evaluation.recording import Entry, Recording, Reference
from hrd.evaluation.sampling import (
    between,
    sample_codec,
    sample_heart,
    sample_light,
    sample_motion,
    sample_pulse,
    sample_rate,
    sample_sensor,
    sample_times,
)
from hrd.sim.background import sample_background
from hrd.sim.face import Lighting, draw_face
from hrd.sim.framing import BOX_SIZE, KnowingDetector, lay_out
from hrd.sim.lens import Sensor
from hrd.sim.look import sample_look
from hrd.sim.scene import FaceScene

VERSION = 3
"""Raised with every change of the recipe."""

_SAMPLE_S = 0.3


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
        "low_bitrate": (
            LOW_BITRATE_CODECS,
            LOW_BITRATE_BPP,
            LOW_BITRATE_QUANTISER,
            LOW_BITRATE_CRF,
            LOW_BITRATE_GOPS,
        ),
    }


@lru_cache(maxsize=1)
def drawn_by() -> str:
    """Mark of the recipe and of what is drawn by it: sets with another mark are other sets.

    Made of the beginnings of one clip of every difficulty, of every codec of LOW_BITRATE and of
    every kind without a pulse: a change of the code that changes a picture changes the mark, and
    a comment does not.
    """
    samples = [(difficulty, 0) for difficulty in ALL if difficulty not in (LOW_BITRATE, NO_PULSE)]
    samples += [(LOW_BITRATE, k) for k in range(len(LOW_BITRATE_CODECS))]
    samples += [(NO_PULSE, k) for k in range(len(KINDS))]
    clips = (draw_clip(difficulty, k, _SAMPLE_S) for difficulty, k in samples)
    return drawing_mark(recipe(), clips)[:16]


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
    bpm, profile = sample_rate(rng, difficulty, k)
    calm = difficulty in (STEP, RAMP, CAMERAS)
    heart = sample_heart(rng, conditions, bpm, profile, calm, seconds)
    pulse = sample_pulse(rng, conditions, group) if kind == "pulse" else None
    motion, nods = sample_motion(rng, conditions, heart, kind)
    light = sample_light(rng, conditions, kind)
    dim = group >= 5 and rng.random() < conditions.dim_dark_share
    brightness = 0.55 if dim else between(rng, conditions.brightness)
    warm = float(rng.normal(0.0, 1.0))
    fps, times_s = sample_times(rng, conditions, seconds)
    unit_px = between(rng, conditions.face_px) / BOX_SIZE
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
    codec = sample_codec(rng, conditions, kind, k)
    camera = Sensor(sample_sensor(rng, conditions, kind, dim), rng)
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
