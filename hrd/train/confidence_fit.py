"""Fit a calibration to features of readings that are known to be right or wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Dict, Iterator, Sequence, Tuple

import numpy as np

from hrd.errors import HrdError
from hrd.estimate.confidence import Calibration, Logistic, Trees, to_json
from hrd.estimate.features import FEATURE_NAMES
from hrd.estimate.gate import PublishGate
from hrd.evaluation.metrics import expected_calibration_error

TREES, DEPTH, LEARNING_RATE = 120, 3, 0.1
LEAST_IN_LEAF = 60
"""Readings, some three clips' worth: fewer would be the peculiarity of a clip."""

SHRINKAGE = 0.03
"""scikit-learn's C of the logistic regression: the smaller, the less each product counts."""

CLIPPED_SHARE = 0.01
"""Of the readings at each end of a feature's range; what lies outside is taken as the end."""

PULSE_FREE_SHARE = 0.1
"""How often the detector is taken to see a face without a pulse (a photograph, a screen)."""

LAMP_WEIGHT = 3.0
"""Of a second in pulsing light, that of another without a pulse being 1: a lamp that beats as
hearts do is the one that looks most like a pulse, and there are few such clips."""

PAINTED_WEIGHT = 3.0
"""Weight of all painted real traces together, that of all drawn clips with a pulse being 1."""

FOLDS = 5


@dataclass(frozen=True)
class Samples:
    """``x`` (N, F) features, ``right`` (N,) bool within 5 bpm, ``bpm`` (N,) what was read; ``clip``
    (N,) which clip it was, ``alive`` (N,) bool whether that clip has a pulse, ``person`` (N,) whose
    real trace it shows, -1 where the heart is drawn, ``lit`` (N,) bool whether the light pulses
    and nothing else."""

    x: np.ndarray
    right: np.ndarray
    bpm: np.ndarray
    clip: np.ndarray
    alive: np.ndarray
    person: np.ndarray
    lit: np.ndarray


def join(parts: Sequence[Samples]) -> Samples:
    """Several sets as one; clips stay apart, persons are the same in all."""
    counts = [int(part.clip.max()) + 1 for part in parts]
    offsets = np.cumsum([0, *counts])[:-1]
    columns = [
        np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Samples)
    ]
    joined = Samples(*columns)
    clip = np.concatenate([part.clip + offset for part, offset in zip(parts, offsets)])
    return replace(joined, clip=clip)


def without_features(samples: Samples, names: Sequence[str]) -> Samples:
    """The same with features that say nothing: a fit gives them no weight, whatever comes later."""
    x = samples.x.copy()
    for name in names:
        column = FEATURE_NAMES.index(name)
        x[:, column] = x[:, column].mean()
    return replace(samples, x=x)


def weights(samples: Samples) -> np.ndarray:
    """(N,): painted traces count PAINTED_WEIGHT times all drawn hearts, seconds without a pulse
    PULSE_FREE_SHARE of all, however many were drawn, those of lamps LAMP_WEIGHT times that."""
    weight = np.ones(len(samples.x))
    painted, free = samples.person >= 0, ~samples.alive
    drawn = ~painted & ~free
    if painted.any() and drawn.any():
        weight[painted] = PAINTED_WEIGHT * drawn.sum() / painted.sum()
    if free.any() and not free.all():
        odds = PULSE_FREE_SHARE / (1.0 - PULSE_FREE_SHARE)
        weight[free] = odds * weight[~free].sum() / free.sum()
    weight[samples.lit] *= LAMP_WEIGHT
    return weight


def fit_calibration(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Calibration:
    """A calibration of features (N, F) to y (N,) bool.

    Raises ``HrdError`` if y has one class only.
    """
    if y.all() or not y.any():
        raise HrdError("all readings are right, or all are wrong: nothing to fit a confidence to")
    return Calibration(fit_logistic(x, y, weight), fit_trees(x, y, weight))


def fit_logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Logistic:
    """Logistic regression on standard features and their products, L2-penalised."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-6] = 1.0  # one value in all clips, such as POS's coherence with itself
    z = (x - mean) / scale
    low, high = np.quantile(z, (CLIPPED_SHARE, 1.0 - CLIPPED_SHARE), axis=0)
    bare = Logistic(mean, scale, low, high, np.zeros(0), 0.0)
    terms = bare.terms(x)
    # the penalty is fair to terms of one size only
    middle, size = terms.mean(axis=0), terms.std(axis=0)
    size[size < 1e-6] = 1.0
    model = LogisticRegression(C=SHRINKAGE, max_iter=3000)
    model.fit((terms - middle) / size, y, sample_weight=weight)
    weights_of_terms = model.coef_[0] / size
    intercept = float(model.intercept_[0] - weights_of_terms @ middle)
    return Logistic(mean, scale, low, high, weights_of_terms, intercept)


def fit_trees(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Trees:
    """Gradient boosting of the log loss."""
    model = grow(x, y, weight)
    share = float(np.average(y, weights=weight))
    parts = [_complete(tree.tree_, LEARNING_RATE) for (tree,) in model.estimators_]
    feature, threshold, value = (np.stack([part[k] for part in parts]) for k in range(3))
    return Trees(feature, threshold, value, float(np.log(share / (1.0 - share))))


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


def held_out_confidence(samples: Samples) -> np.ndarray:
    """(N,): of each reading, by a fit on others: other persons' traces, other fifths of clips."""
    weight = weights(samples)
    p = np.zeros(len(samples.x))
    for out in _parts(samples):
        others = ~out
        fitted = fit_calibration(samples.x[others], samples.right[others], weight[others])
        p[out] = fitted.confidences(samples.x[out])
    return p


def _parts(samples: Samples) -> Iterator[np.ndarray]:
    painted = samples.person >= 0
    for person in np.unique(samples.person[painted]):
        yield samples.person == person
    for fold in range(FOLDS):
        out = ~painted & (samples.clip % FOLDS == fold)
        if out.any():
            yield out


def fit(samples: Samples, min_confidence: float) -> Dict[str, Any]:
    """Fit on all; report on each part what a fit on the others says of it."""
    weight = weights(samples)
    p = held_out_confidence(samples)
    said = published(samples, p, min_confidence)
    fitted = to_json(fit_calibration(samples.x, samples.right, weight))
    painted, free = samples.person >= 0, ~samples.alive
    fitted["held_out"] = {
        "min_confidence": min_confidence,
        "ece": round(expected_calibration_error(p, samples.right, weight), 4),
        **{
            name: _told(samples.right[chosen], said[chosen], p[chosen])
            for name, chosen in (
                ("painted", painted),
                ("drawn", ~painted & ~free),
                ("pulse-free", free),
            )
            if chosen.any()
        },
    }
    return fitted


def _told(right: np.ndarray, said: np.ndarray, p: np.ndarray) -> Dict[str, Any]:
    """Of one source of readings."""
    return {
        "readings": int(len(right)),
        "right": round(float(right.mean()), 4),
        "published": round(float(said.mean()), 4),
        "right_of_published": round(float(right[said].mean()), 4) if said.any() else None,
        "ece": round(expected_calibration_error(p, right), 4),
    }


def published(samples: Samples, p: np.ndarray, min_confidence: float) -> np.ndarray:
    """(N,) bool: which readings the daemon would publish with confidences ``p`` (N,)."""
    said = np.zeros(len(p), bool)
    gate = PublishGate(min_confidence)
    for k in range(len(p)):
        if k == 0 or samples.clip[k] != samples.clip[k - 1]:
            gate.reset()
        said[k] = gate.allows(float(samples.bpm[k]), float(p[k]), float(k))
    return said
