"""What is compared: hrd's models and the classics, each an engine under a name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from hrd.engine.base import Engine
from hrd.engine.card import NAMES, model_path
from hrd.errors import UsageError

CLASSICS = {
    "pos": ("POS", "Wang et al. 2017"),
    "chrom": ("CHROM", "de Haan & Jeanne 2013"),
    "green": ("GREEN", "Verkruysse et al. 2008"),
}
CHOICES = NAMES + tuple(CLASSICS)


@dataclass(frozen=True)
class MethodSpec:
    """``name``: heading in the report. ``kind``: ``model`` or one of CLASSICS. ``model``: what
    ``--model`` takes. ``live``: the daemon could run it, so its gated readings are judged too."""

    name: str
    kind: str
    model: str = ""

    @property
    def live(self) -> bool:
        return self.kind in ("model", "pos")

    def open(self, threads: int = 1) -> Engine:
        """A new engine; raises ``EngineError`` if it cannot run."""
        if self.kind == "pos":
            from hrd.engine.pos import PosEngine

            return PosEngine()
        if self.kind == "chrom":
            from hrd.evaluation.classic import ChromEngine

            return ChromEngine()
        if self.kind == "green":
            from hrd.evaluation.classic import GreenEngine

            return GreenEngine()
        from hrd.engine.select import open_engine

        return open_engine("onnx", self.model, threads).engine


def choose_methods(
    names: Optional[Sequence[str]], models: Sequence[str]
) -> Tuple[List[MethodSpec], List[str]]:
    """The methods to run, and a sentence for each that was left out.

    ``names``: of CHOICES; None means all, less the models that are not there. ``models``: paths
    or LABEL=PATH. Raises ``UsageError`` for an unknown or repeated name.
    """
    specs: List[MethodSpec] = []
    left_out: List[str] = []
    for name in CHOICES if names is None else names:
        if name in CLASSICS:
            specs.append(MethodSpec(CLASSICS[name][0], name))
        elif name in NAMES:
            if names is None and not _is_there(name):
                left_out.append(f"{name} was left out: there is no model {name}.onnx")
                continue
            specs.append(MethodSpec(name, "model", name))
        else:
            raise UsageError(f"unknown method {name!r}: use {', '.join(CHOICES)}, or --model PATH")
    for given in models:
        label, separator, path = given.partition("=")
        if not separator:
            label, path = Path(given).stem, given
        specs.append(MethodSpec(label, "model", path))
    specs.sort(key=lambda spec: spec.kind in CLASSICS)  # models first, else as they were named
    for index, spec in enumerate(specs):
        if spec.name in [earlier.name for earlier in specs[:index]]:
            raise UsageError(
                f"two methods are called {spec.name}; tell them apart with --model LABEL=PATH"
            )
    if not specs:
        raise UsageError("there is nothing to compare: name a method, or a model with --model")
    return specs, left_out


def describe(spec: MethodSpec) -> Dict[str, Any]:
    """What the report says of a method; opens it, so raises ``EngineError`` if it cannot run."""
    engine = spec.open()
    described: Dict[str, Any] = {"engine": engine.info.name, "live": spec.live}
    if spec.kind == "model":
        described["model"] = engine.info.model
        described["params"] = engine.info.params
        content = model_path(spec.model).read_bytes()
        described["sha256"] = hashlib.sha256(content).hexdigest()
    else:
        described["paper"] = CLASSICS[spec.kind][1]
    described["delay_frames"] = engine.delay_frames
    engine.close()
    return described


def _is_there(model: str) -> bool:
    from hrd.engine.base import EngineError

    try:
        model_path(model)
    except EngineError:
        return False
    return True
