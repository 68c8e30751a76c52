"""Trained network -> ONNX that streams, for ONNX Runtime and TensorRT 8.2.

The graph is written node by node instead of traced: batch norm folded into the convolutions, all
shapes constant, the time axis the only free one, and no operator beyond Conv, Relu or Elu, Add,
Mul, Div, Sigmoid, ReduceSum, Concat, Slice, Transpose and Reshape of opset 11.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import hrd
from hrd import normalise
from hrd.engine.card import CONTRACT
from hrd.errors import HrdError
from hrd.files import write_whole
from hrd.train.models import (
    AttentionPool,
    ConvLayer,
    PulseNet,
    Spatial,
    Temporal,
    count_params,
    geometries,
    macs_per_frame,
    state_bytes,
    state_shapes,
)
from hrd.train.weights import residual_tap
from hrd.types import CROP_PX, MODEL_FS_HZ

OPSET = 11
IR_VERSION = 6  # the one that goes with opset 11: older readers refuse newer files
PARITY_TOLERANCE = 1e-4
"""Largest difference to torch, over the signal's standard deviation, that is let through."""

RECORDED = "recordings"
"""What a config's ``data`` begins with where it was recordings of people that were trained on."""

_END = np.iinfo(np.int64).max


class _Graph:
    """Collects nodes and constants; every ``add`` returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: List[onnx.NodeProto] = []
        self.constants: List[onnx.TensorProto] = []
        self._count = 0

    def constant(self, value: np.ndarray, hint: str) -> str:
        self._count += 1
        name = f"{hint}_{self._count}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, values: Sequence[int], hint: str) -> str:
        return self.constant(np.asarray(values, np.int64), hint)

    def add(
        self, op: str, inputs: Sequence[str], output: Optional[str] = None, **attrs: Any
    ) -> str:
        if output is None:
            self._count += 1
            output = f"{op.lower()}_{self._count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attrs))
        return output

    def reshape(self, x: str, shape: Sequence[int], output: Optional[str] = None) -> str:
        return self.add("Reshape", [x, self.integers(shape, "shape")], output)

    def slice_time(self, x: str, start: int, end: int, output: Optional[str] = None) -> str:
        """Frames start..end of a (1, C, T, P) tensor; negative numbers count from the end."""
        inputs = [
            x,
            self.integers([start], "start"),
            self.integers([end], "end"),
            self.integers([2], "axis"),
        ]
        return self.add("Slice", inputs, output)

    def activation(self, x: str, kind: str) -> str:
        return x if kind == "none" else self.add({"relu": "Relu", "elu": "Elu"}[kind], [x])


def _folded(module: ConvLayer) -> Tuple[np.ndarray, np.ndarray]:
    """Convolution, batch norm (in inference mode) and residual as one convolution's kernel and
    bias."""
    norm = module.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernel = module.conv.weight.double() * gain[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * gain
    taps = kernel.cpu().numpy()
    if module.layer.residual:  # "+ x" is a convolution too: one tap of weight 1
        channels = np.arange(module.shape.out_channels)
        row, column = residual_tap(module)
        taps[channels, channels, row, column] += 1.0
    return taps.astype(np.float32), bias.cpu().numpy().astype(np.float32)


def build_onnx(model: PulseNet, metadata: Dict[str, str]) -> onnx.ModelProto:
    """The streaming graph of ``model``: inputs ``frames`` (T, 3, 36, 36) and ``state_k``, outputs
    ``bvp`` (T,) and ``next_state_k``, all float32."""
    graph = _Graph()
    inputs = [
        helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["T", 3, CROP_PX, CROP_PX])
    ]
    outputs = [helper.make_tensor_value_info("bvp", TensorProto.FLOAT, ["T"])]
    for k, (channels, frames, places) in enumerate(state_shapes(model.spec)):
        dims = [1, channels, frames, places]
        inputs.append(helper.make_tensor_value_info(f"state_{k}", TensorProto.FLOAT, dims))
        outputs.append(helper.make_tensor_value_info(f"next_state_{k}", TensorProto.FLOAT, dims))

    x = "frames"
    by_place = False  # x is (1, C, T, H*W) instead of (T, C, H, W)
    k = 0

    def frames_first(name: str, channels: int, side: int) -> str:
        name = graph.reshape(name, [channels, -1, side, side])
        return graph.add("Transpose", [name], perm=[1, 0, 2, 3])

    for module, geometry in zip(model.layers, geometries(model.spec)):
        if isinstance(module, AttentionPool):
            if by_place:
                x = frames_first(x, module.score.in_channels, geometry.in_side)
                by_place = False
            weight = graph.constant(module.score.weight.detach().cpu().numpy(), "weight")
            assert module.score.bias is not None
            bias = graph.constant(module.score.bias.detach().cpu().numpy(), "bias")
            score = graph.add("Sigmoid", [graph.add("Conv", [x, weight, bias])])
            weighed = graph.add("ReduceSum", [graph.add("Mul", [x, score])], axes=[2, 3])
            total = graph.add("ReduceSum", [score], axes=[2, 3])
            total = graph.add(
                "Add", [total, graph.constant(np.full((1, 1, 1, 1), 1e-3, np.float32), "small")]
            )
            x = graph.add("Div", [weighed, total])
            continue
        assert isinstance(module, ConvLayer)
        layer, shape = module.layer, module.shape
        kernel, offset = _folded(module)
        weight, bias = graph.constant(kernel, "weight"), graph.constant(offset, "bias")
        if isinstance(layer, Spatial):
            if by_place:
                x = frames_first(x, shape.in_channels, shape.in_side)
                by_place = False
            pad = (layer.kernel - 1) // 2
            y = graph.add(
                "Conv",
                [x, weight, bias],
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=[pad] * 4,
            )
        else:
            assert isinstance(layer, Temporal)
            if not by_place:
                x = graph.add("Transpose", [x], perm=[1, 0, 2, 3])
                x = graph.reshape(x, [1, shape.in_channels, -1, shape.in_side**2])
                by_place = True
            keep = layer.state_frames
            z = graph.add("Concat", [f"state_{k}", x], axis=2)
            graph.slice_time(z, -keep, _END, output=f"next_state_{k}")
            k += 1
            y = graph.add(
                "Conv",
                [z, weight, bias],
                kernel_shape=[layer.kernel, 1],
                dilations=[layer.dilation, 1],
            )
        x = graph.activation(y, layer.activation)

    weight = graph.constant(model.head.weight.detach().cpu().numpy(), "weight")
    graph.reshape(graph.add("Conv", [x, weight]), [-1], output="bvp")

    proto = helper.make_model(
        helper.make_graph(graph.nodes, model.spec.name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="hrd",
        producer_version=hrd.__version__,
        ir_version=IR_VERSION,
    )
    helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto, full_check=True)
    return proto


@dataclass(frozen=True)
class Exported:
    """What ``export`` wrote, and the largest difference to torch that it found."""

    onnx_path: Path
    card_path: Path
    parity: float


def export(
    model: PulseNet,
    path: Path,
    training: Optional[Dict[str, Any]] = None,
    scores: Optional[Dict[str, Any]] = None,
) -> Exported:
    """Write ``model`` to ``path`` (.onnx) and its card beside it (.json).

    ``training`` (how it came to be) and ``scores`` go into the card as they are. The file is
    compared with torch first, streamed in uneven chunks; raises ``HrdError`` and writes nothing
    if the two differ by more than ``PARITY_TOLERANCE``.
    """
    model = copy.deepcopy(model).eval().float().cpu()
    spec = model.spec
    metadata = {
        "hrd.contract": CONTRACT,
        "hrd.name": spec.name,
        "hrd.fs_hz": f"{MODEL_FS_HZ:g}",
        "hrd.crop_px": str(CROP_PX),
        "hrd.delay_frames": str(spec.delay_frames),
        "hrd.normalisation": normalise.NAME,
        "hrd.params": str(count_params(model)),
        "hrd.macs_per_frame": str(macs_per_frame(spec)),
    }
    proto = build_onnx(model, metadata)
    content = proto.SerializeToString(deterministic=True)
    parity = parity_error(model, content)
    if not parity <= PARITY_TOLERANCE:
        raise HrdError(
            f"the exported {spec.name} differs from torch by {parity:.1e} of its signal's size, "
            f"more than {PARITY_TOLERANCE:g}; nothing was written"
        )
    card = {
        "name": spec.name,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "contract": CONTRACT,
        "opset": OPSET,
        "fs_hz": MODEL_FS_HZ,
        "crop_px": CROP_PX,
        "normalisation": normalise.NAME,
        "delay_frames": spec.delay_frames,
        "view_frames": spec.view_frames,
        "params": count_params(model),
        "macs_per_frame": macs_per_frame(spec),
        "state_bytes": state_bytes(spec),
        "inputs": {
            "frames": ["T", 3, CROP_PX, CROP_PX],
            **{f"state_{k}": [1, *shape] for k, shape in enumerate(state_shapes(spec))},
        },
        "outputs": {
            "bvp": ["T"],
            **{f"next_state_{k}": [1, *shape] for k, shape in enumerate(state_shapes(spec))},
        },
        "parity_with_torch": float(f"{parity:.2e}"),
        "training": training or {},
        "scores": scores or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    card_path = path.with_suffix(".json")
    write_whole(path, content)
    write_whole(card_path, (json.dumps(card, indent=2) + "\n").encode())
    return Exported(path, card_path, parity)


def parity_error(model: PulseNet, content: bytes) -> float:
    """Largest difference between ONNX Runtime, fed in uneven chunks, and torch, fed at once, over
    the deviation of torch's signal."""
    frames = np.random.default_rng(11).standard_normal((150, 3, CROP_PX, CROP_PX), np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(frames)[None])[0][0].numpy()
    found = run_onnx(content, frames, (30, 1, 7, 64, 48))
    return float(np.abs(found - wanted).max() / (wanted.std() + 1e-12))


def run_onnx(content: bytes, frames: np.ndarray, chunks: Sequence[int]) -> np.ndarray:
    """Stream ``frames`` (T, 3, 36, 36) through an exported model in chunks of these lengths (the
    last one repeated as needed). Returns (T,)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {
        item.name: np.zeros(item.shape, np.float32)
        for item in session.get_inputs()
        if item.name != "frames"
    }
    names = [item.name for item in session.get_outputs()]
    parts: List[np.ndarray] = []
    start, turn = 0, 0
    while start < len(frames):
        length = chunks[min(turn, len(chunks) - 1)]
        results = dict(
            zip(names, session.run(names, {"frames": frames[start : start + length], **feed}))
        )
        parts.append(results["bvp"])
        feed = {name: results[f"next_{name}"] for name in feed}
        start, turn = start + length, turn + 1
    return np.concatenate(parts)


def training_command(content: Dict[str, Any]) -> str:
    """The command line that makes the network of a checkpoint's content."""
    config = content["config"]
    recorded = str(config["data"]).startswith(RECORDED)
    flags = {
        "distill": config["teacher"],
        "start-from": config.get("start_from", ""),  # older checkpoints could not
        "clips": "" if recorded else content["clips"],
        "steps": content["step"],
        "batch": config["batch_clips"],
        "learning-rate": config["learning_rate"],
        "seed": config["seed"],
        "data-seed": config["data_seed"],
    }
    words = [f"--{name} {value}" for name, value in flags.items() if value != ""]
    if recorded:
        words.insert(0, "--recordings LAYOUT DIR")
    return " ".join(["hrd train", config["network"], *words])


def describe_training(content: Dict[str, Any], command: Optional[str] = None) -> Dict[str, Any]:
    """What the card says of how a network came to be, from its checkpoint's content."""
    config = content["config"]
    recorded = str(config["data"]).startswith(RECORDED)
    drawn = "clips drawn by hrd.train.generator; no recording of any person"
    return {
        "command": training_command(content) if command is None else command,
        "data": config["data"] if recorded else drawn,
        "clips": content["clips"],
        "steps": content["step"],
        "clips_drawn": content["step"] * config["batch_clips"],
        "minutes": round(content["seconds"] / 60.0, 1),
        "seed": config["seed"],
        "distilled": bool(config["teacher"]),
        "learning_rate": config["learning_rate"],
        "precision": "bfloat16 autocast" if config["bf16"] else "float32",
    }
