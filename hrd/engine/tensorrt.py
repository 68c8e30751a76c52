"""TensorRT, in a worker process under whichever Python has it.

Nothing of CUDA is ever loaded into this process. ``hrd.engine.tensorrt_open`` makes the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrd.engine.base import EngineInfo
from hrd.engine.interpreters import Device
from hrd.engine.network import NetworkEngine
from hrd.engine.onnx import OnnxEngine
from hrd.engine.process import WorkerFailure, WorkerProcess
from hrd.engine.worker import framing


@dataclass(frozen=True)
class TensorRtFacts:
    """What runs, and how it came to be.

    ``parity``: the largest difference to ONNX Runtime over the largest sample, on this GPU, now.
    ``build_s``: what the build took, whenever it was. ``origin``: where the engine came from.
    """

    device: Device
    precision: str
    parity: float
    build_s: float
    gpu_mb: float
    origin: str


class TensorRtEngine(NetworkEngine):
    """Streams chunks through a worker that has an engine loaded; made by ``open_tensorrt``."""

    def __init__(
        self,
        worker: WorkerProcess,
        reference: OnnxEngine,
        chunk_frames: int,
        deadline_s: float,
        facts: TensorRtFacts,
    ) -> None:
        self._worker = worker
        self._chunk_frames = chunk_frames
        self.deadline_s = deadline_s
        """A chunk that takes longer than this has failed."""
        self.facts = facts
        self.delay_frames = reference.delay_frames
        self.history_frames = reference.history_frames
        self.info = EngineInfo(
            name="tensorrt",
            model=reference.info.model,
            provider=f"cuda {facts.precision}",
            params=reference.info.params,
            macs_per_frame=reference.info.macs_per_frame,
        )
        self.reset()

    @property
    def worker_pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    def forget(self) -> None:
        self._forget = True

    def infer(self, frames: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(frames), self._chunk_frames):
            part = frames[start : start + self._chunk_frames]
            parts.append(run_chunk(self._worker, part, self._forget, self.deadline_s))
            self._forget = False
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def close(self) -> None:
        self._worker.close()


def run_chunk(worker: WorkerProcess, frames: np.ndarray, reset: bool, limit_s: float) -> np.ndarray:
    """Have a worker compute the signal of normalised frames, in at most ``limit_s``.

    Raises ``WorkerFailure``.
    """
    data = np.ascontiguousarray(frames, np.float32).tobytes()
    fields = {"frames": len(frames), "reset": reset}
    reply = worker.ask(framing.RUN, fields, data, framing.RESULT, limit_s, "a chunk")
    if len(reply.blob) != 4 * len(frames):
        raise WorkerFailure(f"TensorRT gave {len(reply.blob)} bytes for {len(frames)} frames")
    samples = np.frombuffer(reply.blob, np.float32)
    if not np.isfinite(samples).all():
        raise WorkerFailure("TensorRT gave samples that are not numbers")
    return samples
