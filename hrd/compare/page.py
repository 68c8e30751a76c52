"""A comparison as one page: HTML that holds its pictures, or Markdown with them beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

from hrd.compare import pictures
from hrd.compare.align import GIVEN
from hrd.compare.figures import Comparison
from hrd.errors import HrdError, UsageError
from hrd.htmlpage import html_page

NOTE = (
    "Truth: the mean rate of the beats in the last 8 s before a reading. hrd gives a confidence "
    "only with a bpm that it publishes, so the calibration is of published readings. Seconds of "
    "one recording are not independent of each other."
)


def rows(report: Dict[str, Any]) -> List[List[str]]:
    """The table: a heading, then a row per comparison, and one for all where there are several."""
    heading = [
        "recording",
        "reference",
        "lag, s",
        "seconds",
        "said",
        "MAE",
        "RMSE",
        "bias",
        "limits of agreement",
        "within 5 bpm",
        "calibration error",
    ]
    body = [
        _row(one["name"], one["reference_kind"], f"{one['lag']['seconds']:+.2f}", one)
        for one in report["comparisons"]
    ]
    if "all" in report:
        body.append(_row("all", "", "", report["all"]))
    return [heading, *body]


def _row(name: str, kind: str, lag: str, one: Dict[str, Any]) -> List[str]:
    limits = one.get("limits_of_agreement")
    return [
        name,
        kind,
        lag,
        str(one["seconds"]),
        f"{100 * one['share_said']:.0f} %" if "share_said" in one else "-",
        *(f"{one[key]:{sign}.2f}" if key in one else "-" for key, sign in _ERRORS),
        f"{limits[0]:+.1f} to {limits[1]:+.1f}" if limits else "-",
        f"{100 * one['within_5']:.1f} %" if "within_5" in one else "-",
        f"{one['calibration']['ece']:.3f}" if "calibration" in one else "-",
    ]


_ERRORS = (("mae", ""), ("rmse", ""), ("bias", "+"))


def write_page(path: Path, report: Dict[str, Any], comparisons: List[Comparison]) -> List[Path]:
    """Write the page (``.html`` or ``.md``); returns the files written. Raises ``HrdError``."""
    if path.suffix.lower() not in (".html", ".htm", ".md"):
        raise UsageError(f"--out {path} must end in .html or .md")
    drawn: List[Tuple[str, bytes]] = [
        (f"rates-{k}" if len(comparisons) > 1 else "rates", pictures.rates(one))
        for k, one in enumerate(comparisons, start=1)
    ]
    if any(one.pairs.any() for one in comparisons):
        drawn.append(("bland-altman", pictures.bland_altman(comparisons)))
        drawn.append(("calibration", pictures.calibration(comparisons)))
    written = [path]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".md":
            for name, png in drawn:
                beside = path.with_name(f"{path.stem}-{name}.png")
                beside.write_bytes(png)
                written.append(beside)
            path.write_text(_markdown(report, written[1:]), encoding="utf-8")
        else:
            text = html_page("hrd beside a reference", rows(report), _notes(report), drawn)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HrdError(
            f"{path} cannot be written: {error.strerror}; choose another --out"
        ) from None
    return written


def _notes(report: Dict[str, Any]) -> List[str]:
    found = [NOTE]
    for one in report["comparisons"]:
        given = one["lag"]["by"] == GIVEN
        told = f"{one['name']}: " + (
            "the lag was given" if given else f"clocks aligned by {one['lag']['by']}"
        )
        if "r" in one["lag"]:
            told += f" (r {one['lag']['r']:.2f})"
        found.append(told + (f"; {one['note']}" if "note" in one else "") + ".")
    return found


def _markdown(report: Dict[str, Any], images: List[Path]) -> str:
    heading, *body = rows(report)
    lines = ["# hrd beside a reference", "", _line(heading), _line(["---"] * len(heading))]
    lines += [_line(row) for row in body]
    lines += ["", *(f"- {note}" for note in _notes(report)), ""]
    lines += [f"![{image.stem}]({image.name})" for image in images]
    return "\n".join(lines) + "\n"


def _line(cells: List[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
