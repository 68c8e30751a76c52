"""Checkpoints: written whole or not at all, and read back as networks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Tuple

import torch

from hrd.errors import HrdError
from hrd.files import written_whole
from hrd.train.models import NetSpec, Pool, PulseNet, Spatial, Temporal

FORMAT = "hrd-train-1"


def save_atomically(path: Path, content: Dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        torch.save(content, file)


def load_checkpoint(path: Path) -> Dict[str, Any]:
    """A checkpoint's content. Raises ``HrdError`` if it cannot be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except FileNotFoundError:
        raise HrdError(
            f"no checkpoint at {path}; give the .pt file of an `hrd train` run"
        ) from None
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise HrdError(f"cannot read checkpoint {path}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise HrdError(f"{path} is not a checkpoint of `hrd train`")
    return content


def spec_to_dict(spec: NetSpec) -> Dict[str, Any]:
    layers = [{"kind": type(layer).__name__, **asdict(layer)} for layer in spec.layers]
    return {"name": spec.name, "layers": layers, "taps": list(spec.taps)}


def _spec_from_dict(values: Dict[str, Any]) -> NetSpec:
    kinds = {"Spatial": Spatial, "Temporal": Temporal, "Pool": Pool}
    layers = []
    for layer in values["layers"]:
        layer = dict(layer)
        layers.append(kinds[layer.pop("kind")](**layer))
    return NetSpec(values["name"], tuple(layers), tuple(values["taps"]))


def load_network(path: Path) -> Tuple[PulseNet, Dict[str, Any]]:
    """The averaged network of a checkpoint, in inference mode, and the checkpoint's content."""
    content = load_checkpoint(path)
    net = PulseNet(_spec_from_dict(content["spec"]))
    net.load_state_dict(content["average"])
    return net.eval(), content
