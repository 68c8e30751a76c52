"""A loaded engine: chunks in, signal out, the state kept on the GPU."""

import time
from typing import Any, Dict, List, Tuple

from . import framing
from .cuda import Cuda
from .errors import WorkerError
from .log import last_error
from .tensors import open_tensors

_FLOAT_BYTES = 4
_WARM_UP_RUNS = 3


def _volume(shape: Tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


class Runner:
    """Holds the buffers of one engine for chunks of 1 to ``chunk`` frames, float32 throughout.

    Every state has two places on the GPU: a run reads one and writes the other, then they swap.
    Raises ``WorkerError`` of kind ENGINE if ``plan`` is not an engine of hrd's contract.
    """

    def __init__(self, trt: Any, logger: Any, cuda: Cuda, plan: bytes, chunk: int) -> None:
        free_bytes = cuda.free_bytes()
        self._cuda = cuda
        self._runtime = trt.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise WorkerError(
                framing.ENGINE, f"TensorRT cannot load the engine: {last_error(logger)}"
            )
        self._logger = logger
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise WorkerError(
                framing.MEMORY, f"TensorRT cannot start the engine: {last_error(logger)}"
            )
        self._tensors = open_tensors(trt, self._engine, self._context)
        self.chunk = chunk
        self._frames = 0  # the first axis that is set now
        self.states: List[str] = [name for name in self._tensors.inputs if name != "frames"]
        expected = set(["bvp"] + ["next_" + name for name in self.states])
        if "frames" not in self._tensors.inputs or set(self._tensors.outputs) != expected:
            raise WorkerError(framing.ENGINE, "the engine is not of a model of hrd")
        if not self._tensors.all_float:
            raise WorkerError(framing.ENGINE, "the engine's tensors are not all float32")
        self._frame_shape = tuple(self._tensors.shape("frames")[1:])
        self._frame_bytes = _FLOAT_BYTES * _volume(self._frame_shape)
        self._shape_for(self.chunk)
        sizes: Dict[str, int] = {}
        for name in self.states:
            shape = self._tensors.shape(name)
            # its output's shape is known only now that the frames' is
            if min(shape) < 1 or self._tensors.shape("next_" + name) != shape:
                raise WorkerError(framing.ENGINE, f"{name} does not fit its output")
            sizes[name] = _FLOAT_BYTES * _volume(shape)
        if _volume(self._tensors.shape("bvp")) != self.chunk:
            raise WorkerError(framing.ENGINE, "the engine does not give a sample per frame")
        self._gpu_in = cuda.allocate(self._frame_bytes * self.chunk)
        self._gpu_out = cuda.allocate(_FLOAT_BYTES * self.chunk)
        self._now = {name: cuda.allocate(size) for name, size in sizes.items()}
        self._next = {name: cuda.allocate(size) for name, size in sizes.items()}
        self._host_in = cuda.pinned(self._frame_bytes * self.chunk)
        self._host_out = cuda.pinned(_FLOAT_BYTES * self.chunk)
        self._state_bytes = sizes
        most = max(list(sizes.values()) or [1])
        self._zeros = cuda.pinned(most)
        self._zeros[:] = bytes(most)
        for _ in range(_WARM_UP_RUNS):
            self.run(bytes(self._frame_bytes * chunk), chunk, reset=True)
        self.gpu_bytes = max(0, free_bytes - cuda.free_bytes())

    def run(self, frames: bytes, count: int, reset: bool) -> Tuple[bytes, float]:
        """``count`` frames -> as many samples, and the milliseconds that it took, copies too."""
        if not 1 <= count <= self.chunk or len(frames) != count * self._frame_bytes:
            raise WorkerError(framing.FAILED, f"{len(frames)} bytes are not {count} frames")
        cuda = self._cuda
        begin_s = time.time()
        self._shape_for(count)
        if reset:
            self._zero_state()
        self._host_in[: len(frames)] = frames
        cuda.upload(self._gpu_in, self._host_in[: len(frames)])
        self._tensors.place(self._addresses())
        if not self._tensors.enqueue(int(cuda.stream.handle)):
            raise WorkerError(framing.FAILED, f"TensorRT failed: {last_error(self._logger)}")
        samples = self._host_out[: count * _FLOAT_BYTES]
        cuda.download(samples, self._gpu_out)
        cuda.synchronize()
        self._now, self._next = self._next, self._now
        return bytes(samples), 1e3 * (time.time() - begin_s)

    def _shape_for(self, count: int) -> None:
        if count == self._frames:
            return
        shape = (count,) + self._frame_shape
        if not self._tensors.set_shape("frames", shape):
            raise WorkerError(framing.FAILED, f"the engine cannot take chunks of {count} frames")
        self._frames = count

    def _zero_state(self) -> None:
        for name, size in self._state_bytes.items():
            self._cuda.upload(self._now[name], self._zeros[:size])

    def _addresses(self) -> Dict[str, int]:
        addresses = {"frames": int(self._gpu_in), "bvp": int(self._gpu_out)}
        for name in self.states:
            addresses[name] = int(self._now[name])
            addresses["next_" + name] = int(self._next[name])
        return addresses
