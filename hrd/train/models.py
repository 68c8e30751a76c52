"""The networks: (2+1)-D convolutions, all written as 2-D ones, that stream.

Spatial layers see each frame by itself, (N, C, H, W); temporal layers see each place by itself, as
a (k, 1) convolution over (1, C, T, H*W). Nothing looks further than a fixed number of frames, so
the past that a temporal layer needs (its last ``(kernel - 1) * dilation`` inputs) can be handed
from chunk to chunk: each frame is then computed once, and any chunking gives the same output.
The past of a stream that has just begun is zeros, in training as on the device.

Why not 3-D convolutions: ONNX Runtime's CPU kernels and TensorRT 8.2 are made for 2-D ones, and
the same arithmetic is several times cheaper there. The idea of splitting: R(2+1)D (Tran et al.
2018); of carrying the state: continual 3-D CNNs (Hedegaard & Iosifidis 2022).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn import functional

from hrd.types import CROP_PX


@dataclass(frozen=True)
class Spatial:
    """A square 2-D convolution over every frame, batch norm, activation."""

    channels: int
    kernel: int = 3
    stride: int = 1
    activation: str = "relu"
    residual: bool = False


@dataclass(frozen=True)
class Temporal:
    """A convolution over time at every place, batch norm, activation.

    ``lag_frames``: how far the output lags the input; the centre of the kernel unless given.
    """

    channels: int
    kernel: int = 5
    dilation: int = 1
    activation: str = "relu"
    residual: bool = False
    lag_frames: Optional[int] = None

    @property
    def state_frames(self) -> int:
        return (self.kernel - 1) * self.dilation

    @property
    def lag(self) -> int:
        return self.state_frames // 2 if self.lag_frames is None else self.lag_frames


@dataclass(frozen=True)
class Pool:
    """Weighted mean over all places, weights from a sigmoid of a 1x1 convolution (attention)."""


Layer = Union[Spatial, Temporal, Pool]


@dataclass(frozen=True)
class NetSpec:
    """A whole network. ``taps``: the layers whose outputs are compared in distillation."""

    name: str
    layers: Tuple[Layer, ...]
    taps: Tuple[int, int]

    @property
    def delay_frames(self) -> int:
        """How far the output lags the input."""
        return self.delay_after(len(self.layers) - 1)

    def delay_after(self, index: int) -> int:
        """How far the output of layer ``index`` lags the network's input, in frames."""
        return sum(x.lag for x in self.layers[: index + 1] if isinstance(x, Temporal))

    @property
    def view_frames(self) -> int:
        """How many input frames one output sample is made of (temporal receptive field)."""
        return 1 + sum(x.state_frames for x in self.layers if isinstance(x, Temporal))


@dataclass(frozen=True)
class Geometry:
    """What goes into a layer and what comes out: channels and side in pixels."""

    in_channels: int
    in_side: int
    out_channels: int
    out_side: int


def geometries(spec: NetSpec) -> List[Geometry]:
    """The shapes through the network, one ``Geometry`` per layer."""
    shapes: List[Geometry] = []
    channels, side = 3, CROP_PX
    for layer in spec.layers:
        if isinstance(layer, Spatial):
            out = Geometry(channels, side, layer.channels, -(-side // layer.stride))
        elif isinstance(layer, Temporal):
            out = Geometry(channels, side, layer.channels, side)
        else:
            out = Geometry(channels, side, channels, 1)
        shapes.append(out)
        channels, side = out.out_channels, out.out_side
    if side != 1:
        raise ValueError(f"network {spec.name!r} has no Pool: it ends with {side}x{side} places")
    return shapes


def _activate(x: Tensor, activation: str) -> Tensor:
    if activation == "relu":
        return functional.relu(x)
    if activation == "elu":
        return functional.elu(x)
    if activation == "none":
        return x
    raise ValueError(f"unknown activation {activation!r}")


class ConvLayer(nn.Module):
    """Convolution and batch norm of one ``Spatial`` or ``Temporal`` layer."""

    def __init__(self, layer: Union[Spatial, Temporal], shape: Geometry) -> None:
        super().__init__()
        self.layer = layer
        self.shape = shape
        if layer.residual and (
            shape.in_channels != shape.out_channels or shape.in_side != shape.out_side
        ):
            raise ValueError(f"a residual layer must keep its shape, not {shape}")
        if isinstance(layer, Spatial):
            self.conv = nn.Conv2d(
                shape.in_channels,
                shape.out_channels,
                layer.kernel,
                stride=layer.stride,
                padding=(layer.kernel - 1) // 2,
                bias=False,
            )
        else:
            self.conv = nn.Conv2d(
                shape.in_channels,
                shape.out_channels,
                (layer.kernel, 1),
                dilation=(layer.dilation, 1),
                bias=False,
            )
        self.norm = nn.BatchNorm2d(shape.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class AttentionPool(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1): mean over places, weighted by how much they are like skin."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sigmoid(self.score(x))
        total = weight.sum((2, 3), keepdim=True) + 1e-3
        return (x * weight).sum((2, 3), keepdim=True) / total


class PulseNet(nn.Module):
    """A network built from its ``NetSpec``.

    ``forward(frames, state)``: frames (B, T, 3, 36, 36) of ``hrd.normalise``; state one tensor
    (B, C, (k-1)*d, H*W) per temporal layer, or None for a stream that begins. Returns bvp (B, T),
    where sample t belongs to frame ``t - spec.delay_frames``, the next state, and, if asked for
    with ``want_taps``, the outputs (B, T, C, H, W) of the two tapped layers.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        layers: List[nn.Module] = []
        for layer, shape in zip(spec.layers, geometries(spec)):
            if isinstance(layer, Pool):
                layers.append(AttentionPool(shape.in_channels))
            else:
                layers.append(ConvLayer(layer, shape))
        self.layers = nn.ModuleList(layers)
        self.head = nn.Conv2d(geometries(spec)[-1].out_channels, 1, 1, bias=False)

    def zero_state(self, batch: int = 1) -> List[Tensor]:
        """What a stream begins with."""
        like = self.head.weight
        return [
            torch.zeros((batch,) + shape, dtype=like.dtype, device=like.device)
            for shape in state_shapes(self.spec)
        ]

    def forward(
        self, frames: Tensor, state: Optional[Sequence[Tensor]] = None, want_taps: bool = False
    ) -> Tuple[Tensor, List[Tensor], List[Tensor]]:
        batch, steps = frames.shape[:2]
        x = frames.reshape((batch * steps,) + tuple(frames.shape[2:]))  # (B*T, C, H, W)
        past = iter(state) if state is not None else None
        next_state: List[Tensor] = []
        taps: Dict[int, Tensor] = {}
        with contextlib.ExitStack() as precision:
            for index, module in enumerate(self.layers):
                if isinstance(module, AttentionPool):
                    # from here on there is next to nothing to compute, so it is done in float32
                    precision.enter_context(torch.autocast(x.device.type, enabled=False))
                    x = module(x.float())
                elif isinstance(module, ConvLayer) and isinstance(module.layer, Spatial):
                    y = module(x)
                    x = _activate(y + x if module.layer.residual else y, module.layer.activation)
                elif isinstance(module, ConvLayer) and isinstance(module.layer, Temporal):
                    side = module.shape.in_side
                    z = _places_apart(x, batch, steps)  # (B, C, T, H*W)
                    keep = module.layer.state_frames
                    if past is None:
                        z = functional.pad(z, (0, 0, keep, 0))
                    else:
                        z = torch.cat([next(past).to(z.dtype), z], 2)
                    next_state.append(z[:, :, z.shape[2] - keep :])
                    y = module(z)
                    if module.layer.residual:
                        first = keep - module.layer.lag
                        y = y + z[:, :, first : first + steps]
                    x = _frames_apart(_activate(y, module.layer.activation), side)
                if want_taps and index in self.spec.taps:
                    taps[index] = x.reshape((batch, steps) + tuple(x.shape[1:]))
            bvp = self.head(x).reshape(batch, steps)
        return bvp, next_state, [taps[i] for i in self.spec.taps] if want_taps else []


def _places_apart(x: Tensor, batch: int, steps: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H*W), channels last in memory: no copy if x is so too."""
    _, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(batch, steps, height * width, channels)
    return flat.permute(0, 3, 1, 2)


def _frames_apart(x: Tensor, side: int) -> Tensor:
    """(B, C, T, H*W) -> (B*T, C, H, W), the way back."""
    batch, channels, steps, _ = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(batch * steps, side, side, channels)
    return flat.permute(0, 3, 1, 2)


def state_shapes(spec: NetSpec) -> List[Tuple[int, int, int]]:
    """(C, frames, H*W) of each state tensor, in order."""
    return [
        (shape.in_channels, layer.state_frames, shape.in_side**2)
        for layer, shape in zip(spec.layers, geometries(spec))
        if isinstance(layer, Temporal)
    ]


def state_bytes(spec: NetSpec) -> int:
    """Size of the whole state as float32."""
    return sum(4 * c * t * p for c, t, p in state_shapes(spec))


def count_params(model: nn.Module) -> int:
    """Trainable parameters, batch norm's included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def macs_per_frame(spec: NetSpec) -> int:
    """Multiply-accumulates of all convolutions and the pooling for one frame."""
    total = 0
    shapes = geometries(spec)
    for layer, shape in zip(spec.layers, shapes):
        places = shape.out_side**2
        if isinstance(layer, Spatial):
            total += places * shape.in_channels * shape.out_channels * layer.kernel**2
        elif isinstance(layer, Temporal):
            total += places * shape.in_channels * shape.out_channels * layer.kernel
        else:  # scores, products with the weights
            total += 2 * shape.in_side**2 * shape.in_channels
    return total + shapes[-1].out_channels


STUDENT = NetSpec(
    name="student",
    layers=(
        Spatial(16, kernel=5, stride=3, activation="none"),  # 12x12
        Temporal(16, kernel=3),
        Spatial(32, stride=2),  # 6x6
        Temporal(32, dilation=2, residual=True),
        Temporal(32, dilation=4, residual=True),
        Pool(),
        Temporal(16, dilation=2),
        Temporal(20, dilation=2),
        Temporal(24, kernel=7, dilation=3),
    ),
    taps=(1, 4),
)
"""24,769 parameters, as many as the paper's student."""

TEACHER = NetSpec(
    name="teacher",
    layers=(
        Spatial(32, kernel=5, stride=2, activation="none"),  # 18x18
        Temporal(32),
        Spatial(48),
        Temporal(48),
        Spatial(48, residual=True),
        Temporal(48, residual=True),
        Spatial(48, residual=True),
        Spatial(96, stride=2),  # 9x9
        Temporal(96, residual=True),
        Spatial(96, residual=True),
        Temporal(96, residual=True),
        Spatial(96, residual=True),
        Temporal(96, dilation=2, residual=True),
        Spatial(96, residual=True),
        Temporal(96, dilation=2, residual=True),
        Spatial(96, residual=True),
        Spatial(96, residual=True),
        Pool(),
        Temporal(80, kernel=7, dilation=2),
        Temporal(32, dilation=3),
    ),
    taps=(5, 16),
)
"""795,809 parameters; the paper's teacher has 795,811."""

SPECS: Dict[str, NetSpec] = {spec.name: spec for spec in (STUDENT, TEACHER)}
