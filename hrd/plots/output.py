"""``hrd measure --plot DIR``: a picture for each file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Set

from hrd.measure.clip import Measurement
from hrd.measure.outputs import Output
from hrd.plots.clip import draw_clip
from hrd.plots.style import folder_of


class Pictures(Output):
    """Writes ``NAME.png`` for each file into the folder, which is made if it is not there; files of
    the same name are numbered."""

    needs_pulse = True

    def __init__(self, folder: str) -> None:
        self._folder = folder_of(folder, "--plot")
        self._names: Set[str] = set()

    def add(self, result: Measurement) -> None:
        path = self._folder / f"{self._free(result.file)}.png"
        draw_clip(path, result)
        print(f"hrd: drew {path}", file=sys.stderr)

    def _free(self, file: str) -> str:
        name = re.sub(r"[^\w.=-]+", "-", Path(file).name).strip("-.") or "clip"
        stem, number = Path(name).stem if "." in name else name, 1
        stem = stem[:80]
        free = stem
        while free in self._names:
            number += 1
            free = f"{stem}-{number}"
        self._names.add(free)
        return free
