"""One network in training: its weights, optimiser, average, history and checkpoint."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hrd.errors import HrdError
from hrd.train.checkpoint import (
    FORMAT,
    load_checkpoint,
    save_atomically,
    spec_to_dict,
)
from hrd.train.config import TrainConfig, learning_rate
from hrd.train.data import Batch, ClipStore
from hrd.train.distill import FeatureLoss, Knowledge, signal_loss, teacher_gate
from hrd.train.evaluate import Scores, score
from hrd.train.losses import pulse_loss
from hrd.train.models import SPECS, NetSpec, PulseNet, count_params
from hrd.train.rank import Rank
from hrd.train.weights import is_exported, open_network, settle
from hrd.types import MODEL_FS_HZ

logger = logging.getLogger(__name__)


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


class Run:
    """A training run at some step. ``teacher``: the spec of the teacher that it learns from."""

    def __init__(
        self,
        config: TrainConfig,
        rank: Rank,
        spec: Optional[NetSpec] = None,
        teacher: Optional[NetSpec] = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.rank = rank
        self.spec = spec or SPECS[config.network]
        if config.skip_frames < self.spec.delay_frames:
            raise ValueError(f"skip_frames must be at least the delay, {self.spec.delay_frames}")
        self.out = Path(config.out)
        self.path = self.out / "last.pt"
        self.net = PulseNet(self.spec)
        if config.start_from:
            other = open_network(config.start_from)
            if other.spec != self.spec:
                raise HrdError(f"{config.start_from} holds another network than {self.spec.name}")
            self.net.load_state_dict(other.state_dict())
        features = FeatureLoss(self.spec, teacher) if teacher is not None else None
        self.trainee = Trainee(config, self.net, features).to(
            rank.device, memory_format=torch.channels_last
        )
        self.average = Average(self.net, config.average)
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self.trainee.parameters() if p.ndim > 1],
                    "weight_decay": config.weight_decay,
                },
                {
                    "params": [p for p in self.trainee.parameters() if p.ndim <= 1],
                    "weight_decay": 0.0,
                },
            ],
            lr=config.learning_rate,
        )
        self.runner: nn.Module = self.trainee
        if rank.ranks > 1:
            self.runner = DistributedDataParallel(self.trainee)
        self.step = 0
        self.saved_step = 0
        self.spent_s = 0.0
        self.history: List[Dict[str, float]] = []
        self.scores: Optional[Scores] = None
        self._sums: Dict[str, float] = {}
        self._summed = 0
        self.trainee.train()

    @property
    def name(self) -> str:
        return self.out.name

    def begin(self, frames: Iterable[Tensor]) -> None:
        """Make a network that was read from ONNX ready to be trained, on batches of frames like
        those it will see. Does nothing for other networks, or after the first step."""
        if self.step == 0 and is_exported(self.config.start_from):
            settle(self.net, frames)
            self.average = Average(self.net, self.config.average)

    def restore(self) -> None:
        """Go on from the run's own checkpoint, if there is one; log where that is."""
        if not self.path.exists():
            if self.rank.first:
                logger.info("there is no %s to go on from; beginning at step 0", self.path)
            return
        content = load_checkpoint(self.path)
        self.trainee.load_state_dict(content["trainee"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.average.state = {k: v.to(self.rank.device) for k, v in content["average"].items()}
        self.average.updates = content["updates"]
        self.step, self.spent_s = content["step"], content["seconds"]
        self.saved_step = self.step
        self.history = content["history"]
        if content["scores"] is not None:
            self.scores = Scores(**content["scores"])
        if self.rank.first:
            logger.info("going on from %s of %s", self.how_far(self.step), self.path)

    def how_far(self, step: int) -> str:
        """``step``, or it and the time in training, beside what ends the run."""
        if self.config.minutes > 0:
            return f"step {step}, {self.spent_s / 60.0:.1f} of {self.config.minutes:g} minutes"
        return f"step {step} of {self.config.steps}"

    def knowledge(self, signal: Tensor, taps: List[Tensor]) -> Optional[Knowledge]:
        """What the teacher's output and tapped features have to say to this run."""
        if self.trainee.features is None:
            return None
        skip = self.config.skip_frames - self.spec.delay_frames
        return self.trainee.features.knowledge(signal, taps, skip)

    def advance(self, batch: Batch, known: Optional[Knowledge], progress: float) -> None:
        """One step of the optimiser."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step, progress)
        total, parts = self.runner(batch, known, progress)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.trainee.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.average.update(self.net)
        else:
            logger.warning("step %d left out: its gradient is not finite", self.step)
        self.step += 1
        for name, value in {"loss": total.detach(), **parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._summed += 1

    def log(self) -> Dict[str, float]:
        """Means since the last call, added to the history."""
        row = {"step": self.step, "minutes": self.spent_s / 60.0}
        row.update({name: value / self._summed for name, value in self._sums.items()})
        self._sums, self._summed = {}, 0
        self.history.append(row)
        return row

    @property
    def has_unlogged(self) -> bool:
        """Whether steps were taken since ``log`` was last called."""
        return self._summed > 0

    @property
    def is_validated(self) -> bool:
        """Whether the network of this very step was scored."""
        return any(row["step"] == self.step and "val_mae_bpm" in row for row in self.history)

    def validate(self, store: ClipStore) -> Scores:
        """Score the averaged network."""
        probe = PulseNet(self.spec).to(self.rank.device, memory_format=torch.channels_last)
        probe.load_state_dict(self.average.state)
        self.scores = score(probe, store)
        values = self.scores.as_dict()
        self.history.append({"step": self.step, **{f"val_{k}": v for k, v in values.items()}})
        return self.scores

    def save(self, clips: int) -> None:
        """Write ``last.pt`` (all that is needed to go on) and ``history.jsonl``."""
        save_atomically(
            self.path,
            {
                "format": FORMAT,
                "config": asdict(self.config),
                "spec": spec_to_dict(self.spec),
                "trainee": self.trainee.state_dict(),
                "average": self.average.state,
                "updates": self.average.updates,
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "seconds": self.spent_s,
                "history": self.history,
                "clips": clips,
                "scores": self.scores.as_dict() if self.scores is not None else None,
            },
        )
        lines = "".join(json.dumps(row) + "\n" for row in self.history)
        (self.out / "history.jsonl").write_text(lines)
        self.saved_step = self.step

    def describe(self) -> str:
        return f"{self.spec.name}: {count_params(self.net)} parameters"
