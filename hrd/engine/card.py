"""Where the models are, and what their files say of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from hrd import normalise
from hrd.engine.base import EngineError
from hrd.paths import expand, models_dir
from hrd.types import CROP_PX, MODEL_FS_HZ

CONTRACT = "1"
"""Version of what an exported model takes and gives (models/README.md)."""

NAMES = ("student", "teacher")

MAX_DELAY_FRAMES = 300
"""Ten seconds: no model lags so far behind what it sees."""


def model_path(model: str) -> Path:
    """``student``, ``teacher`` or a path -> the ONNX file. Raises ``EngineError`` if absent."""
    path = models_dir() / f"{model}.onnx" if model in NAMES else expand(model)
    if not path.exists():
        raise EngineError(
            f"there is no model at {path}; use --model student, teacher or the path of a file "
            "written by hrd export"
        )
    if not path.is_file():
        raise EngineError(f"{path} is not a file; give --model the path of an ONNX file")
    return path


@dataclass(frozen=True)
class ModelFacts:
    """What an exported model says of itself in its ONNX metadata."""

    name: str
    delay_frames: int
    params: int
    macs_per_frame: int


def read_facts(metadata: Mapping[str, str], path: Path) -> ModelFacts:
    """Check a model's metadata against this runtime. Raises ``EngineError`` if it can't be used."""
    if metadata.get("hrd.contract") != CONTRACT:
        raise EngineError(
            f"{path} is not a model that this hrd can run "
            f"(contract {metadata.get('hrd.contract', 'absent')}, needed {CONTRACT}); "
            "export it again with hrd export"
        )
    wanted: Tuple[Tuple[str, str], ...] = (
        ("hrd.fs_hz", f"{MODEL_FS_HZ:g}"),
        ("hrd.crop_px", str(CROP_PX)),
        ("hrd.normalisation", normalise.NAME),
    )
    for key, value in wanted:
        if metadata.get(key) != value:
            raise EngineError(
                f"{path} was made for {key}={metadata.get(key, 'absent')}, this hrd needs {value}; "
                "export it again with hrd export"
            )
    try:
        facts = ModelFacts(
            name=metadata.get("hrd.name", path.stem),
            delay_frames=int(metadata["hrd.delay_frames"]),
            params=int(metadata["hrd.params"]),
            macs_per_frame=int(metadata["hrd.macs_per_frame"]),
        )
        if not 0 <= facts.delay_frames <= MAX_DELAY_FRAMES:
            raise ValueError(f"a delay of {facts.delay_frames} frames")
        return facts
    except (KeyError, ValueError) as error:
        raise EngineError(
            f"{path} has unreadable metadata ({error}); export it again with hrd export"
        ) from error


def read_card(path: Path) -> Dict[str, Any]:
    """The JSON card beside a model; empty if there is none or it can't be read."""
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}
