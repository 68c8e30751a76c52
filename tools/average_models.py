"""Average the weights of two exported models of one shape (a "model soup", Wortsman et al. 2022).

A network trained on from another one, on other clips, gains there and loses a little where it came
from; somewhere on the line between the two it often keeps most of both. Run
``python tools/average_models.py FROM TO SHARE OUT.onnx``; SHARE 0..1 is how far it goes towards TO.
The card beside FROM goes with it, less its scores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
import onnx
from onnx import numpy_helper


def average(one: onnx.ModelProto, other: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """``one`` with each of its float weights moved by ``share`` towards ``other``'s.

    Raises ``ValueError`` if they have other weights, by name or shape.
    """
    theirs = {item.name: numpy_helper.to_array(item) for item in other.graph.initializer}
    result = onnx.ModelProto()
    result.CopyFrom(one)
    for item in result.graph.initializer:
        ours = numpy_helper.to_array(item)
        if item.name not in theirs or theirs[item.name].shape != ours.shape:
            raise ValueError(f"the second model has no {item.name} of shape {ours.shape}")
        if ours.dtype == np.float32:
            mixed = (1.0 - share) * ours + share * theirs[item.name]
            item.CopyFrom(numpy_helper.from_array(mixed.astype(np.float32), item.name))
    return result


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("one", type=Path, metavar="FROM")
    parser.add_argument("other", type=Path, metavar="TO")
    parser.add_argument("share", type=float, metavar="SHARE")
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    args = parser.parse_args(argv)
    if not 0.0 <= args.share <= 1.0:
        parser.error("SHARE is from 0 to 1")
    model = average(onnx.load(str(args.one)), onnx.load(str(args.other)), args.share)
    onnx.save(model, str(args.out))
    card = json.loads(args.one.with_suffix(".json").read_text(encoding="utf-8"))
    card["file"] = args.out.name
    card["sha256"] = hashlib.sha256(args.out.read_bytes()).hexdigest()
    card.pop("scores", None)
    card.pop("parity_with_torch", None)
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
