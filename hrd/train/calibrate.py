"""Fit the confidence: how often is a reading with such features within 5 bpm of the truth?

Runs an engine and the live estimator over simulated clips (pulse-free ones included: any bpm for
them is wrong), second by second, and fits a logistic regression to what came out. How well it
does is told by two-fold cross-validation over clips. Run
``python -m hrd.train.calibrate --shards DIR`` on clips that no network was trained on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from hrd.engine.base import Engine
from hrd.engine.select import open_engine
from hrd.errors import HrdError
from hrd.estimate.confidence import FEATURES, Calibration
from hrd.estimate.estimator import HeartRateEstimator
from hrd.estimate.ridge import NEAR_BPM
from hrd.train.shards import ShardSet, open_shards
from hrd.types import MODEL_FS_HZ, PulseChunk, RoiChunk
from hrd.witness import Witnesses

logger = logging.getLogger(__name__)

HOP_FRAMES = 30

PULSE_FREE_SHARE = 0.2
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
    """Every estimate that the live estimator would make on these clips, with its features."""
    x: List[Tuple[float, ...]] = []
    right: List[bool] = []
    clip: List[int] = []
    flat = Calibration((0.0,) * len(FEATURES), 0.0)
    for index in tqdm(range(len(shards)), unit="clip", disable=not progress, file=sys.stderr):
        estimator = HeartRateEstimator(flat)
        engine.reset()
        witnesses = Witnesses()
        crops = shards.crops(index)
        cut = np.asarray(shards.cut[index])
        truth = np.asarray(shards.bpm[index])
        for start in range(0, len(crops), HOP_FRAMES):
            stop = min(start + HOP_FRAMES, len(crops))
            chunk = RoiChunk(start / MODEL_FS_HZ, MODEL_FS_HZ, crops[start:stop], cut[start:stop])
            pulse = engine.process(chunk)
            estimator.push_heard(witnesses.hear(chunk))
            early = max(0, engine.delay_frames - start)
            estimator.push(
                PulseChunk(pulse.start_s + early / MODEL_FS_HZ, MODEL_FS_HZ, pulse.bvp[early:])
            )
            estimate = estimator.estimate()
            if estimate is None:
                continue
            end = max(0, stop - engine.delay_frames)
            begin = max(0, end - int(round(estimate.window_s * MODEL_FS_HZ)))
            true_bpm = float(truth[begin:end].mean())
            x.append(estimate.evidence.features())
            right.append(bool(shards.has_pulse[index]) and abs(estimate.bpm - true_bpm) <= NEAR_BPM)
            clip.append(index)
    if not x:
        raise HrdError("no clip gave a single estimate; they must be longer than 6 s")
    places = np.array(clip)
    return Samples(np.array(x), np.array(right), places, np.asarray(shards.has_pulse, bool)[places])


def fit_logistic(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float = 1.0
) -> Tuple[np.ndarray, float]:
    """Coefficients (F,) and intercept of a weighted logistic regression, by Newton's method.

    ``ridge`` is a small L2 penalty on standardised coefficients, so that features which separate
    the classes perfectly still have a finite answer. Raises ``HrdError`` if y has one class only.
    """
    if y.all() or not y.any():
        raise HrdError("all readings are right, or all are wrong: nothing to fit a confidence to")
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    solution = np.zeros(z.shape[1])
    penalty = np.diag([ridge] * x.shape[1] + [0.0])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(z @ solution, -30, 30)))
        gradient = z.T @ (weight * (p - y)) + penalty @ solution
        hessian = (z * (weight * p * (1 - p))[:, None]).T @ z + penalty
        hessian += 1e-9 * np.eye(len(solution))
        step = np.linalg.solve(hessian, gradient)
        solution -= step
        if np.abs(step).max() < 1e-8:
            break
    coefficients = solution[:-1] / spread
    return coefficients, float(solution[-1] - (coefficients * mean).sum())


def expected_calibration_error(p: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Mean |confidence - share right| over equal-width bins, weighted by their counts."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    error = 0.0
    for k in range(bins):
        inside = place == k
        if inside.any():
            error += inside.mean() * abs(float(p[inside].mean()) - float(right[inside].mean()))
    return float(error)


def _weights(alive: np.ndarray) -> np.ndarray:
    """Weigh pulse-free seconds as PULSE_FREE_SHARE of all, however many were drawn."""
    weight = np.ones(len(alive))
    if alive.any() and not alive.all():
        odds = PULSE_FREE_SHARE / (1.0 - PULSE_FREE_SHARE)
        weight[~alive] = odds * alive.sum() / (~alive).sum()
    return weight


def fit(samples: Samples, min_confidence: float) -> Dict[str, Any]:
    """Fit on all clips; report on each half what a fit on the other half says of it."""
    weight = _weights(samples.alive)
    coefficients, intercept = fit_logistic(samples.x, samples.right, weight)
    right = samples.right
    p = np.zeros(len(right))
    for half in (0, 1):
        held_out = samples.clip % 2 == half
        other, offset = fit_logistic(samples.x[~held_out], right[~held_out], weight[~held_out])
        p[held_out] = 1.0 / (1.0 + np.exp(-(samples.x[held_out] @ other + offset)))
    said = p >= min_confidence
    return {
        "intercept": round(intercept, 5),
        "coefficients": {name: round(float(c), 5) for name, c in zip(FEATURES, coefficients)},
        "held_out": {
            "readings": int(len(right)),
            "right": round(float(right.mean()), 4),
            "ece": round(expected_calibration_error(p, right), 4),
            "min_confidence": min_confidence,
            "published": round(float(said.mean()), 4),
            "right_of_published": round(float(right[said].mean()), 4) if said.any() else None,
            "published_without_pulse": round(float(said[~samples.alive].mean()), 4),
        },
    }


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m hrd.train.calibrate")
    parser.add_argument("--shards", type=Path, required=True, help="clips of hrd.train.shards")
    parser.add_argument("--model", default="student", help="student, teacher or a path")
    parser.add_argument("--min-confidence", type=float, default=0.8, help="threshold reported on")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "estimate" / "confidence.json",
    )
    args = parser.parse_args(argv)
    shards = open_shards(args.shards)
    fits = {}
    for name, engine in (
        ("network", open_engine("onnx", args.model).engine),
        ("pos", open_engine("pos").engine),
    ):
        fits[name] = fit(collect(shards, engine), args.min_confidence)
        print(name, json.dumps(fits[name]))
    result = {
        "version": 1,
        "recipe": (
            f"python -m hrd.train.calibrate on {len(shards)} simulated clips of "
            f"{shards.frames / MODEL_FS_HZ:.0f} s, seeds from {int(shards.seed[0])}, "
            f"model {args.model}; logistic regression, pulse-free seconds weighed as "
            f"{PULSE_FREE_SHARE:g} of all; held_out: two-fold cross-validation over clips"
        ),
        "fits": fits,
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
