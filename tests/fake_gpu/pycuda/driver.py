"""Stand-in for ``pycuda.driver``: memory is bytes, copies wait for ``synchronize``."""

import os
import signal
from typing import Any, Callable, Dict, List, Tuple

_TOTAL_BYTES = 4000000000
_memory: Dict[int, bytearray] = {}
_streams: Dict[int, "Stream"] = {}
_state = {"context": False, "next": 0x1000}


class Error(Exception):
    pass


class MemoryError(Error):  # noqa: A001 - its name in PyCUDA
    pass


def init(flags: int = 0) -> None:
    how = os.environ.get("FAKE_CUDA", "")
    if how == "absent":
        raise Error("cuInit failed: no CUDA-capable device is detected")
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)


class Context:
    pass


class Device:
    def __init__(self, number: int) -> None:
        assert number == 0

    @staticmethod
    def count() -> int:
        return 1

    def name(self) -> str:
        return "Fake Tegra X1"

    def compute_capability(self) -> Tuple[int, int]:
        return (5, 3)

    def total_memory(self) -> int:
        return _TOTAL_BYTES

    def make_context(self, flags: int = 0) -> Context:
        _state["context"] = True
        return Context()


class Stream:
    def __init__(self, flags: int = 0) -> None:
        self.handle = len(_streams) + 7
        self._waiting: List[Callable[[], None]] = []
        _streams[self.handle] = self

    def synchronize(self) -> None:
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            step()

    def begin(self, step: Callable[[], None]) -> None:
        """Not in PyCUDA: something that the GPU will do."""
        self._waiting.append(step)


class DeviceAllocation:
    def __init__(self, size: int) -> None:
        self._address = _state["next"]
        _state["next"] += size + 256
        _memory[self._address] = bytearray(os.urandom(1) * size)  # never zero by luck

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        del _memory[self._address]


def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002 - its name in PyCUDA
    if not _state["context"]:
        raise Error("mem_alloc without a context")
    if os.environ.get("FAKE_CUDA", "") == "full":
        raise MemoryError("cuMemAlloc failed: out of memory")
    return DeviceAllocation(bytes)


def pagelocked_empty(shape: int, dtype: str, order: str = "C", mem_flags: int = 0) -> Any:
    assert dtype == "uint8"
    return bytearray(shape)


def mem_get_info() -> Tuple[int, int]:
    used = sum(len(block) for block in _memory.values())
    return (_TOTAL_BYTES - used, _TOTAL_BYTES)


def memcpy_htod_async(dest: DeviceAllocation, src: Any, stream: Stream) -> None:
    view = memoryview(src)

    def copy() -> None:
        assert len(view) <= len(_memory[int(dest)])
        _memory[int(dest)][: len(view)] = view

    stream.begin(copy)


def memcpy_dtoh_async(dest: Any, src: DeviceAllocation, stream: Stream) -> None:
    view = memoryview(dest)

    def copy() -> None:
        view[:] = _memory[int(src)][: len(view)]

    stream.begin(copy)
