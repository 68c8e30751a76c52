"""Why a confidence is what it is, in words: FEATURES for people. Standard library only.

Features that tell of one thing are taken together. What is said of each group is what was measured,
and whether it speaks for the estimate or against it; the sum of the weights is the confidence's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Tuple

Values = Mapping[str, float]


@dataclass(frozen=True)
class Topic:
    """``name``: what the features tell of; ``measured``: their values, in words."""

    name: str
    features: Tuple[str, ...]
    measured: Callable[[Values], str]


@dataclass(frozen=True)
class Weight:
    """What a topic adds to the log odds of the confidence, and what was measured."""

    name: str
    log_odds: float
    measured: str


@dataclass(frozen=True)
class Why:
    """Of one estimate. ``weights``: the heaviest first; ``start``: log odds before any of them;
    ``gate``: why it was not published, empty if it was."""

    time_s: float
    confidence: float
    start: float
    weights: Tuple[Weight, ...]
    gate: str = ""


TOPICS = (
    Topic(
        "strength of the pulse",
        ("posterior_logit", "snr_db", "share_logit", "log_level"),
        lambda of: (
            f"{of['snr_db']:.1f} dB; {_percent(_share(of['share_logit']))} of it at this rate"
        ),
    ),
    Topic(
        "evenness of the beats",
        ("log_jitter", "log_phase_gap"),
        lambda of: (
            f"{math.degrees(_above(of['log_jitter'], 0.05)):.0f} degrees of jitter;"
            f" counted {_above(of['log_phase_gap'], 0.5):.1f} bpm off"
        ),
    ),
    Topic(
        "earlier readings agree",
        ("log_unsteady", "agreeing"),
        lambda of: (
            f"{_percent(of['agreeing'])} of 15 agree;"
            f" last five {_above(of['log_unsteady'], 0.5):.1f} bpm off"
        ),
    ),
    Topic("length of signal", ("log_window",), lambda of: f"{math.exp(of['log_window']):.0f} s"),
    Topic(
        "other methods agree",
        ("pos_coherence", "pos_agrees", "green_coherence", "green_agrees"),
        lambda of: (
            f"POS {_percent(of['pos_coherence'])}, green {_percent(of['green_coherence'])} in step"
        ),
    ),
    Topic(
        "colours like blood's",
        ("red_ratio", "blue_ratio", "opposition"),
        lambda of: f"red {of['red_ratio']:.1f}, blue {of['blue_ratio']:.1f} of green (lamp: 1, 1)",
    ),
    Topic(
        "steady light",
        ("lit_hair",),
        lambda of: f"{of['lit_hair']:.1f} of the face's at most (lamp: 1)",
    ),
    Topic(
        "stillness of the head",
        ("moves_along", "log_motion"),
        lambda of: (
            f"{_above(of['log_motion'], 0.003):.2f} px a frame;"
            f" {_percent(of['moves_along'])} in step"
        ),
    ),
)
"""All features are in one of them (a test sees to it)."""

_OTHER = "other features"
_LITTLE = 0.05  # of the log odds


def why(message: Mapping[str, Any]) -> Optional[Why]:
    """What a FEATURES message says; None for one that cannot be understood."""
    try:
        explain = message["explain"]
        terms = explain["features"]
        values = {name: float(term["value"]) for name, term in terms.items()}
        log_odds = {name: float(term["log_odds"]) for name, term in terms.items()}
        weights = _weights(values, log_odds)
        return Why(
            float(message["time"]),
            float(explain["confidence"]),
            float(explain["start_log_odds"]),
            tuple(sorted(weights, key=lambda one: -abs(one.log_odds))),
            str(explain.get("gate", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _weights(values: Values, log_odds: Values) -> List[Weight]:
    found = []
    left = dict(log_odds)
    for topic in TOPICS:
        its = [left.pop(name) for name in topic.features if name in left]
        if not its:
            continue
        try:
            measured = topic.measured(values)
        except KeyError:  # of another release, which has other features
            measured = ""
        found.append(Weight(topic.name, sum(its), measured))
    if left:
        found.append(Weight(_OTHER, sum(left.values()), ", ".join(sorted(left))))
    return found


def in_short(found: Why, most: int = 4) -> List[str]:
    """The heaviest topics, each with a plus or a minus."""
    return [
        f"{'+' if one.log_odds > 0 else '-'} {one.name}"
        for one in found.weights
        if abs(one.log_odds) >= _LITTLE
    ][:most]


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %"


def _share(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def _above(log_value: float, offset: float) -> float:
    """The value whose logarithm, ``offset`` added, this is."""
    return max(0.0, math.exp(log_value) - offset)
