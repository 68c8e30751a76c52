"""How ``hrd measure --explain`` shows what a confidence was made of."""

from __future__ import annotations

import textwrap
from typing import List

from hrd.estimate.explain import Explanation, Term, odds_of

LEGEND = (
    "  In brackets: what each feature adds to the log odds of the confidence (0: 0.50, 2: 0.88,\n"
    "  4: 0.98). They and the start add up to it. docs/estimator.md says what the features are."
)
_WIDTH = 100
_INDENT = " " * 13
_SMALL = 0.005  # of the log odds: shown as nothing


def text_of(explanation: Explanation) -> str:
    """Some lines below the reading's own."""
    lines: List[str] = []
    if explanation.gate:
        lines.append(f"{_INDENT}held back: {explanation.gate}")
    lines.append(
        f"{_INDENT}estimate {explanation.bpm:.1f} bpm, confidence {explanation.confidence:.2f}"
        f" (log odds {odds_of(explanation.confidence):+.1f}) of {explanation.window_s:.1f} s;"
        f" posterior {explanation.posterior:.2f}, snr {explanation.snr_db:.1f} dB"
    )
    start = f"start ({explanation.start:+.2f})"
    up = [_shown(term) for term in explanation.terms if term.log_odds >= _SMALL]
    down = [_shown(term) for term in explanation.terms if term.log_odds <= -_SMALL]
    nothing = [term.feature for term in explanation.terms if abs(term.log_odds) < _SMALL]
    (up if explanation.start >= 0.0 else down).insert(0, start)
    for label, parts in (("for", up), ("against", down), ("no matter", nothing)):
        if parts:
            lines += textwrap.wrap(
                ", ".join(parts).replace(" (", "\u00a0("),
                _WIDTH,
                initial_indent=f"{_INDENT}{label:9} ",
                subsequent_indent=f"{_INDENT}{'':10}",
                break_on_hyphens=False,
            )
    return "\n".join(lines).replace("\u00a0", " ")


def _shown(term: Term) -> str:
    return f"{term.feature}={term.value:.3g} ({term.log_odds:+.2f})"
