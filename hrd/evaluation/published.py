"""Figures that others have published, with their source: ours are set under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Published:
    """One row: heart-rate ``mae`` and ``rmse`` in bpm as the source gives them."""

    method: str
    mae: float
    rmse: Optional[float] = None
    params: Optional[int] = None
    trained_on: str = ""


PAPER = (
    "Hwang, Park & Lee, IEMEK J. Embedded Systems and Applications, 2023 (the paper hrd implements)"
)

PAPER_UBFC: Tuple[Published, ...] = (
    Published("teacher", 0.9563, 1.5795, 795_811),
    Published("student, no KD", 4.5589, 9.6856, 24_769),
    Published("student + KD", 3.4444, 7.2979, 24_769),
    Published("Meta-rPPG", 5.97, 7.42),
    Published("SynRhythm", 5.59, 6.82),
    Published("3D CNN", 5.45, 8.64),
    Published("Chrominance-rPPG", 4.70, 6.61),
    Published("AHRE", 4.20, 5.78),
    Published("PhysNet", 3.63, 5.29),
    Published("PulseGAN", 1.19, 2.10),
    Published("rPPGNet", 0.72, 1.47),
)
"""The paper's table for UBFC-rPPG: its own three rows, then what it quotes of others."""

PAPER_OWN: Tuple[Published, ...] = (
    Published("teacher", 2.1803, 5.9514, 795_811),
    Published("student, no KD", 2.8000, 6.7063, 24_769),
    Published("student + KD", 2.5183, 6.2080, 24_769),
)
"""The paper's table for its own recordings, which are not public."""

TOOLBOX = "rPPG-Toolbox; FactorizePhys and ME-rPPG: their own papers"

TOOLBOX_UBFC: Tuple[Published, ...] = (
    Published("CHROM", 3.98, trained_on="nothing"),
    Published("POS", 4.00, trained_on="nothing"),
    Published("GREEN", 19.8, trained_on="nothing"),
    Published("DeepPhys", 3.10, trained_on="SCAMPS"),
    Published("TS-CAN", 3.62, trained_on="SCAMPS"),
    Published("PhysNet", 4.39, trained_on="SCAMPS"),
    Published("EfficientPhys", 12.6, trained_on="SCAMPS"),
    Published("FactorizePhys", 1.17, trained_on="SCAMPS"),
    Published("PhysNet", 1.63, trained_on="PURE"),
    Published("TS-CAN", 1.29, trained_on="PURE"),
    Published("DeepPhys", 1.21, trained_on="PURE"),
    Published("FactorizePhys", 1.04, trained_on="PURE"),
    Published("ME-rPPG", 0.53, trained_on="PURE"),
)
"""Heart-rate MAE on UBFC-rPPG of methods that never saw it."""
