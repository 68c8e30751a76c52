"""The report: one JSON object, the same as Markdown, every window as CSV, and the pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

from hrd.errors import HrdError
from hrd.evaluation import by_recording
from hrd.evaluation.markdown import markdown
from hrd.evaluation.protocol import WindowRow
from hrd.evaluation.runner import RecordingResult
from hrd.evaluation.summary import ALL

__all__ = ["FORMAT", "clean", "markdown", "write", "write_rows"]

FORMAT = "hrd-eval/1"


def clean(value: Any) -> Any:
    """JSON without nulls and without digits that mean nothing."""
    if isinstance(value, dict):
        return {str(key): clean(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [clean(one) for one in value]
    if isinstance(value, float):
        return round(value, 4)
    return value


def write(folder: Path, report: Dict[str, Any], results: Sequence[RecordingResult]) -> List[Path]:
    """Write report.md, report.json, windows.csv, recordings.csv, the pictures, and report.html for
    one look; returns what was written.

    Raises ``HrdError`` if the folder cannot be written to, or matplotlib is not there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = ("report.md", "report.json", "windows.csv", "recordings.csv")
        paths = [folder / name for name in names]
        paths[0].write_text(markdown(report), encoding="utf-8")
        text = json.dumps(report, indent=1, allow_nan=False) + "\n"
        paths[1].write_text(text, encoding="utf-8")
        rows = [row for result in results for row in result.windows]
        write_rows(paths[2], rows)
        by_recording.write_csv(paths[3], [one for one in report["sections"] if one["name"] != ALL])
    except OSError as error:
        raise HrdError(
            f"{folder} cannot be written to ({error.strerror}); choose another --out"
        ) from None
    from hrd.evaluation import pictures
    from hrd.evaluation.page import page

    drawn = pictures.draw_all(folder, report, results)
    paths.append(folder / "report.html")
    paths[-1].write_text(page(report, drawn), encoding="utf-8")
    return paths + drawn


def write_rows(path: Path, rows: Sequence[WindowRow]) -> None:
    """Every window of every method as CSV, for whoever wants to compute something else."""
    groups = sorted({name for row in rows for name in row.groups})
    fixed = [field.name for field in dataclasses.fields(WindowRow) if field.name != "groups"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["window_s (0: whole)" if name == "window_s" else name for name in fixed] + groups
        )
        for row in rows:
            values = [getattr(row, name) for name in fixed]
            cells = [
                f"{v:.4f}" if isinstance(v, float) else ("" if v is None else v) for v in values
            ]
            writer.writerow(cells + [row.groups.get(name, "") for name in groups])
