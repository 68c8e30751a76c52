"""Networks to begin with or to learn from: a run's checkpoint, or an exported ONNX file itself.

An exported file holds each convolution with its batch norm and its residual folded in. Reading it
back undoes that: the residual's tap is taken off again, and each layer gets a batch norm that
leaves the folded convolution's output as it is. Before such a network is trained, ``settle``
measures what the batch norms would have known, so that training begins where the file ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from hrd.engine.base import EngineError
from hrd.engine.card import NAMES, model_path
from hrd.errors import HrdError
from hrd.train.checkpoint import load_network
from hrd.train.models import SPECS, AttentionPool, ConvLayer, NetSpec, PulseNet, Temporal


def is_exported(source: str) -> bool:
    """Whether ``source`` names an exported model: ``student``, ``teacher`` or a path to ONNX."""
    return source in NAMES or source.endswith(".onnx")


def open_network(source: str) -> PulseNet:
    """The network of a checkpoint's path, of an exported model's, or of a shipped model's name,
    in inference mode. Raises ``HrdError`` if there is none."""
    if not is_exported(source):
        return load_network(Path(source))[0]
    try:
        path = model_path(source)
    except EngineError as error:
        raise HrdError(str(error)) from error
    return load_onnx(path)


def load_onnx(path: Path) -> PulseNet:
    """The network of an exported ONNX file whose layers are those of ``SPECS``.

    Gives the same output as the file (within 1e-4 of the signal's size). Raises ``HrdError`` if
    the file cannot be read or holds other layers.
    """
    try:
        proto = onnx.load(str(path))
    except Exception as error:  # onnx and protobuf raise many kinds for a damaged file
        raise HrdError(f"cannot read {path}: {error}") from error
    name = {entry.key: entry.value for entry in proto.metadata_props}.get("hrd.name", "")
    if name not in SPECS:
        raise HrdError(f"{path} holds the network {name!r}, not one of {', '.join(SPECS)}")
    return _network(proto, SPECS[name], path)


def _network(proto: onnx.ModelProto, spec: NetSpec, path: Path) -> PulseNet:
    constants = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    # the exporter writes one Conv per layer, in order, the head last
    kernels: List[List[np.ndarray]] = [
        [constants[name] for name in node.input[1:]]
        for node in proto.graph.node
        if node.op_type == "Conv"
    ]
    net = PulseNet(spec).eval()
    modules = [*net.layers, net.head]
    if len(kernels) != len(modules):
        raise HrdError(
            f"{path} has {len(kernels)} convolutions where {spec.name} has {len(modules)}; "
            "train from a file that this version exported"
        )
    with torch.no_grad():
        for module, parts in zip(modules, kernels):
            conv, wanted = _convolution(module), parts[0]
            if tuple(conv.weight.shape) != wanted.shape:
                raise HrdError(
                    f"{path} has a kernel of {wanted.shape} where {spec.name} has one of "
                    f"{tuple(conv.weight.shape)}; train from a file that this version exported"
                )
            kernel = np.array(wanted, np.float64)
            if isinstance(module, ConvLayer):
                _take_off_residual(kernel, module)
                _set_norm(module, torch.from_numpy(np.array(parts[1])))
            elif isinstance(module, AttentionPool):
                assert conv.bias is not None
                conv.bias.copy_(torch.from_numpy(np.array(parts[1])))
            conv.weight.copy_(torch.from_numpy(kernel))
    return net


def _convolution(module: nn.Module) -> nn.Conv2d:
    if isinstance(module, ConvLayer):
        return module.conv
    if isinstance(module, AttentionPool):
        return module.score
    assert isinstance(module, nn.Conv2d)
    return module


def residual_tap(module: ConvLayer) -> Tuple[int, int]:
    """Where in the kernel of a residual layer "+ x" is a tap of weight 1."""
    layer = module.layer
    if isinstance(layer, Temporal):
        tap, beside = divmod(layer.lag, layer.dilation)
        if beside:
            raise ValueError(f"the lag of {layer} falls between two taps")
        return layer.kernel - 1 - tap, 0
    return layer.kernel // 2, layer.kernel // 2


def _take_off_residual(kernel: np.ndarray, module: ConvLayer) -> None:
    if module.layer.residual:
        channels = np.arange(module.shape.out_channels)
        row, column = residual_tap(module)
        kernel[channels, channels, row, column] -= 1.0


def _set_norm(module: ConvLayer, bias: Tensor) -> None:
    norm = module.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)


@torch.no_grad()
def settle(net: PulseNet, batches: Iterable[Tensor]) -> None:
    """Give the batch norms of a network read from ONNX the statistics of real input.

    ``batches``: frames (B, T, 3, 36, 36). The output in inference mode stays what it was; in
    training mode, where the batch's own statistics count, it comes close to it. Kernels are
    scaled to the size of fresh ones, which a batch norm cancels, so that a learning rate means
    what it means for a network trained from scratch.
    """
    sums: Dict[ConvLayer, List[Tensor]] = {}

    def watch(layer: ConvLayer) -> torch.utils.hooks.RemovableHandle:
        def add(_: nn.Module, __: Tuple[Tensor, ...], output: Tensor) -> None:
            flat = output.double().transpose(0, 1).flatten(1)
            part = torch.stack([flat.sum(1), flat.square().sum(1)])
            count = torch.tensor(float(flat.shape[1]))
            if layer in sums:
                sums[layer][0] += part
                sums[layer][1] += count
            else:
                sums[layer] = [part, count]

        return layer.conv.register_forward_hook(add)

    layers = [module for module in net.layers if isinstance(module, ConvLayer)]
    hooks = [watch(layer) for layer in layers]
    was_training = net.training
    net.eval()
    for frames in batches:
        net(frames.float())
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        if layer not in sums:
            raise ValueError("no batch to settle on")
        (total, squares), count = sums[layer]
        _rescale(layer, total / count, squares / count - (total / count) ** 2)


def _rescale(layer: ConvLayer, mean: Tensor, variance: Tensor) -> None:
    """Rewrite a layer so that its norm expects this mean and variance (C,) of its convolution."""
    conv, norm = layer.conv, layer.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    offset = norm.bias.double() - norm.running_mean.double() * gain
    fan_in = conv.weight[0].numel()
    size = conv.weight.double().square().mean((1, 2, 3)).sqrt().clamp(min=1e-9)
    scale = (1.0 / np.sqrt(3.0 * fan_in)) / size  # of PyTorch's initial weights
    mean, variance = mean * scale, variance.clamp(min=1e-12) * scale**2
    conv.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    gain = gain / scale
    norm.weight.copy_(gain * torch.sqrt(variance + norm.eps))
    norm.bias.copy_(offset + mean * gain)
