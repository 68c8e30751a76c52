"""Fit the confidence: how often is a reading with such features within 5 bpm of the truth?

Runs an engine and the live pulse stage over drawn clips (pulse-free ones included: any bpm for them
is wrong) and over real colour traces painted onto drawn faces, second by second, and fits a
calibration to what came out. How well it does is told on what a fit has not seen: other clips, and
other persons. Run ``python -m hrd.train.calibrate --shards DIR --traces FILE...`` on clips that no
network was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from hrd.engine.base import Engine
from hrd.engine.select import open_engine
from hrd.errors import HrdError
from hrd.estimate.confidence import Calibration, Logistic, Trees
from hrd.estimate.estimator import Estimate
from hrd.estimate.features import FEATURE_NAMES
from hrd.evaluation.drawn import load_or_draw
from hrd.evaluation.painted import Trace, draw_clip, load_trace
from hrd.evaluation.recording import BVP, ReferenceRate
from hrd.face.crop import GROWTH
from hrd.face.motion import movement
from hrd.pulse import PulseStage
from hrd.sim.lens import CodecConfig
from hrd.train import confidence_fit as fitting
from hrd.train.confidence_fit import Samples, fit, join, without_features
from hrd.train.generator import HUNTING, LIT_PHOTO, PULSING_LIGHT
from hrd.train.shards import ShardSet, open_shards
from hrd.types import CROP_PX, MODEL_FS_HZ, NEAR_BPM, TRUTH_S, FaceBox, FaceView, RoiFrame

TRUTH_FRAMES = int(round(TRUTH_S * MODEL_FS_HZ))

PAINTED_CAMERAS: Dict[str, Tuple[CodecConfig, float]] = {
    "jpeg": (CodecConfig("jpeg", quality=85), 30.0),
    "mpeg4": (CodecConfig("mpeg4", bitrate=0.06, gop=12), 20.0),
    "h264": (CodecConfig("h264", bitrate=0.05, gop=60), 30.0),
}
"""Codec and frames per second of the cameras that film each painted trace."""

PAINTED_MOTIONS = ("still", "moving")
PAINTED_GROUPS = (2, 4, 6)


def nothing_fitted() -> Calibration:
    """A calibration that says 0.5 of everything: for readings whose features alone are wanted."""
    count = len(FEATURE_NAMES)
    zeros = np.zeros(count)
    products = np.zeros(count + count * (count + 1) // 2)
    return Calibration(
        Logistic(zeros, np.ones(count), zeros, zeros, products, 0.0),
        Trees(np.zeros((1, 1), int), np.zeros((1, 1)), np.zeros((1, 2)), 0.0),
    )


def estimates(views: Iterable[FaceView], engine: Engine) -> List[Tuple[float, Estimate]]:
    """What the live pulse stage estimates of one stream of faces, and when."""
    found: List[Tuple[float, Estimate]] = []
    engine.reset()
    stage = PulseStage(
        engine,
        on_estimate=lambda time_s, one: found.append((time_s, one)),
        calibration_for=lambda name: nothing_fitted(),
    )
    for view in views:
        stage.push(view)
    return found


Found = Iterable[Tuple[List[Tuple[float, Estimate]], Callable[[float], Optional[float]], int, bool]]
"""Of each clip: its estimates, its true rate at a time (None: no pulse), whose trace it shows, and
whether it is one of a lamp that pulses."""


def samples_of(found: Found) -> Samples:
    """Features of all estimates, and whether each is right."""
    x: List[Tuple[float, ...]] = []
    rows: List[Tuple[bool, float, int, bool, int, bool]] = []
    for clip, (estimated, true_bpm_at, person, lit) in enumerate(found):
        for time_s, estimate in estimated:
            true_bpm = true_bpm_at(time_s)
            right = true_bpm is not None and abs(estimate.bpm - true_bpm) <= NEAR_BPM
            x.append(estimate.features.vector())
            rows.append((right, estimate.bpm, clip, true_bpm is not None, person, lit))
    if not x:
        raise HrdError("no clip gave a single estimate; they must be longer than 3 s")
    columns = [np.array(column) for column in zip(*rows)]
    return Samples(np.array(x), *columns)


def collect(shards: ShardSet, engine: Engine, progress: bool = True) -> Samples:
    """Every estimate that the live pulse stage makes on drawn clips."""

    def found() -> Iterator[Any]:
        for index in tqdm(range(len(shards)), unit="clip", disable=not progress, file=sys.stderr):
            yield (
                estimates(_faces(shards, index), engine),
                partial(_drawn_bpm, shards, index),
                -1,
                shards.meta[index]["kind"] in (PULSING_LIGHT, LIT_PHOTO, HUNTING),
            )

    return samples_of(found())


def _drawn_bpm(shards: ShardSet, index: int, time_s: float) -> Optional[float]:
    if not shards.has_pulse[index]:
        return None
    end = int(round(time_s * MODEL_FS_HZ)) + 1
    return float(shards.bpm[index][max(0, end - TRUTH_FRAMES) : end].mean())


def _faces(shards: ShardSet, index: int) -> Iterator[RoiFrame]:
    """A stored clip as the face stage would have given it."""
    crops, cut = shards.crops(index), np.asarray(shards.cut[index])
    side_px = float(shards.meta[index]["side_px"]) / GROWTH
    shift_px = movement(crops, cut)
    speed_per_s = np.hypot(shift_px[:, 0], shift_px[:, 1]) * GROWTH / CROP_PX * MODEL_FS_HZ
    for k, crop in enumerate(crops):
        yield RoiFrame(
            time_s=k / MODEL_FS_HZ,
            crop=crop,
            face=FaceBox(0.0, 0.0, side_px, side_px),
            cut=bool(cut[k]),
            motion_per_s=float(speed_per_s[k]),
            shift_px=(float(shift_px[k, 0]), float(shift_px[k, 1])),
        )


def collect_painted(
    traces: Sequence[Path], folder: Path, engine: Engine, progress: bool = True
) -> Samples:
    """Every estimate on real traces painted onto drawn faces, filmed by each of PAINTED_CAMERAS;
    the clips are kept in ``folder``."""
    plan = [
        (person, path, camera, motion, PAINTED_GROUPS[(person + m + c) % len(PAINTED_GROUPS)], c)
        for c, camera in enumerate(PAINTED_CAMERAS)
        for m, motion in enumerate(PAINTED_MOTIONS)
        for person, path in enumerate(traces)
    ]

    def found() -> Iterator[Any]:
        for person, path, camera, motion, group, c in tqdm(
            plan, unit="clip", disable=not progress, file=sys.stderr
        ):
            stored = folder / f"{path.stem}-{camera}-{motion}-{group}.npz"
            face = 10 + 10 * person + c
            draw = partial(_paint, load_trace(path), group, motion, face, camera)
            clip = load_or_draw(stored, draw)
            rate = ReferenceRate(clip.reference, BVP)
            start_s = float(clip.time_s[0])

            def true_bpm_at(
                time_s: float, rate: ReferenceRate = rate, start_s: float = start_s
            ) -> Optional[float]:
                return rate.beats_bpm(max(start_s, time_s - TRUTH_S), time_s)

            yield estimates(clip.tracked(), engine), true_bpm_at, person, False

    return samples_of(found())


def _paint(trace: Trace, group: int, motion: str, face: int, camera: str) -> Any:
    codec, fps = PAINTED_CAMERAS[camera]
    return draw_clip(trace, group, motion, face, codec=codec, fps=fps)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m hrd.train.calibrate")
    parser.add_argument(
        "--shards", type=Path, required=True, nargs="+", help="folders of clips of hrd.train.shards"
    )
    parser.add_argument(
        "--traces", type=Path, nargs="*", default=[], help="real colour traces (.npz) to paint"
    )
    parser.add_argument(
        "--painted", type=Path, default=Path("data/painted"), help="where painted clips are kept"
    )
    parser.add_argument("--model", default="student", help="student, teacher or a path")
    parser.add_argument("--min-confidence", type=float, default=0.8, help="threshold reported on")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "estimate" / "confidence.json",
    )
    args = parser.parse_args(argv)
    sets = [open_shards(folder) for folder in args.shards]
    fits = {}
    for name, engine, without in (
        ("network", open_engine("onnx", args.model).engine, ()),
        # POS was not trained to be small where it is unsure
        ("pos", open_engine("pos").engine, ("log_level",)),
    ):
        parts = [collect(shards, engine) for shards in sets]
        if args.traces:
            parts.append(collect_painted(args.traces, args.painted, engine))
        fits[name] = fit(without_features(join(parts), without), args.min_confidence)
        print(name, json.dumps(fits[name]["held_out"], indent=1))
    result = {"version": 4, "recipe": _recipe(sets, args.traces, args.model), "fits": fits}
    args.out.write_text(laid_out(result), encoding="utf-8")
    return 0


def _recipe(sets: Sequence[ShardSet], traces: Sequence[Path], model: str) -> str:
    drawn = "; ".join(
        f"{len(one)} of {one.frames / MODEL_FS_HZ:.0f} s, "
        f"{int((~np.asarray(one.has_pulse, bool)).sum())} without a pulse, "
        f"seeds from {int(one.seed[0])}"
        for one in sets
    )
    painted = len(traces) * len(PAINTED_CAMERAS) * len(PAINTED_MOTIONS)
    return (
        f"python -m hrd.train.calibrate on {sum(len(one) for one in sets)} drawn clips ({drawn}) "
        f"and {len(traces)} real colour traces painted onto {painted} drawn faces "
        f"({', '.join(path.stem for path in traces)}), model {Path(model).stem}; logistic "
        f"regression with products, C {fitting.SHRINKAGE:g}, and {fitting.TREES} boosted trees of "
        f"depth {fitting.DEPTH}, learning rate {fitting.LEARNING_RATE:g}, at least "
        f"{fitting.LEAST_IN_LEAF} readings in a leaf; painted seconds weighed as "
        f"{fitting.PAINTED_WEIGHT:g} times the drawn ones with a pulse, pulse-free ones as "
        f"{fitting.PULSE_FREE_SHARE:g} of all, lamps {fitting.LAMP_WEIGHT:g} times that; "
        f"held_out: drawn clips by {fitting.FOLDS}-fold "
        "cross-validation, painted ones left out person by person"
    )


def laid_out(result: Dict[str, Any]) -> str:
    """The result as JSON, a tree on each line."""
    lines: Dict[str, str] = {}
    fits = {}
    for name, fitted in result["fits"].items():
        keys = [f"{name} {k}" for k in range(len(fitted["trees"]))]
        lines.update(zip(keys, (json.dumps(tree) for tree in fitted["trees"])))
        logistic = {}
        for part, values in fitted["logistic"].items():
            key = f"{name} {part}"
            lines[key] = json.dumps(values)
            logistic[part] = key
        fits[name] = {**fitted, "trees": keys, "logistic": logistic}
    text = json.dumps({**result, "fits": fits}, indent=1)
    for key, line in lines.items():
        text = text.replace(f'"{key}"', line, 1)
    return text + "\n"


if __name__ == "__main__":
    sys.exit(main())
