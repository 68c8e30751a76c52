"""The bench's results as JSON and as text."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from hrd.bench.live import ALL_STAGES, LiveTiming
from hrd.bench.models import ModelTiming
from hrd.bench.power import sentence
from hrd.bench.timing import Percentiles, significant

# Table 4 of Hwang, Park & Lee (2023): seconds per frame on a Jetson Nano.
PAPER = {"teacher": (795_811, 0.50), "student": (24_769, 0.05)}


def ratio(models: Sequence[ModelTiming]) -> Optional[float]:
    """How many times slower the teacher is than the student, both on the CPU."""
    by_name = {model.name: model for model in models if model.provider == "cpu"}
    if "teacher" not in by_name or "student" not in by_name:
        return None
    return by_name["teacher"].s_per_frame / by_name["student"].s_per_frame


def as_json(
    models: Sequence[ModelTiming], live: LiveTiming, device: Dict[str, object]
) -> Dict[str, Any]:
    """The object of ``hrd bench --json``; what is not known is absent."""
    result: Dict[str, Any] = {"models": [_model_json(model) for model in models]}
    teacher_student = ratio(models)
    if teacher_student is not None:
        result["ratio_teacher_student"] = significant(teacher_student)
    result["paper"] = {
        name: {"params": params, "s_per_frame": seconds}
        for name, (params, seconds) in PAPER.items()
    }
    result["pipeline"] = {
        "source": live.source,
        "engine": live.engine.name,
        "model": live.engine.model,
        "detector": live.detector,
        "frames": live.frames,
        "fps_sustained": significant(1.0 / live.s_per_frame, 4),
        "s_per_frame": significant(live.s_per_frame),
        "cpu_cores_at_30fps": significant(30.0 * live.cpu_s_per_frame),
        "answer_ms": _percentiles_json(live.answer),
        "signal_delay_s": significant(live.signal_delay_s),
        "rss_mb": live.rss_mb,
        "peak_rss_mb": live.peak_rss_mb,
        "stages": [
            {
                "name": name,
                **_percentiles_json(live.stages[name]),
                "ms_per_frame": significant(live.per_frame_ms[name]),
                "calls": live.stages[name].count,
            }
            for name in ALL_STAGES
        ],
    }
    if live.engine.model is None:
        del result["pipeline"]["model"]
    result["device"] = device
    return result


def as_text(models: Sequence[ModelTiming], live: LiveTiming, device: Dict[str, object]) -> str:
    """The same for a terminal."""
    lines: List[str] = [
        f"{device.get('board', device['cpu'])}, {device['cores']} cores, {device['system']}",
        sentence(device),
        "models, seconds per frame (amortised over a chunk; the network alone, then with its "
        "input's normalisation)",
        f"  {'model':8} {'engine':18} {'params':>9} {'MACs/frame':>12} {'chunk':>6} "
        f"{'s/chunk':>10} {'s/frame':>10} {'with input':>10} {'paper, Nano':>12}",
    ]
    for model in models:
        paper = f"{PAPER[model.name][1]:.2f}" if model.name in PAPER else "-"
        lines.append(
            f"  {model.name:8} {model.engine + ' ' + model.provider:18} "
            f"{_count(model.params):>9} {_count(model.macs_per_frame):>12} "
            f"{model.chunk_frames:>6} {significant(model.s_per_chunk):>10.3g} "
            f"{significant(model.s_per_frame):>10.3g} "
            f"{significant(model.whole.p50_ms / 1e3 / model.chunk_frames):>10.3g} {paper:>12}"
        )
    teacher_student = ratio(models)
    if teacher_student is not None:
        lines.append(
            f"  the student is {teacher_student:.0f} times faster than the teacher "
            f"(the paper, on a Nano: {PAPER['teacher'][1] / PAPER['student'][1]:.0f})"
        )
    for model in models:
        if model.tensorrt is not None:
            facts = model.tensorrt
            lines.append(
                f"  {model.name} on TensorRT {facts.device.tensorrt}, {facts.device.name}: chunk "
                f"p50 {model.network.p50_ms:.2f}, p95 {model.network.p95_ms:.2f}, "
                f"p99 {model.network.p99_ms:.2f} ms; built in {facts.build_s:.0f} s; "
                f"{facts.gpu_mb:.0f} MB of GPU memory; "
                f"differs from ONNX Runtime by {facts.parity:.1e}"
            )
    lines += [
        "",
        f"live pipeline over {live.frames} frames of {live.source} "
        f"({live.engine.name}{', ' + live.engine.model if live.engine.model else ''}; "
        f"faces by {live.detector})",
        f"  {'stage':10} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'calls':>7} "
        f"{'ms per frame':>13}",
    ]
    for name in ALL_STAGES:
        stage = live.stages[name]
        lines.append(
            f"  {name:10} {stage.p50_ms:9.3f} {stage.p95_ms:9.3f} {stage.p99_ms:9.3f} "
            f"{stage.count:7} {live.per_frame_ms[name]:13.3f}"
        )
    lines += [
        f"  sustained {1.0 / live.s_per_frame:.0f} fps; at 30 fps "
        f"{100 * 30 * live.cpu_s_per_frame:.1f} % of one core",
        f"  from a chunk's last frame to its reading on the socket: p50 {live.answer.p50_ms:.2f}, "
        f"p95 {live.answer.p95_ms:.2f}, p99 {live.answer.p99_ms:.2f} ms; "
        f"the signal lags {live.signal_delay_s:.2f} s",
        f"  memory {live.rss_mb:.0f} MB resident, {live.peak_rss_mb:.0f} MB at most",
    ]
    return "\n".join(lines)


def _model_json(model: ModelTiming) -> Dict[str, Any]:
    result: Dict[str, Any] = {
        "name": model.name,
        "engine": model.engine,
        "provider": model.provider,
        "params": model.params,
        "macs_per_frame": model.macs_per_frame,
        "s_per_frame": significant(model.s_per_frame),
        "s_per_chunk": significant(model.s_per_chunk),
        "chunk_frames": model.chunk_frames,
        "chunk_ms": _percentiles_json(model.network),
        "chunk_with_input_ms": _percentiles_json(model.whole),
    }
    if model.tensorrt is not None:
        facts = model.tensorrt
        result["tensorrt"] = {
            "version": facts.device.tensorrt,
            "gpu": facts.device.name,
            "capability": facts.device.capability,
            "precision": facts.precision,
            "build_s": significant(facts.build_s),
            "gpu_mb": significant(facts.gpu_mb),
            "parity": significant(facts.parity),
        }
    return {key: value for key, value in result.items() if value is not None}


def _percentiles_json(value: Percentiles) -> Dict[str, float]:
    return {
        "p50_ms": significant(value.p50_ms),
        "p95_ms": significant(value.p95_ms),
        "p99_ms": significant(value.p99_ms),
    }


def _count(value: Optional[int]) -> str:
    return "-" if value is None else f"{value:,}"
