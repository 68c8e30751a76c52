"""This process among those of a ``torchrun`` launch, and the device that it computes on."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass

import torch

from hrd.errors import HrdError

_PATIENCE = datetime.timedelta(hours=24)  # the first process may have to draw all clips


@dataclass(frozen=True)
class Rank:
    """This process among those of the run (PyTorch's launcher sets RANK and WORLD_SIZE)."""

    index: int
    ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.index == 0


def find_rank(device: str) -> Rank:
    """This process's rank; joins the others of its launch.

    Raises ``HrdError`` if CUDA is asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise HrdError("no CUDA device is here; train with --device cpu instead")
    index, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
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
    return Rank(index, ranks, chosen)


def shared(weights: torch.Tensor, least: float) -> torch.Tensor:
    """What a process divides its clips' weighted losses by: the sum of all processes' ``weights``,
    at least ``least``, over their number. The mean of the processes' gradients is then that of one
    process with all clips."""
    total = weights.detach().sum()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total.clamp(min=least)
    torch.distributed.all_reduce(total)
    return total.clamp(min=least) / torch.distributed.get_world_size()


def meet(device: str) -> None:
    """Wait until every process of a ``torchrun`` launch has come here."""
    if find_rank(device).ranks > 1:
        torch.distributed.barrier()
