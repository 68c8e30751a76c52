"""The mark that drawn films carry, so that nobody takes them for recordings of people."""

from __future__ import annotations

import json
from pathlib import Path

MARK = "drawn by hrd simulate: no person"
"""In the film's own metadata (``comment``), which ``ffmpeg -c copy`` and a new name leave alone."""

RECIPE = "recipe.json"
"""Beside the film: how it was drawn, ``"simulated": true`` among it."""

_UP = 2  # folders above the pictures in which a recipe may lie: PURE has its own name twice


def is_drawn(path: Path) -> bool:
    """Whether a film, or a folder of pictures, is drawn: by its own metadata, or by a recipe beside
    it or above it. False where nothing tells, and for what cannot be read."""
    folder = path if path.is_dir() else path.parent
    for _ in range(_UP):
        if _says_so(folder / RECIPE):
            return True
        folder = folder.parent
    return path.is_file() and _marked(path)


def _says_so(recipe: Path) -> bool:
    try:
        content = json.loads(recipe.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("simulated") is True


def _marked(film: Path) -> bool:
    import av

    try:
        with av.open(f"file:{film}") as container:
            tables = [container.metadata, *(stream.metadata for stream in container.streams)]
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    return any(MARK in str(value) for table in tables for value in table.values())
