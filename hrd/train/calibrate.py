"""Fit the confidence: how often is a reading with such features within 5 bpm of the truth?

Runs an engine and the live estimator over simulated clips (pulse-free ones included: any bpm for
them is wrong), second by second, and grows boosted trees on what came out. How well they do is
told by cross-validation over clips. Run
``python -m hrd.train.calibrate --shards DIR`` on clips that no network was trained on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from hrd.engine.base import Engine
from hrd.engine.select import open_engine
from hrd.errors import HrdError
from hrd.estimate.confidence import Calibration, to_json
from hrd.estimate.estimator import Estimate
from hrd.estimate.gate import PublishGate
from hrd.evaluation.metrics import expected_calibration_error
from hrd.face.crop import GROWTH
from hrd.face.motion import movement
from hrd.pulse import PulseStage
from hrd.train.shards import ShardSet, open_shards
from hrd.types import CROP_PX, MODEL_FS_HZ, NEAR_BPM, TRUTH_S, FaceBox, RoiFrame

logger = logging.getLogger(__name__)

TRUTH_FRAMES = int(round(TRUTH_S * MODEL_FS_HZ))

TREES, DEPTH, LEARNING_RATE = 150, 4, 0.1
LEAST_IN_LEAF = 100
"""Readings, some three clips' worth: fewer would be the peculiarity of a clip."""

PULSE_FREE_SHARE = 0.1
"""How often the detector is taken to see a face without a pulse (a photograph, a screen)."""


@dataclass(frozen=True)
class Samples:
    """``x`` (N, F) features, ``right`` (N,) bool within 5 bpm, ``clip`` (N,) which clip it was,
    ``alive`` (N,) bool whether that clip has a pulse."""

    x: np.ndarray
    right: np.ndarray
    clip: np.ndarray
    alive: np.ndarray


def collect(shards: ShardSet, engine: Engine, progress: bool = True) -> Samples:
    """Every estimate that the live pulse stage makes on these clips, with its features."""
    x: List[Tuple[float, ...]] = []
    right: List[bool] = []
    clip: List[int] = []
    for index in tqdm(range(len(shards)), unit="clip", disable=not progress, file=sys.stderr):
        for time_s, estimate in _estimates(shards, index, engine):
            end = int(round(time_s * MODEL_FS_HZ)) + 1
            true_bpm = float(shards.bpm[index][max(0, end - TRUTH_FRAMES) : end].mean())
            x.append(estimate.features.vector())
            right.append(bool(shards.has_pulse[index]) and abs(estimate.bpm - true_bpm) <= NEAR_BPM)
            clip.append(index)
    if not x:
        raise HrdError("no clip gave a single estimate; they must be longer than 3 s")
    clips = np.array(clip)
    return Samples(np.array(x), np.array(right), clips, np.asarray(shards.has_pulse, bool)[clips])


def _estimates(shards: ShardSet, index: int, engine: Engine) -> List[Tuple[float, Estimate]]:
    """What the pulse stage estimates of a stored clip, and when."""
    found: List[Tuple[float, Estimate]] = []
    engine.reset()
    stage = PulseStage(engine, on_estimate=lambda time_s, one: found.append((time_s, one)))
    for roi in _faces(shards, index):
        stage.push(roi)
    return found


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


def fit_calibration(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Calibration:
    """A calibration of features (N, F) to y (N,) bool, by gradient boosting of the log loss.

    Raises ``HrdError`` if y has one class only.
    """
    if y.all() or not y.any():
        raise HrdError("all readings are right, or all are wrong: nothing to fit a confidence to")
    model = grow(x, y, weight)
    share = float(np.average(y, weights=weight))
    parts = [_complete(tree.tree_, LEARNING_RATE) for (tree,) in model.estimators_]
    feature, threshold, value = (np.stack([part[k] for part in parts]) for k in range(3))
    return Calibration(feature, threshold, value, float(np.log(share / (1.0 - share))))


def grow(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    """scikit-learn's classifier, fitted."""
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=TREES,
        max_depth=DEPTH,
        learning_rate=LEARNING_RATE,
        min_samples_leaf=LEAST_IN_LEAF,
        subsample=0.5,
        max_features=0.4,
        random_state=0,
    ).fit(x, y, sample_weight=weight)


def _complete(tree: Any, scale: float) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tree of scikit-learn's, filled up to full depth: feature, threshold, value times scale.

    Where it ends early, all go left, and both sides hold its leaf's value.
    """
    inner = 2**DEPTH - 1
    feature, threshold = np.zeros(inner, int), np.zeros(inner)
    value = np.zeros(inner + 1)
    reach = [(0, 0)]  # (our node, its)
    while reach:
        ours, its = reach.pop()
        if ours >= inner:
            value[ours - inner] = scale * float(tree.value[its].ravel()[0])
            continue
        ends = tree.children_left[its] < 0
        if not ends:
            feature[ours], threshold[ours] = tree.feature[its], tree.threshold[its]
        reach.append((2 * ours + 1, its if ends else int(tree.children_left[its])))
        reach.append((2 * ours + 2, its if ends else int(tree.children_right[its])))
    return feature, threshold, value


def _weights(alive: np.ndarray) -> np.ndarray:
    """Weigh pulse-free seconds as PULSE_FREE_SHARE of all, however many were drawn."""
    weight = np.ones(len(alive))
    if alive.any() and not alive.all():
        odds = PULSE_FREE_SHARE / (1.0 - PULSE_FREE_SHARE)
        weight[~alive] = odds * alive.sum() / (~alive).sum()
    return weight


FOLDS = 5


def fit(samples: Samples, min_confidence: float) -> Dict[str, Any]:
    """Fit on all clips; report on each fifth what a fit on the others says of it."""
    weight = _weights(samples.alive)
    right = samples.right
    p = np.zeros(len(right))
    for fold in range(FOLDS):
        held_out = samples.clip % FOLDS == fold
        if not held_out.any():
            continue
        others = fit_calibration(samples.x[~held_out], right[~held_out], weight[~held_out])
        p[held_out] = others.confidences(samples.x[held_out])
    said = _gated(samples.clip, p, min_confidence)
    fitted = to_json(fit_calibration(samples.x, right, weight))
    fitted["held_out"] = {
        "readings": int(len(right)),
        "right": round(float(right.mean()), 4),
        "ece": round(expected_calibration_error(p, right, weight), 4),
        "min_confidence": min_confidence,
        "published": round(float(said.mean()), 4),
        "right_of_published": round(float(right[said].mean()), 4) if said.any() else None,
        "published_with_pulse": round(float(said[samples.alive].mean()), 4),
        "published_without_pulse": round(float(said[~samples.alive].mean()), 4),
    }
    return fitted


def _gated(clip: np.ndarray, p: np.ndarray, min_confidence: float) -> np.ndarray:
    """(N,) bool: which estimates the daemon would publish, leaps not looked at."""
    said = np.zeros(len(p), bool)
    gate = PublishGate(min_confidence)
    for k in range(len(p)):
        if k == 0 or clip[k] != clip[k - 1]:
            gate.reset()
        said[k] = gate.allows(0.0, float(p[k]), float(k))
    return said


def join(parts: Sequence[Samples]) -> Samples:
    """Several sets of clips as one."""
    offsets = np.cumsum([0] + [int(part.clip.max()) + 1 for part in parts])
    return Samples(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.clip + offset for part, offset in zip(parts, offsets)]),
        np.concatenate([part.alive for part in parts]),
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m hrd.train.calibrate")
    parser.add_argument(
        "--shards", type=Path, required=True, nargs="+", help="folders of clips of hrd.train.shards"
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
    for name, engine in (
        ("network", open_engine("onnx", args.model).engine),
        ("pos", open_engine("pos").engine),
    ):
        samples = join([collect(shards, engine) for shards in sets])
        fits[name] = fit(samples, args.min_confidence)
        print(name, json.dumps(fits[name]["held_out"]))
    result = {
        "version": 3,
        "recipe": (
            f"python -m hrd.train.calibrate on {sum(len(one) for one in sets)} simulated clips ("
            + "; ".join(
                f"{len(one)} of {one.frames / MODEL_FS_HZ:.0f} s, "
                f"{int((~np.asarray(one.has_pulse, bool)).sum())} without a pulse, "
                f"seeds from {int(one.seed[0])}"
                for one in sets
            )
            + f"), model {Path(args.model).stem}; {TREES} boosted trees of depth {DEPTH}, learning "
            f"rate {LEARNING_RATE:g}, at least {LEAST_IN_LEAF} readings in a leaf, pulse-free "
            f"seconds weighed as {PULSE_FREE_SHARE:g} of all; held_out: {FOLDS}-fold "
            "cross-validation over clips"
        ),
        "fits": fits,
    }
    args.out.write_text(laid_out(result), encoding="utf-8")
    return 0


def laid_out(result: Dict[str, Any]) -> str:
    """The result as JSON, a tree on each line."""
    lines: Dict[str, str] = {}
    fits = {}
    for name, fitted in result["fits"].items():
        keys = [f"{name} {k}" for k in range(len(fitted["trees"]))]
        lines.update(zip(keys, (json.dumps(tree) for tree in fitted["trees"])))
        fits[name] = {**fitted, "trees": keys}
    text = json.dumps({**result, "fits": fits}, indent=1)
    for key, line in lines.items():
        text = text.replace(f'"{key}"', line, 1)
    return text + "\n"


if __name__ == "__main__":
    sys.exit(main())
