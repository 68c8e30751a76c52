"""``hrd build-engine``: make the TensorRT engines of this machine ahead of time."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List

from hrd.cli.common import add_config_options, effective_config, set_up_logging

if TYPE_CHECKING:
    from hrd.engine.tensorrt import TensorRtEngine


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "build-engine",
        help="make the TensorRT engine of a model for this GPU, ahead of time",
        description=(
            "TensorRT turns a model into an engine for exactly this GPU and this TensorRT, by "
            "trying kernels; on a Jetson Nano that takes minutes. hrd run --engine auto does it in "
            "the background at its first start, with ONNX Runtime meanwhile; this command does "
            "it now. The engine is compared with ONNX Runtime and kept under /var/cache/hrd, and "
            "is built again by itself when the model, TensorRT or the GPU has changed."
        ),
        epilog=(
            "examples: sudo hrd build-engine;  hrd build-engine --model teacher --precision fp32;  "
            "hrd build-engine --python /usr/bin/python3 --cache-dir ~/.cache/hrd. FP16 is built "
            "where the GPU has it and the result is within 1 percent of ONNX Runtime's, else FP32."
        ),
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="student (default), teacher, or the path of an ONNX file; may be given again",
    )
    parser.add_argument("--precision", choices=("auto", "fp16", "fp32"), help="default: auto")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="the Python that has tensorrt and pycuda (default: looked for; on a Jetson it is "
        "/usr/bin/python3)",
    )
    parser.add_argument(
        "--cache-dir", metavar="DIR", help="where engines are kept (default: /var/cache/hrd)"
    )
    parser.add_argument(
        "--workspace-mb",
        type=int,
        metavar="MB",
        help="memory for trying kernels (default: 64; less makes the engine slower, not wrong)",
    )
    parser.add_argument("--force", action="store_true", help="build even what is there already")
    parser.add_argument("--json", action="store_true", help="a list of engines as JSON")
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, compare, keep; print what there is now."""
    from hrd.config import override
    from hrd.engine.tensorrt_open import open_tensorrt

    set_up_logging(args.log_level or "warning")
    models, args.model = args.model, None
    config = override(
        effective_config(args),
        {
            "engine.tensorrt.precision": args.precision,
            "engine.tensorrt.python": args.python,
            "engine.tensorrt.cache_dir": args.cache_dir,
            "engine.tensorrt.workspace_mb": args.workspace_mb,
        },
    )
    rows: List[Dict[str, Any]] = []
    for model in models or [config.engine.model]:
        progress = _Progress(model)
        try:
            engine = open_tensorrt(
                model,
                config.engine.tensorrt,
                config.pipeline().hop_frames,
                rebuild=args.force,
                on_progress=progress.show,
            )
        finally:
            progress.end()
        engine.close()
        row = describe(engine, model)
        rows.append(row)
        if not args.json:
            print(as_text(row), flush=True)
    if args.json:
        print(json.dumps(rows))
    return 0


def describe(engine: TensorRtEngine, model: str) -> Dict[str, Any]:
    """What there is to say of an engine."""
    facts = engine.facts
    return {
        "model": engine.info.model or model,
        "precision": facts.precision,
        "parity": float(f"{facts.parity:.2e}"),
        "build_s": round(facts.build_s, 1),
        "gpu_mb": round(facts.gpu_mb, 1),
        "gpu": facts.device.name,
        "capability": facts.device.capability,
        "tensorrt": facts.device.tensorrt,
        "python": facts.device.python,
        "origin": facts.origin,
    }


def as_text(row: Dict[str, Any]) -> str:
    """The same for a terminal."""
    return (
        f"{row['model']}: {row['precision']} on {row['gpu']} (compute capability "
        f"{row['capability']}), TensorRT {row['tensorrt']} of {row['python']}\n"
        f"  differs from ONNX Runtime by {row['parity']:.1e} of the signal's size; built in "
        f"{row['build_s']:.0f} s; {row['gpu_mb']:.0f} MB of GPU memory\n"
        f"  {row['origin']}"
    )


class _Progress:
    """A line that changes in a terminal, a line every ten seconds elsewhere."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._terminal = sys.stderr.isatty()
        self._said_s = 0.0
        self._shown = False

    def show(self, seconds: float, note: str) -> None:
        text = f"building {self._model}: {seconds:.0f} s, {note}"
        if self._terminal:
            sys.stderr.write(f"\r{text[:78]}\x1b[K")
            self._shown = True
        elif time.monotonic() - self._said_s >= 10.0:
            self._said_s = time.monotonic()
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
