"""What the scenarios gave, as a table in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from tests.vm.film import TRUE_BPM
from tests.vm.guest import Heard
from tests.vm.image import ROOT
from tests.vm.machines import Machine

WITHIN_BPM = 5.0
"""A published bpm further from the truth than this is wrong."""


@dataclass(frozen=True)
class Row:
    """``published``: what was said, in order. ``error_bpm``: the largest of any bpm, if there was
    one. ``recovered_s``: until the next bpm, by the machine's own clock."""

    scenario: str
    done: str
    published: str
    error_bpm: Optional[float] = None
    recovered_s: Optional[float] = None


def error_bpm(readings: List[Heard]) -> Optional[float]:
    """How far the worst bpm is from the truth; None where none was published."""
    errors = [abs(h.message["bpm"] - TRUE_BPM) for h in readings if "bpm" in h.message]
    return max(errors) if errors else None


def table(rows: List[Row]) -> str:
    lines = ["| scenario | what happens | published | worst bpm off by | bpm again after |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        error = "-" if row.error_bpm is None else f"{row.error_bpm:.1f}"
        after = "-" if row.recovered_s is None else f"{row.recovered_s:.1f} s"
        lines.append(f"| {row.scenario} | {row.done} | {row.published} | {error} | {after} |")
    return "\n".join(lines)


def keep(rows: List[Row], machine: Machine) -> str:
    """Write the table to ``build/vm-ARCH.md`` and return it."""
    text = f"{machine.what}\n\n{table(rows)}\n"
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    (folder / f"vm-{machine.arch}.md").write_text(text, encoding="utf-8")
    return text
