"""Compare ``hrd measure --json`` with a clip's reference.

usage: near_truth.py MEASURED.json ground_truth.txt TOLERANCE_BPM
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(measured: str, truth: str, tolerance_bpm: str) -> int:
    """0 if the whole clip's bpm is within the tolerance of the reference's mean."""
    result = json.loads(Path(measured).read_text())
    rates = [float(word) for word in Path(truth).read_text().splitlines()[1].split()]
    expected = sum(rates) / len(rates)
    bpm = result.get("bpm")
    if bpm is None:
        print(f"{result['file']}: no bpm (truth {expected:.1f})", file=sys.stderr)
        return 1
    print(f"{result['file']}: {bpm:.1f} bpm by {result['engine']}, truth {expected:.1f}")
    return int(abs(bpm - expected) > float(tolerance_bpm))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
