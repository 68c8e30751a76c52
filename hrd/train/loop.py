"""The training run: one student or teacher from a recipe, resumable, on one or many devices."""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from hrd.errors import HrdError
from hrd.train.allocator import keep_freed_memory
from hrd.train.data import Augmentation, Batch, BatchStream, ClipStore, loader
from hrd.train.distill import (
    DistillWeights,
    FeatureLoss,
    Knowledge,
    signal_loss,
    teacher_gate,
)
from hrd.train.evaluate import Scores, score
from hrd.train.losses import LossWeights, pulse_loss
from hrd.train.models import SPECS, NetSpec, PulseNet, Spatial, Temporal, count_params
from hrd.types import MODEL_FS_HZ

logger = logging.getLogger(__name__)

_PATIENCE = datetime.timedelta(hours=24)  # the first process may have to draw all clips


@dataclass(frozen=True)
class TrainConfig:
    """Everything that makes a run what it is; stored in every checkpoint.

    A run ends after ``steps`` or ``minutes``, whichever comes first, and the learning rate falls
    along a cosine towards that end. ``seed`` sets the first weights, ``data_seed`` the order and
    variation of the clips, so that runs can differ in one and share the other. ``skip_frames``: the
    first output samples that are left out of the loss, where the network has not seen enough.
    """

    network: str = "student"
    data: str = "data/train"
    validation: str = ""
    out: str = "runs/student"
    steps: int = 8000
    minutes: float = 0.0
    batch_clips: int = 8
    lengths_frames: Tuple[int, ...] = (256, 224, 192)
    skip_frames: int = 45
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    clip_norm: float = 2.0
    average: float = 0.998
    seed: int = 0
    data_seed: int = 0
    device: str = "cpu"
    bf16: bool = True
    workers: int = 1
    threads: int = 2
    log_every: int = 50
    validate_every: int = 1000
    save_every: int = 250
    teacher: str = ""
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossWeights = field(default_factory=LossWeights)
    distill: DistillWeights = field(default_factory=DistillWeights)

    @staticmethod
    def from_dict(values: Dict[str, Any]) -> TrainConfig:
        """The config that ``dataclasses.asdict`` made ``values`` of."""
        values = dict(values)
        values["lengths_frames"] = tuple(values["lengths_frames"])
        values["augmentation"] = Augmentation(**values["augmentation"])
        values["loss"] = LossWeights(**values["loss"])
        values["distill"] = DistillWeights(**values["distill"])
        return TrainConfig(**values)


@dataclass(frozen=True)
class TrainResult:
    """Where the run's averaged network lies and what it scored on validation, if there was any."""

    checkpoint: Path
    steps: int
    minutes: float
    scores: Optional[Scores]


@dataclass(frozen=True)
class _Place:
    """This process among those of the run (PyTorch's launcher sets RANK and WORLD_SIZE)."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


def _place(device: str) -> _Place:
    if device == "cuda" and not torch.cuda.is_available():
        raise HrdError("no CUDA device is here; train with --device cpu instead")
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local)
        chosen = torch.device("cuda", local)
    else:
        chosen = torch.device(device)
    if ranks > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE
        )
    return _Place(rank, ranks, chosen)


def meet(device: str) -> None:
    """Wait until every process of a ``torchrun`` launch has come here."""
    if _place(device).ranks > 1:
        torch.distributed.barrier()


class Trainee(nn.Module):
    """The network with all that is trained beside it; its forward pass gives the loss."""

    def __init__(self, config: TrainConfig, net: PulseNet, features: Optional[FeatureLoss]) -> None:
        super().__init__()
        self.config = config
        self.net = net
        self.features = features

    def forward(
        self, batch: Batch, known: Optional[Knowledge], progress: float
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Total loss and its parts."""
        config = self.config
        skip, delay = config.skip_frames, self.net.spec.delay_frames
        with torch.autocast(batch.frames.device.type, dtype=torch.bfloat16, enabled=config.bf16):
            signal, _, taps = self.net(batch.frames, want_taps=known is not None)
        signal = signal.float()
        output = signal[:, skip:]
        reference = batch.bvp[:, skip - delay : signal.shape[1] - delay]
        rate = batch.bpm[:, skip - delay : signal.shape[1] - delay].mean(1)
        parts = pulse_loss(output, reference, rate, batch.has_pulse, MODEL_FS_HZ, config.loss)
        total = parts.total
        logged = {
            "pearson": parts.pearson,
            "rate": parts.rate,
            "error": parts.error,
            "silence": parts.silence,
        }
        if known is not None and self.features is not None:
            # both signals on the input's time axis, from the later delay on
            lag = delay - self.features.teacher.delay_frames
            mine = signal[:, max(skip, skip + lag) : signal.shape[1] + min(lag, 0)]
            theirs = known.signal[:, max(skip, skip + lag) - lag :][:, : mine.shape[1]]
            gate = teacher_gate(theirs, rate, batch.has_pulse, MODEL_FS_HZ)
            drawn, like = signal_loss(mine, theirs, gate, MODEL_FS_HZ, config.distill)
            looks = self.features(taps, known, skip - delay)
            total = total + drawn + config.distill.features(progress) * looks
            logged.update(to_teacher=like, features=looks.detach())
        return total, logged


class Average:
    """Exponential mean of a network's weights and batch statistics: what is exported."""

    def __init__(self, net: PulseNet, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, net: PulseNet) -> None:
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1.0 - decay)
            else:
                self.state[name].copy_(value)


def save_atomically(path: Path, content: Dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    torch.save(content, beside)
    os.replace(beside, path)


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
    if not isinstance(content, dict) or content.get("format") != "hrd-train-1":
        raise HrdError(f"{path} is not a checkpoint of `hrd train`")
    return content


def _spec_to_dict(spec: NetSpec) -> Dict[str, Any]:
    layers = [{"kind": type(layer).__name__, **asdict(layer)} for layer in spec.layers]
    return {"name": spec.name, "layers": layers, "taps": list(spec.taps)}


def _spec_from_dict(values: Dict[str, Any]) -> NetSpec:
    from hrd.train import models

    kinds = {"Spatial": Spatial, "Temporal": Temporal, "Pool": models.Pool}
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


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
    return config.learning_rate * warm * (0.01 + 0.99 * cosine)


def train(
    config: TrainConfig,
    store: ClipStore,
    validation: Optional[ClipStore] = None,
    resume: bool = False,
    spec: Optional[NetSpec] = None,
    on_log: Optional[Callable[[Dict[str, float]], None]] = None,
) -> TrainResult:
    """Run a recipe to its end, or go on with one that was interrupted (``resume``).

    Writes ``last.pt`` (all that is needed to go on), ``history.jsonl`` and ``curves.png`` under
    ``config.out``. Every process of a ``torchrun`` launch calls this; the first one writes.
    """
    from hrd.train.curves import draw_curves

    place = _place(config.device)
    if place.device.type == "cpu":
        torch.set_num_threads(config.threads)
        keep_freed_memory()
    out = Path(config.out)
    path = out / "last.pt"
    torch.manual_seed(config.seed)
    spec = spec or SPECS[config.network]
    if config.skip_frames < spec.delay_frames:
        raise ValueError(f"skip_frames must be at least the delay, {spec.delay_frames}")
    net = PulseNet(spec)
    teacher: Optional[PulseNet] = None
    features: Optional[FeatureLoss] = None
    if config.teacher:
        teacher, _ = load_network(Path(config.teacher))
        teacher.to(place.device, memory_format=torch.channels_last)
        teacher.requires_grad_(False)
        features = FeatureLoss(spec, teacher.spec)
    trainee = Trainee(config, net, features).to(place.device, memory_format=torch.channels_last)
    average = Average(net, config.average)
    decayed = [p for p in trainee.parameters() if p.ndim > 1]
    plain = [p for p in trainee.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )
    step, spent_s = 0, 0.0
    history: List[Dict[str, float]] = []
    if resume and path.exists():
        content = load_checkpoint(path)
        trainee.load_state_dict(content["trainee"])
        optimiser.load_state_dict(content["optimiser"])
        average.state = {k: v.to(place.device) for k, v in content["average"].items()}
        average.updates = content["updates"]
        torch.set_rng_state(content["rng"])
        step, spent_s, history = content["step"], content["seconds"], content["history"]
        logger.info("going on from step %d of %s", step, path)
    runner: nn.Module = trainee
    if place.ranks > 1:
        runner = DistributedDataParallel(trainee)

    stream = BatchStream(
        store,
        config.batch_clips,
        config.lengths_frames,
        config.augmentation,
        config.data_seed,
        place.rank,
        place.ranks,
        config.bf16,
    )

    def save(scores: Optional[Scores]) -> None:
        save_atomically(
            path,
            {
                "format": "hrd-train-1",
                "config": asdict(config),
                "spec": _spec_to_dict(net.spec),
                "trainee": trainee.state_dict(),
                "average": average.state,
                "updates": average.updates,
                "optimiser": optimiser.state_dict(),
                "rng": torch.get_rng_state(),
                "step": step,
                "seconds": spent_s,
                "history": history,
                "clips": len(store),
                "scores": scores.as_dict() if scores is not None else None,
            },
        )
        (out / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))

    def validate() -> Optional[Scores]:
        if validation is None:
            return None
        probe = PulseNet(net.spec).to(place.device, memory_format=torch.channels_last)
        probe.load_state_dict(average.state)
        return score(probe, validation)

    if place.first:
        logger.info(
            "%s: %d parameters, %d clips, %s",
            spec.name,
            count_params(net),
            len(store),
            place.device,
        )
    started = time.monotonic() - spent_s
    scores: Optional[Scores] = None
    sums: Dict[str, float] = {}
    summed = 0
    bar = tqdm(
        total=config.steps,
        initial=step,
        disable=not place.first,
        unit="step",
        desc=config.network,
        mininterval=2.0,
    )
    trainee.train()
    for batch in loader(stream, step, config.steps, config.workers):
        batch = batch.to(place.device)
        progress = step / config.steps
        if config.minutes > 0:
            progress = max(progress, spent_s / 60.0 / config.minutes)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step, progress)
        known: Optional[Knowledge] = None
        if teacher is not None and features is not None:
            with torch.no_grad(), torch.autocast(
                place.device.type, dtype=torch.bfloat16, enabled=config.bf16
            ):
                signal, _, taps = teacher(batch.frames, want_taps=True)
            known = features.knowledge(signal, taps, config.skip_frames - spec.delay_frames)
        total, parts = runner(batch, known, progress)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(trainee.parameters(), config.clip_norm)
        if torch.isfinite(norm):
            optimiser.step()
            average.update(net)
        else:
            logger.warning("step %d left out: its gradient is not finite", step)
        step += 1
        spent_s = time.monotonic() - started
        for name, value in {"loss": total.detach(), **parts}.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        summed += 1
        bar.update(1)
        done = step >= config.steps or (
            config.minutes > 0 and spent_s >= config.minutes * 60.0 and place.ranks == 1
        )
        if step % config.log_every == 0 or done:
            row = {"step": step, "minutes": spent_s / 60.0}
            row.update({name: value / summed for name, value in sums.items()})
            sums, summed = {}, 0
            history.append(row)
            bar.set_postfix({k: f"{row[k]:.3f}" for k in ("loss", "pearson") if k in row})
            if on_log is not None and place.first:
                on_log(row)
        if place.first and (step % config.validate_every == 0 or done):
            scores = validate()
            if scores is not None:
                history.append(
                    {"step": step, **{f"val_{k}": v for k, v in scores.as_dict().items()}}
                )
                bar.write(f"step {step}: validation {scores.as_dict()}")
                trainee.train()
        if place.first and (step % config.save_every == 0 or done):
            save(scores)
        if place.first and (step % config.validate_every == 0 or done):
            draw_curves(history, out / "curves.png", title=f"{config.network}: {out.name}")
        if done:
            break
    bar.close()
    return TrainResult(path, step, spent_s / 60.0, scores)


__all__ = [
    "Average",
    "TrainConfig",
    "TrainResult",
    "Trainee",
    "learning_rate",
    "load_checkpoint",
    "load_network",
    "meet",
    "save_atomically",
    "train",
]
