"""The paper's tables with this run's rows under its own."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from hrd.evaluation.markdown import titled
from hrd.evaluation.published import PAPER, PAPER_OWN, PAPER_UBFC, Published
from hrd.train.people import Split
from hrd.train.reproduce import Settings, own_rows

_NANO_S = (("teacher", 0.50), ("student, no KD", 0.05), ("student + KD", 0.05))
"""Seconds per frame on a Jetson Nano, by the paper."""

_WINDOWS = (("whole", "whole video"), ("10", "10-s windows"))


def page(
    settings: Settings,
    split: Split,
    found: Dict[str, Any],
    own: Optional[Dict[str, Any]],
    seconds: Mapping[str, float],
    runs: Sequence[str],
) -> str:
    """Everything as Markdown. ``runs``: folders with a ``curves.png`` each, beside the page."""
    params = {name: one.get("params") for name, one in found["methods"].items()}
    parts = [
        f"# The paper, repeated on {titled(found)}",
        f"{PAPER}.",
        _what(settings, split, found),
        f"## Table 1: methods\n\n{_errors(PAPER_UBFC[3:], found, params)}",
        f"## Table 2: distillation\n\n{_errors(PAPER_UBFC[:3], found, params, this_run=True)}",
    ]
    if own is not None:
        title = f"## Table 3: own recordings ({titled(own)})"
        why = "The networks were trained on the data set above and have not seen these."
        parts.append(f"{title}\n\n{why}\n\n{_errors(PAPER_OWN, own, params)}")
    parts.append(f"## Table 4: seconds per frame\n\n{_speed(seconds, params)}")
    parts.append("## Curves\n\n" + "\n".join(f"![{run}]({run}/curves.png)" for run in runs))
    parts.append("More windows, groups, the live pipeline and pictures: report/report.md.")
    return "\n\n".join(parts) + "\n"


def _what(settings: Settings, split: Split, found: Dict[str, Any]) -> str:
    lines = [f"- {line}" for line in split.lines()]
    lines.append(
        f"- fold {settings.fold} of {settings.folds}, split seed {settings.split_seed}; nobody is "
        "in two parts"
    )
    count = found["recordings"]
    lines.append(f"- {count['evaluated']} recordings tested on, {count['left_out']} left out")
    steps = f"{settings.steps} steps" if settings.steps else "the steps of hrd train's recipes"
    lines.append(f"- each network: {steps}, {settings.batch_clips} clips a step and process")
    lines.append(
        "- MAE and RMSE in bpm; brackets: 95 % intervals, whole people resampled. The paper names "
        "neither its test people nor the length of its windows: compare the order of the rows, not "
        "single figures"
    )
    return "\n".join(lines)


def _errors(
    published: Sequence[Published],
    found: Dict[str, Any],
    params: Mapping[str, Optional[int]],
    this_run: bool = False,
) -> str:
    rows = [
        [f"{one.method} (the paper)", _count(one.params), f"{one.mae:g}", _maybe(one.rmse), "", ""]
        for one in published
    ]
    by_window = [dict(own_rows(found, window)) for window, _ in _WINDOWS]
    for method in by_window[0]:
        if this_run and "(this run)" not in method:
            continue
        cells = [method, _count(params.get(method))]
        for figures in by_window:
            cells += [_figure(figures[method], "mae"), _figure(figures[method], "rmse")]
        rows.append(cells)
    head = ["method", "parameters"]
    for _, title in _WINDOWS:
        head += [f"MAE, {title}", f"RMSE, {title}"]
    return _table(head, rows)


def _speed(seconds: Mapping[str, float], params: Mapping[str, Optional[int]]) -> str:
    rows = [[f"{name} (the paper)", "Jetson Nano", "", f"{s:g}"] for name, s in _NANO_S]
    for name, s in seconds.items():
        rows.append([name, "this CPU, one thread", _count(params.get(name)), f"{s:.2g}"])
    return _table(["method", "on", "parameters", "s per frame"], rows)


def _figure(figures: Mapping[str, Any], name: str) -> str:
    if figures.get(name) is None:
        return "-"
    text = f"{figures[name]:.2f}"
    edges = figures.get("interval", {}).get(name)
    return f"{text} [{edges[0]:.2f}, {edges[1]:.2f}]" if edges else text


def _count(value: Optional[int]) -> str:
    return "" if value is None else f"{value:,}"


def _maybe(value: Optional[float]) -> str:
    return "" if value is None else f"{value:g}"


def _table(head: List[str], rows: List[List[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
