"""``make prove-tensorrt``: build, run, compare, time and measure on the GPU of this machine.

Prints a table and exits with 1 if anything is not as it should be, with 77 (and a sentence) where
there is no GPU with TensorRT. Nothing is taken from the cache and nothing is left in it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional

import numpy as np

from hrd.bench.timing import percentiles, significant
from hrd.config import Config
from hrd.engine.base import EngineError
from hrd.engine.interpreters import find_worker
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.select import Selection, open_engine
from hrd.engine.supervise import SupervisedEngine
from hrd.engine.tensorrt import TensorRtEngine
from hrd.engine.tensorrt_open import TOLERANCE, open_tensorrt
from hrd.errors import HrdError
from hrd.face.detect import open_detector
from hrd.measure import measure_file
from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77
CHUNK = 30
FALLBACK_S = 2.0


class Table:
    """Rows of what was found, and whether all of it was right."""

    def __init__(self) -> None:
        self.wrong = 0

    def row(self, name: str, text: str, right: bool = True) -> None:
        self.wrong += not right
        print(f"{'ok  ' if right else 'FAIL'}  {name:24} {text}", flush=True)


def prove_engine(table: Table, model: str, options: TensorRtOptions, chunks: int) -> None:
    """Build, compare, time."""
    name = f"{model} {options.precision}"
    try:
        engine = open_tensorrt(model, options, CHUNK, rebuild=True)
    except EngineError as error:
        table.row(name, str(error), right=False)
        return
    frames = np.random.default_rng(1).standard_normal((CHUNK, 3, CROP_PX, CROP_PX))
    frames = frames.astype(np.float32)
    durations_s = []
    for _ in range(chunks):
        begin_s = time.perf_counter()
        engine.infer(frames)
        durations_s.append(time.perf_counter() - begin_s)
    took = percentiles(durations_s)
    facts = engine.facts
    table.row(
        name,
        f"{facts.precision}: built in {facts.build_s:.1f} s, differs by {facts.parity:.1e} "
        f"(at most {TOLERANCE[facts.precision]:g}), {significant(took.p50_ms / 1e3 / CHUNK):.3g} "
        f"s/frame, chunk p50 {took.p50_ms:.2f} p95 {took.p95_ms:.2f} p99 {took.p99_ms:.2f} ms, "
        f"{facts.gpu_mb:.0f} MB",
        right=facts.parity <= TOLERANCE[facts.precision],
    )
    engine.close()


def prove_clip(
    table: Table, clip: str, bpm: float, within_bpm: float, options: TensorRtOptions
) -> None:
    """Measure a clip with TensorRT and with ONNX Runtime."""
    detector = open_detector("auto")
    found = {}
    for name in ("tensorrt", "onnx"):
        selection: Selection = open_engine(name, "student", tensorrt=options)
        result = measure_file(clip, detector, selection, Config())
        found[result.engine] = result.bpm
        selection.engine.close()
    detector.close()
    measured = found.get("tensorrt")
    right = measured is not None and abs(measured - bpm) <= within_bpm
    shown = {name: "refused" if v is None else f"{v:.1f} bpm" for name, v in found.items()}
    table.row(
        f"clip {Path(clip).name[:18]}",
        f"{shown}; the truth is {bpm:g} within {within_bpm:g}",
        right=right,
    )


def prove_fallback(table: Table, options: TensorRtOptions) -> None:
    """Kill the worker in the middle of a stream."""
    selection = open_engine("tensorrt", "student", tensorrt=options)
    engine = selection.engine
    assert isinstance(engine, SupervisedEngine)
    assert isinstance(engine.current, TensorRtEngine)
    rng = np.random.default_rng(2)
    crops = (120 + rng.standard_normal((5 * CHUNK, CROP_PX, CROP_PX, 3))).astype(np.float32)
    cut = np.zeros(len(crops), bool)
    chunks = [
        RoiChunk(i / MODEL_FS_HZ, MODEL_FS_HZ, crops[i : i + CHUNK], cut[i : i + CHUNK])
        for i in range(0, len(crops), CHUNK)
    ]
    wanted = OnnxEngine("student").process(RoiChunk(0.0, MODEL_FS_HZ, crops, cut)).bvp
    for how in ("SIGKILL", "SIGSTOP"):
        engine.reset()
        out, slowest_s = [], 0.0
        for i, chunk in enumerate(chunks):
            if i == 3:
                assert isinstance(engine.current, TensorRtEngine)
                os.kill(engine.current.worker_pid, getattr(signal, how))
            begin_s = time.monotonic()
            out.append(engine.process(chunk).bvp)
            slowest_s = max(slowest_s, time.monotonic() - begin_s)
        error = float(np.abs(np.concatenate(out) - wanted).max() / np.abs(wanted).max())
        table.row(
            f"worker gets {how}",
            f"{engine.info.name} goes on after {slowest_s:.2f} s (at most {FALLBACK_S:g}), the "
            f"signal differs by {error:.1e}",
            right=engine.info.name == "onnx" and slowest_s < FALLBACK_S and error < 1e-2,
        )
        end_s = time.monotonic() + 120
        while engine.info.name != "tensorrt" and time.monotonic() < end_s:
            time.sleep(0.2)
            engine.process(chunks[0])
        table.row(f"after {how}", selection.why, right=engine.info.name == "tensorrt")
        if engine.info.name != "tensorrt":
            break
    engine.close()


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--python", default="auto", help="the Python with tensorrt and pycuda")
    parser.add_argument("--clip", help="a video (default: the shared face.mp4, else a drawn face)")
    parser.add_argument("--bpm", type=float, default=53.0, help="the clip's true heart rate")
    parser.add_argument("--within", type=float, default=1.5, help="how far off it may be read")
    parser.add_argument("--chunks", type=int, default=500, help="how many to time")
    args = parser.parse_args(argv)
    try:
        found = find_worker(args.python)
    except EngineError as error:
        print(f"prove-tensorrt: skipped, there is no GPU with TensorRT here: {error}")
        return SKIPPED
    found.worker.close()
    device = found.device
    print(
        f"{device.name}, compute capability {device.capability}, {device.total_mb} MB; TensorRT "
        f"{device.tensorrt} of {device.python} (Python {device.python_version})"
    )
    clip, bpm, within_bpm = args.clip, args.bpm, args.within
    if clip is None:
        shared = ROOT.parent / "shared" / "clips" / "face.mp4"
        clip = str(shared)
        if not shared.is_file():
            clip, bpm, within_bpm = "sim:bpm=72,seconds=20,seed=5", 72.0, 2.0
    table = Table()
    with tempfile.TemporaryDirectory(prefix="hrd-prove-") as folder:
        for model in ("student", "teacher"):
            for precision in ("fp32", "fp16"):
                # what is slow is to be timed here, not to be given up
                options = TensorRtOptions(args.python, precision, folder, deadline_s=30.0)
                prove_engine(table, model, options, args.chunks)
        options = TensorRtOptions(args.python, "auto", folder)
        for name, step in (
            ("clip", lambda: prove_clip(table, clip, bpm, within_bpm, options)),
            ("fallback", lambda: prove_fallback(table, options)),
        ):
            try:
                step()
            except (HrdError, AssertionError) as error:
                table.row(name, str(error) or "TensorRT did not run", right=False)
    print("all as it should be" if not table.wrong else f"{table.wrong} not as it should be")
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
