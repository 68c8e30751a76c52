"""An evaluation for one look: what was said and right of each part, and all the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

from hrd.evaluation.markdown import count, number, percent, titled
from hrd.evaluation.summary import ALL, MAIN_WINDOW_S
from hrd.htmlpage import html_page

_HEADING = [
    "part",
    "method",
    f"MAE of {MAIN_WINDOW_S:g}-s windows, bpm",
    "seconds",
    "said",
    "right of said",
    "calibration error",
    "first reading, s",
]


def page(report: Dict[str, Any], pictures: Sequence[Path]) -> str:
    """The HTML: a row for each part and method, the report's notes, and the pictures."""
    rows = [_HEADING]
    for section in report["sections"]:
        rows += [_row(section, method) for method in report["methods"]]
    found = report["recordings"]
    notes = [
        f"{found['evaluated']} of {found['found']} recordings evaluated; everything else is in "
        "report.md beside this page.",
        f"MAE: nothing refused. Said: seconds with a bpm, confidence {report['min_confidence']:g} "
        "or more; right: within 5 bpm of the mean rate of the beats in the 8 s before.",
        *report["notes"],
    ]
    return html_page(
        f"hrd eval: {titled(report)}",
        rows,
        notes,
        [(path.stem, path.read_bytes()) for path in pictures],
    )


def _row(section: Dict[str, Any], method: str) -> List[str]:
    windows = section["windows"].get(f"{MAIN_WINDOW_S:g}", {}).get(method, {})
    live = section["live"].get(method, {})
    calibration = live.get("calibration", {})
    first = live.get("first_reading_s", {})
    name = section["name"] or "all"
    return [
        "together" if name == ALL and section["name"] else name,
        method,
        number(windows.get("mae")),
        count(live.get("seconds")),
        percent(live.get("coverage")),
        percent(live.get("right_of_published")),
        number(calibration.get("ece") if calibration.get("n") else None, 3),
        number(first.get("median"), 1),
    ]
