"""A process that makes batches for a trainer: how it begins, and how it ends quietly."""

from __future__ import annotations

import signal
import sys
from types import TracebackType
from typing import Optional, Type

import torch

from hrd.train.allocator import keep_freed_memory


def begin_worker(worker: int) -> None:
    """Set a new process up; ``worker`` is its number."""
    # all of a command's processes may be told to end at once; the trainer saves and ends this one
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.excepthook = _unless_trainer_left
    torch.set_num_threads(1)
    keep_freed_memory()


def _unless_trainer_left(
    kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]
) -> None:
    """Say nothing of a trainer that has stopped listening: the thread that hands memory over to it
    then fails. Errors in drawing batches go to the trainer and never come here."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
