"""What makes one drawn face differ from another: skin, hair, features, all as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

SKIN_RGB = {
    1: (238, 205, 186),
    2: (226, 184, 158),
    3: (206, 160, 128),
    4: (172, 124, 94),
    5: (128, 87, 62),
    6: (86, 58, 44),
}
"""Mean skin colour under neutral light (8-bit sRGB) of six groups after Fitzpatrick. Simulated."""

PULSE_OF_GROUP = {1: 1.05, 2: 1.0, 3: 0.92, 4: 0.75, 5: 0.52, 6: 0.38}
"""Relative pulse amplitude: melanin absorbs light before and after it has met blood."""

HAIR_RGB: List[Tuple[float, float, float]] = [
    (28, 22, 20),
    (48, 34, 26),
    (82, 56, 38),
    (122, 84, 52),
    (186, 150, 98),
    (134, 66, 34),
    (140, 136, 132),
    (200, 198, 194),
]


@dataclass(frozen=True)
class FaceLook:
    """Everything that makes one face differ from another; lengths in face units."""

    seed: int
    skin_group: int
    skin_rgb: Tuple[float, float, float]
    hair_rgb: Tuple[float, float, float]
    hair: str  # bald, receding, short, long, fringe, cloth
    hairline: float
    hair_thickness: float
    beard: float  # 0 none, 0.3 stubble, 1 full
    glasses: str  # none, thin, thick
    brow_weight: float
    eye_size: float
    eye_spread: float
    eye_y: float
    iris_rgb: Tuple[float, float, float]
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_y: float
    lip_red: float
    jaw: float  # exponent of the lower face's outline: 1.8 pointed .. 3 square
    face_height: float
    cloth_rgb: Tuple[float, float, float]
    cloth_pattern: float
    freckles: float
    roughness: float


def sample_look(rng: np.random.Generator, skin_group: Optional[int] = None) -> FaceLook:
    """A random face, of a random skin group unless one is given (1..6)."""
    group = int(rng.integers(1, 7)) if skin_group is None else skin_group
    if group not in SKIN_RGB:
        raise ValueError(f"skin group {group} is not one of {sorted(SKIN_RGB)}")
    skin = np.array(SKIN_RGB[group], float)
    neighbour = np.array(SKIN_RGB[int(np.clip(group + rng.choice([-1, 1]), 1, 6))], float)
    skin += rng.uniform(0.0, 0.45) * (neighbour - skin)
    skin *= np.exp(rng.normal(0.0, 0.03, 3))
    dark_hair = group >= 4 and rng.random() < 0.85
    hair_rgb = np.array(HAIR_RGB[int(rng.integers(0, 3 if dark_hair else len(HAIR_RGB)))], float)
    hair_rgb *= np.exp(rng.normal(0.0, 0.15))
    hair = str(
        rng.choice(
            ["bald", "receding", "short", "long", "fringe", "cloth"],
            p=[0.08, 0.14, 0.38, 0.22, 0.12, 0.06],
        )
    )
    if hair == "cloth":
        hair_rgb = rng.uniform(20, 235, 3)
    beard = 0.0
    if hair != "long" and rng.random() < 0.35:
        beard = float(rng.choice([0.25, 0.45, 0.8, 0.95]))
    brown = np.array([70, 45, 28])
    light_eyes = group <= 3 and rng.random() < 0.5
    iris = rng.uniform([60, 90, 80], [120, 140, 170]) if light_eyes else brown * rng.uniform(0.5, 1)
    return FaceLook(
        seed=int(rng.integers(1 << 31)),
        skin_group=group,
        skin_rgb=as_rgb(skin),
        hair_rgb=as_rgb(hair_rgb),
        hair=hair,
        hairline=float(rng.uniform(-0.52, -0.38)),
        hair_thickness=float(rng.uniform(0.04, 0.16)),
        beard=beard,
        glasses=str(rng.choice(["none", "thin", "thick"], p=[0.7, 0.18, 0.12])),
        brow_weight=float(rng.uniform(0.35, 1.0)),
        eye_size=float(rng.uniform(0.85, 1.2)),
        eye_spread=float(rng.uniform(0.195, 0.225)),
        eye_y=float(rng.uniform(-0.15, -0.11)),
        iris_rgb=as_rgb(iris),
        nose_width=float(rng.uniform(0.075, 0.12)),
        nose_length=float(rng.uniform(0.13, 0.18)),
        mouth_width=float(rng.uniform(0.15, 0.2)),
        mouth_y=float(rng.uniform(0.33, 0.38)),
        lip_red=float(rng.uniform(0.2, 1.0)),
        jaw=float(rng.uniform(1.9, 2.8)),
        face_height=float(rng.uniform(0.6, 0.68)),
        cloth_rgb=as_rgb(rng.uniform(15, 240, 3)),
        cloth_pattern=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        freckles=float(rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.8, 0.2])),
        roughness=float(rng.uniform(0.3, 1.0)),
    )


def as_rgb(values: np.ndarray) -> Tuple[float, float, float]:
    """Three numbers as a colour that a camera can see: 4..250."""
    r, g, b = np.clip(values, 4.0, 250.0)
    return float(r), float(g), float(b)
