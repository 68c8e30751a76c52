"""``python tools/roofline.py``: what a model should take on a Jetson Nano, as arithmetic.

An ESTIMATE, not a measurement (the model is Williams, Waterman & Patterson's of 2009): a layer
takes the longer of its arithmetic and its memory traffic, at a share of the processor's peak, and
on the GPU a kernel launch on top. The arithmetic and the bytes are counted in the ONNX file itself;
needs ``onnx`` (``pip install hrd[train]``).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from hrd.engine.card import model_path
from hrd.errors import HrdError

CHUNK_FRAMES = 30


@dataclass(frozen=True)
class Processor:
    """``efficiency``: share of the peak that convolutions this small reach (a guess, stated).
    ``launch_s``: fixed cost of a kernel; 0 where a layer is a function call."""

    name: str
    peak_flops: float
    bytes_per_s: float
    value_bytes: int
    efficiency: float
    launch_s: float


# 128 CUDA cores x 2 operations x 921.6 MHz, FP16 twice that; LPDDR4 25.6 GB/s shared with the CPU,
# of which about 60 % can be had. An A57 core issues one 4-wide FP32 multiply-add a cycle at
# 1.43 GHz; one core gets about 5 GB/s. Efficiencies and launch cost are assumptions.
NANO_FP16 = Processor("Maxwell GPU, FP16", 472e9, 15e9, 2, 0.10, 30e-6)
NANO_FP32 = Processor("Maxwell GPU, FP32", 236e9, 15e9, 4, 0.10, 30e-6)
A57 = Processor("one A57 core, FP32", 11.4e9, 5e9, 4, 0.30, 0.0)


@dataclass(frozen=True)
class LayerCost:
    """Of one kernel over a whole chunk. ``values``: numbers read and written, weights too."""

    name: str
    macs: int
    values: int


def count_layers(path: str, chunk_frames: int = CHUNK_FRAMES) -> List[LayerCost]:
    """The kernels that remain once what TensorRT fuses is fused: a ReLU goes with its convolution,
    a Reshape costs nothing; everything else reads its inputs and writes its outputs once."""
    try:
        import onnx
        from onnx import shape_inference
    except ImportError as error:
        raise HrdError(
            f"counting needs the onnx package ({error}); install it with: pip install onnx"
        ) from error

    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = chunk_frames
    model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = _shapes(model)
    layers = []
    for node in model.graph.node:
        if node.op_type in ("Relu", "Reshape"):
            continue
        out = _volume(shapes[node.output[0]])
        macs = 0
        if node.op_type == "Conv":
            weight = shapes[node.input[1]]
            macs = out * _volume(weight[1:])
        values = sum(_volume(shapes[name]) for name in [*node.input, *node.output])
        layers.append(LayerCost(node.op_type, macs, values))
    return layers


def _shapes(model: Any) -> Dict[str, Tuple[int, ...]]:
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in [*graph.input, *graph.output, *graph.value_info]:
        shapes[info.name] = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
    return shapes


def _volume(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


@dataclass(frozen=True)
class Estimate:
    """Seconds per frame, and of what they consist; the parts overlap, so they do not add up."""

    processor: Processor
    arithmetic_s: float
    memory_s: float
    launches_s: float
    s_per_frame: float


def estimate(layers: Sequence[LayerCost], chunk_frames: int, processor: Processor) -> Estimate:
    """The roofline, layer by layer, over a chunk; divided by its frames."""
    total = 0.0
    for layer in layers:
        arithmetic_s = 2 * layer.macs / (processor.peak_flops * processor.efficiency)
        memory_s = layer.values * processor.value_bytes / processor.bytes_per_s
        total += max(arithmetic_s, memory_s) + processor.launch_s
    macs = sum(layer.macs for layer in layers)
    values = sum(layer.values for layer in layers)
    flops = processor.peak_flops * processor.efficiency
    return Estimate(
        processor=processor,
        arithmetic_s=2 * macs / flops / chunk_frames,
        memory_s=values * processor.value_bytes / processor.bytes_per_s / chunk_frames,
        launches_s=len(layers) * processor.launch_s / chunk_frames,
        s_per_frame=total / chunk_frames,
    )


def as_text(name: str, layers: Sequence[LayerCost], chunk_frames: int) -> str:
    """The arithmetic, shown."""
    macs = sum(layer.macs for layer in layers) / chunk_frames
    values = sum(layer.values for layer in layers) / chunk_frames
    lines = [
        f"{name}: ESTIMATE for a Jetson Nano, chunks of {chunk_frames} frames",
        f"  per frame {macs:,.0f} MACs and {values:,.0f} values moved "
        f"({2 * values / 1e3:,.0f} kB in FP16, {4 * values / 1e3:,.0f} kB in FP32); "
        f"{len(layers)} kernels per chunk",
        f"  {'':20} {'arithmetic':>11} {'memory':>9} {'launches':>9} {'in all':>9}   ms/frame",
    ]
    for processor in (NANO_FP16, NANO_FP32, A57):
        e = estimate(layers, chunk_frames, processor)
        lines.append(
            f"  {processor.name:20} {1e3 * e.arithmetic_s:11.4f} {1e3 * e.memory_s:9.4f} "
            f"{1e3 * e.launches_s:9.4f} {1e3 * e.s_per_frame:9.4f}   "
            f"({e.s_per_frame:.1e} s/frame)"
        )
    return "\n".join(lines)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the estimate for each model."""
    parser = argparse.ArgumentParser(
        prog="python tools/roofline.py", description="Estimated seconds per frame on a Nano."
    )
    parser.add_argument("models", nargs="*", default=["student", "teacher"], metavar="MODEL")
    parser.add_argument("--chunk", type=int, default=CHUNK_FRAMES, metavar="FRAMES")
    args = parser.parse_args(argv)
    try:
        for model in args.models:
            layers = count_layers(str(model_path(model)), args.chunk)
            print(as_text(model, layers, args.chunk))
    except HrdError as error:
        print(f"roofline: {error}", file=sys.stderr)
        return 1
    for processor in (NANO_FP16, NANO_FP32, A57):
        print(
            f"{processor.name}: peak {processor.peak_flops / 1e9:.0f} GFLOP/s, of which "
            f"{100 * processor.efficiency:.0f} % assumed; {processor.bytes_per_s / 1e9:.0f} GB/s"
            + (f"; {1e6 * processor.launch_s:.0f} us a launch" if processor.launch_s else "")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
