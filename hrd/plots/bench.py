"""A bench in one look: what each stage of the pipeline costs, and what each model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from hrd.plots import style

_FRAME_MS = 1000.0 / 30.0


def draw_bench(path: Path, report: Dict[str, Any]) -> None:
    """Write the picture of ``hrd bench --json``'s object. Raises ``HrdError``."""
    stages, models = report["pipeline"]["stages"], report["models"]
    rows = len(stages) + len(models)
    with style.figure(
        path,
        2,
        1,
        figsize=(9.0, 2.4 + 0.32 * rows),
        gridspec_kw={"height_ratios": [max(2, len(stages)), max(2, len(models))]},
        layout="constrained",
    ) as (figure, (upper, lower)):
        _stages(upper, report["pipeline"])
        _models(lower, report)
        device = report["device"]
        name = device.get("model") or device.get("cpu") or device.get("machine") or "this machine"
        figure.suptitle(f"hrd bench on {name}", fontsize=11)


def _stages(axis: Any, pipeline: Dict[str, Any]) -> None:
    stages = pipeline["stages"][::-1]
    values = [stage["ms_per_frame"] for stage in stages]
    axis.barh([stage["name"] for stage in stages], values, color=style.LINES[0], height=0.6)
    for row, value in enumerate(values):
        axis.text(value, row, f" {value:.3g}", va="center", fontsize=8)
    total = 1e3 * pipeline["s_per_frame"]
    axis.set_title(
        f"Stages of the live pipeline ({pipeline['engine']}): {total:.3g} ms a frame, "
        f"{100 * total / _FRAME_MS:.0f} % of a frame's time at 30 a second",
        loc="left",
    )
    axis.set_xlabel("ms per frame")
    axis.margins(x=0.1)


def _models(axis: Any, report: Dict[str, Any]) -> None:
    models = report["models"][::-1]
    names = [f"{model['name']}, {model.get('provider') or model['engine']}" for model in models]
    values = [1e3 * model["s_per_frame"] for model in models]
    axis.barh(names, values, color=style.LINES[2], height=0.6)
    for row, (model, value) in enumerate(zip(models, values)):
        paper = report["paper"].get(model["name"])
        beside = f"; paper, Jetson Nano: {1e3 * paper['s_per_frame']:.0f}" if paper else ""
        axis.text(value, row, f" {value:.3g}{beside}", va="center", fontsize=8)
    axis.set_xscale("log")
    axis.set_title("Models and engines", loc="left")
    axis.set_xlabel("ms per frame (logarithmic)")
    axis.margins(x=0.35)
