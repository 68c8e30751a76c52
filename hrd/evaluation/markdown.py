"""The report of an evaluation as Markdown to read."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from hrd.evaluation.published import (
    PAPER,
    PAPER_OWN,
    PAPER_UBFC,
    TOOLBOX,
    TOOLBOX_UBFC,
    Published,
)
from hrd.evaluation.summary import ALL, MAIN_WINDOW_S, SETTLED_S

REFERENCE_TEXT = {
    "bvp": "beats of the reference pulse wave, by its own peaks, same window",
    "rate": "mean of the heart rate that the data set itself gives, same window",
}

_ABSENT = "-"
_WORST = 20


def markdown(report: Dict[str, Any]) -> str:
    """The whole report as Markdown."""
    parts = [f"# hrd eval: {titled(report)}", _head(report)]
    sections = report["sections"]
    for section in sections:
        if section["name"]:
            parts.append(f"## {section['name']}")
        parts.extend(_section(section, report))
    if report["layout"] in ("ubfc-rppg", "ubfc-rppg-1") and sections:
        if report["recordings"].get("drawn"):
            parts.append(
                "The paper's table is left out: it is of real people, and here are drawn faces."
            )
        else:
            parts.append(_under_the_paper(sections[0], report))
    if report["layout"] == "testset" and report["references"]:
        parts.append(_pattern())
    return "\n\n".join(part for part in parts if part) + "\n"


def titled(report: Dict[str, Any]) -> str:
    """The data set's name; where drawn faces lie in its layout, that comes first."""
    count = report["recordings"]
    drawn = count.get("drawn", 0)
    if not drawn or report["layout"] in ("simulated", "testset", "painted"):
        return str(report["title"])
    evaluated = count["evaluated"]
    which = "drawn faces" if drawn == evaluated else f"{drawn} of {evaluated} faces drawn"
    return f"{which}, in the layout of {report['title']}"


def _head(report: Dict[str, Any]) -> str:
    count = report["recordings"]
    lines = [
        f"hrd {report['release']}; {count['evaluated']} of {count['found']} recordings evaluated, "
        f"{count['left_out']} left out."
    ]
    if report.get("simulated"):
        lines.append("Everything here is simulated: drawn faces, simulated skin groups.")
    if "testset" in report:
        test = report["testset"]
        lines.append(
            f"Test set version {test['version']}, recipe {test['recipe_sha256'][:12]}, drawn by "
            f"{test['drawn_by']}, "
            f"{test['clips']} clips per difficulty, seeds from {test['first_seeds']}."
        )
    sources = [f"{key} ({REFERENCE_TEXT[key]})" for key in report["references"]]
    if sources:
        lines.append(f"Reference heart rate: {'; '.join(sources)}.")
    lines.append(
        "Ungated readings count the beats about the highest peak of the signal's spectrum (42 to "
        "240 bpm); *by peak*: that peak itself against the reference's, as papers read both. SNR "
        "is relative to the reference rate (+-6 bpm round it and its double), so it compares with "
        "papers and not with hrd's live snr_db. In brackets: 95 % bootstrap interval, whole "
        "subjects resampled."
    )
    text = "\n".join(lines) + "\n\n" + _methods(report)
    for heading, key in (("Left out", "skipped"), ("Notes", "notes")):
        if report[key]:
            text += f"\n\n**{heading}**\n\n" + "\n".join(f"- {line}" for line in report[key])
    return text


def _methods(report: Dict[str, Any]) -> str:
    rows = []
    for name, method in report["methods"].items():
        what = method.get("paper", "")
        if "sha256" in method:
            what = f"model {method['model']}, sha256 {method['sha256'][:12]}"
        rows.append([name, method["engine"], count(method.get("params")), what])
    return _table(["method", "engine", "parameters", "what it is"], rows)


def _section(section: Dict[str, Any], report: Dict[str, Any]) -> List[str]:
    parts = []
    for window, figures in section["windows"].items():
        if not any(one.get("n") or one.get("missing") for one in figures.values()):
            continue
        title = "Whole recordings" if window == "whole" else f"Windows of {window} s"
        parts.append(f"### {title}, ungated\n\n{_window_table(figures)}")
    if section["rate_bands"]:
        parts.append(_band_table(section["rate_bands"]))
    if not section["references"]:
        parts.append("Nothing here has a pulse: every published bpm is a false one.")
    for name, split in section["groups"].items():
        table = _group_table if section["references"] else _false_table
        parts.append(table(name, split))
    if section["live"]:
        parts.append(_live_table(section["live"], report))
    if len(section["by_recording"]) > 1 and section["name"] != ALL:
        parts.append(_recording_table(section["by_recording"]))
    return parts


def _recording_table(recordings: Sequence[Dict[str, Any]]) -> str:
    """The worst first; error and published share by method."""
    shown = recordings[:_WORST]
    methods = list(shown[0]["methods"])
    live = [m for m in methods if any("published" in one["methods"][m] for one in shown)]
    head = ["recording", "seconds", "reference, bpm"]
    head += [f"{method}, MAE" for method in methods] + [f"{method}, published" for method in live]
    rows = []
    for one in shown:
        name = one["recording"] + (" (drawn)" if one.get("drawn") else "")
        row = [name, f"{one['seconds']:g}", number(one.get("reference_bpm"), 1)]
        row += [number(one["methods"][method].get("mae")) for method in methods]
        row += [percent(one["methods"][method].get("published")) for method in live]
        rows.append(row)
    rest = len(recordings) - len(shown)
    more = f" The other {rest} are in recordings.csv (`--out`)." if rest else ""
    return (
        f"### Each recording, worst first\n\nBy the error of {methods[0]}; MAE in bpm over windows "
        f"of {MAIN_WINDOW_S:g} s, ungated.{more}\n\n{_table(head, rows)}"
    )


def _window_table(figures: Dict[str, Any]) -> str:
    rows = []
    for method, one in figures.items():
        interval = one.get("interval", {})
        rows.append(
            [
                method,
                str(one["n"]),
                str(one["missing"]),
                _with(one.get("mae"), interval.get("mae")),
                _with(one.get("rmse"), interval.get("rmse")),
                number(one.get("peak", {}).get("mae")),
                _with(one.get("mape"), interval.get("mape"), 1),
                _with(one.get("pearson"), interval.get("pearson")),
                _with(one.get("snr_db"), interval.get("snr_db"), 1),
                percent(one.get("within_5")),
            ]
        )
    head = [
        "method",
        "n",
        "missing",
        "MAE, bpm",
        "RMSE, bpm",
        "MAE by peak",
        "MAPE, %",
        "r",
        "SNR, dB",
        "within 5",
    ]
    return _table(head, rows)


def _band_table(bands: Dict[str, Any]) -> str:
    names = list(bands)
    methods = list(next(iter(bands.values())))
    head = ["method"] + [f"{name} bpm (n={_most(bands[name])})" for name in names]
    rows = [[m] + [number(bands[name][m].get("mae")) for name in names] for m in methods]
    return (
        f"### MAE by reference heart rate, windows of {MAIN_WINDOW_S:g} s\n\n{_table(head, rows)}"
    )


def _most(figures: Dict[str, Any]) -> int:
    return max(one["n"] + one["missing"] for one in figures.values())


def _group_table(name: str, split: Dict[str, Any]) -> str:
    rows = []
    for method, one in split.items():
        for value, figures in one["values"].items():
            ungated, gated = figures["ungated"], figures.get("gated", {})
            rows.append(
                [
                    method,
                    value,
                    str(ungated["n"]),
                    number(ungated.get("mae")),
                    _signed(ungated.get("bias")),
                    str(gated.get("published", _ABSENT)),
                    number(gated.get("mae")),
                    _signed(gated.get("bias")),
                    percent(gated.get("rejection_rate")),
                ]
            )
        gap = one["gap_mae"]
        if gap:
            worst = ["**gap worst - best**", "", number(gap.get("ungated")), "", ""]
            rows.append([method, *worst, number(gap.get("gated")), "", ""])
    head = [
        "method",
        name,
        "n",
        "MAE",
        "bias",
        "published",
        "MAE, gated",
        "bias, gated",
        "rejected",
    ]
    return (
        f"### By {name}\n\nUngated: windows of {MAIN_WINDOW_S:g} s. Gated: the live pipeline's "
        f"seconds; gating can hide a bias, so both are here.\n\n{_table(head, rows)}"
    )


def _false_table(name: str, split: Dict[str, Any]) -> str:
    rows = [
        [method, value, str(gated["seconds"]), str(gated["published"]), percent(share)]
        for method, one in split.items()
        for value, figures in one["values"].items()
        for gated in [figures.get("gated")]
        if gated is not None
        for share in [gated["published"] / gated["seconds"] if gated["seconds"] else None]
    ]
    head = ["method", name, "seconds", "with a bpm", "share"]
    return f"### False readings by {name}\n\n{_table(head, rows)}"


def _live_table(live: Dict[str, Any], report: Dict[str, Any]) -> str:
    rows = []
    for method, one in live.items():
        first = one.get("first_reading_s", {})
        rows.append(
            [
                method,
                str(one["seconds"]),
                percent(one.get("coverage")),
                percent(one.get("coverage_settled")),
                number(one.get("mae")),
                percent(one.get("right_of_published")),
                number(one["calibration"].get("ece"), 3),
                f"{number(first.get('median'), 1)} / {number(first.get('p95'), 1)}",
            ]
        )
    head = [
        "method",
        "seconds",
        "published",
        f"after {SETTLED_S:g} s",
        "MAE of published, bpm",
        "within 5 bpm",
        "ECE",
        "first reading, s (median / 95 %)",
    ]
    said = (
        "The daemon's own pipeline second by second, against the mean rate of the beats in the "
        f"{report['truth_s']:g} s before the reading."
    )
    threshold = f"{report['min_confidence']:g}"
    text = f"### Live readings, confidence >= {threshold}\n\n{said}\n\n{_table(head, rows)}"
    following = _following_table(live)
    return f"{text}\n\n{following}" if following else text


def _following_table(live: Dict[str, Any]) -> str:
    rows = []
    stepped = any("settled_s" in one["following"] for one in live.values())
    for method, one in live.items():
        figures = one["following"]
        row = [
            method,
            number(figures.get("mae_now")),
            number(figures.get("largest_jump_bpm"), 1),
            percent(figures.get("good_by_15_s")),
        ]
        if stepped:
            settled = figures.get("settled_s", {})
            times = [number(settled.get(key), 1) for key in ("median", "p90")]
            row.append(" / ".join(times))
        rows.append(row)
    if all(row[1] == _ABSENT for row in rows):
        return ""
    head = [
        "method",
        "MAE against the last 2 s, bpm",
        "largest jump, bpm",
        "recordings within 2 bpm at 15 s",
    ]
    if stepped:
        head.append("step followed to 5 bpm after, s (median / 90 %)")
    return f"How they follow, published readings only:\n\n{_table(head, rows)}"


def _under_the_paper(section: Dict[str, Any], report: Dict[str, Any]) -> str:
    head = ["method", "parameters", "MAE, bpm", "RMSE, bpm", "source"]
    rows = [
        _published_row(row, "the paper" if row.params else "quoted by the paper")
        for row in PAPER_UBFC
    ]
    for window, figures in section["windows"].items():
        where = "whole recordings" if window == "whole" else f"{window} s windows"
        for method, one in figures.items():
            if not one.get("n"):
                continue
            params = report["methods"][method].get("params")
            values = [number(one["peak"]["mae"], 4), number(one["peak"]["rmse"], 4)]
            rows.append([f"**{method}**", count(params), *values, f"this run, {where}"])
    others = [
        [row.method, row.trained_on, f"{row.mae:g}", "rPPG-Toolbox and others"]
        for row in TOOLBOX_UBFC
    ]
    return (
        f"## Under the paper's table\n\nThe paper: {PAPER}. Which recordings and windows it tested "
        "on is not public, so ours are given for all of this run's, read as it reads, by the "
        "spectrum's highest peak. The models that come with hrd "
        f"have never seen a real person.\n\n{_table(head, rows)}\n\n"
        f"Methods that never saw UBFC-rPPG ({TOOLBOX}):\n\n"
        + _table(["method", "trained on", "MAE, bpm", "source"], others)
    )


def _published_row(row: Published, source: str) -> List[str]:
    rmse = _ABSENT if row.rmse is None else f"{row.rmse:g}"
    return [row.method, count(row.params), f"{row.mae:g}", rmse, source]


def _pattern() -> str:
    head = ["method", "parameters", "MAE, bpm", "RMSE, bpm", "data"]
    rows = [
        [*_published_row(row, "")[:4], "UBFC-rPPG"] for row in PAPER_UBFC if row.params is not None
    ] + [[*_published_row(row, "")[:4], "its own recordings"] for row in PAPER_OWN]
    return (
        f"## The paper's pattern\n\n{PAPER}, on real video: compare the order of teacher, student "
        "+ KD and student with the order above, and never the numbers, which are of other "
        f"data.\n\n{_table(head, rows)}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [
        max(len(str(row[k])) for row in [head, *rows]) if rows else len(head[k])
        for k in range(len(head))
    ]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(str(c).ljust(w) for c, w in zip(cells, widths)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule] + [line(row) for row in rows])


def number(value: Optional[float], digits: int = 2) -> str:
    """As a cell of a table."""
    return _ABSENT if value is None else f"{value:.{digits}f}"


def _signed(value: Optional[float]) -> str:
    return _ABSENT if value is None else f"{value:+.2f}"


def percent(value: Optional[float]) -> str:
    """A share (0..1) as a cell of a table."""
    return _ABSENT if value is None else f"{100.0 * value:.1f} %"


def count(value: Optional[int]) -> str:
    """As a cell of a table."""
    return _ABSENT if value is None else f"{value:,}"


def _with(value: Optional[float], interval: Optional[Sequence[float]], digits: int = 2) -> str:
    if value is None:
        return _ABSENT
    text = f"{value:.{digits}f}"
    if interval is not None:
        text += f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
    return text
