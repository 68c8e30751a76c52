"""Stand-in for ``tensorrt``: parses, "builds" and computes through ``server.py``.

Faults, read from the file ``FAKE_GPU_FAULT`` at every run: ``hang``, ``exit`` (code 3), ``crash``
(SIGSEGV), ``nan``, ``short`` (a run that writes nothing), ``refuse`` (the run is not begun),
``memory``, ``garbage`` (bytes in the worker's answers), ``wrong`` (plausible numbers, not the
right ones). At a build: ``build_memory``, ``build_crash``, ``build_slow``. At a load:
``load_crash``.
"""

import enum
import fcntl
import json
import os
import pickle
import signal
import socket
import stat
import struct
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from pycuda import driver as _cuda

_KIND = os.environ.get("FAKE_TRT", "8.6")
_OLD = _KIND in ("8.2", "8.6")
_NEW = _KIND in ("8.6", "10")
__version__ = {"8.2": "8.2.1.8", "8.6": "8.6.1", "10": "10.3.0"}[_KIND]
__version__ = os.environ.get("FAKE_TRT_VERSION", __version__)

os.write(1, b"a library that prints on standard output\n")

_PLAN = b"FAKE"
_socket: List[Any] = []


def _ask(request: Dict[str, Any]) -> Dict[str, Any]:
    if not _socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(os.environ["FAKE_GPU_SOCKET"])
        _socket.append(connection.makefile("rwb"))
    data = pickle.dumps(request, protocol=2)
    _socket[0].write(struct.pack("<I", len(data)) + data)
    _socket[0].flush()
    size = struct.unpack("<I", _socket[0].read(4))[0]
    return pickle.loads(_socket[0].read(size))


def _fault() -> str:
    try:
        with open(os.environ.get("FAKE_GPU_FAULT", "/nowhere")) as file:
            return file.read().strip()
    except OSError:
        return ""


def _pollute() -> None:
    """Write nonsense into whatever pipe is open for writing, but standard error."""
    for number in range(3, 64):
        try:
            status = os.fstat(number)
            writes = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        except OSError:
            continue
        if stat.S_ISFIFO(status.st_mode) and writes and status.st_ino != os.fstat(2).st_ino:
            os.write(number, b"\x00\x01 nonsense on the pipe \x02")


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self.made = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


def _error(logger: ILogger, text: str) -> None:
    assert logger.made, "ILogger.__init__ was not called"
    logger.log(ILogger.Severity.ERROR, text)


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0


class BuilderFlag(enum.Enum):
    FP16 = 0
    TF32 = 1


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


if _NEW:

    class MemoryPoolType(enum.Enum):
        WORKSPACE = 0

    class TensorIOMode(enum.Enum):
        NONE = 0
        INPUT = 1
        OUTPUT = 2


if _KIND == "10":

    class IProgressMonitor:
        def __init__(self) -> None:
            self.made = True


class ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class INetworkDefinition:
    def __init__(self) -> None:
        self.onnx = b""


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: List[ParserError] = []

    def parse(self, model: bytes) -> bool:
        answer = _ask({"what": "describe", "onnx": bytes(model)})
        if "error" in answer:
            self._errors.append(ParserError(answer["error"]))
            return False
        self._network.onnx = bytes(model)
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: Dict[str, Tuple[Any, Any, Any]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> memoryview:
        return memoryview(self.content or b"timed on a fake")


class IBuilderConfig:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.profiles: List[IOptimizationProfile] = []
        self.workspace = 0
        self._timing: Optional[ITimingCache] = None
        self.progress_monitor: Any = None
        if not _NEW:
            self.max_workspace_size = 0

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    if _NEW:

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            assert pool is MemoryPoolType.WORKSPACE
            self.workspace = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache.content not in (b"", b"timed on a fake"):
            return False
        self._timing = cache
        return True

    def get_timing_cache(self) -> Optional[ITimingCache]:
        return self._timing


class Builder:
    def __init__(self, logger: ILogger) -> None:
        assert _cuda._state["context"], "TensorRT was touched before CUDA"
        self._logger = logger
        self.platform_has_fast_fp16 = os.environ.get("FAKE_FP16", "yes") == "yes"

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        assert _KIND == "10" or flags == 1, "an implicit batch"
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> Optional[memoryview]:
        fault = _fault()
        if fault == "build_memory":
            _error(self._logger, "[defaultAllocator.cpp] Cuda failure: out of memory")
            return None
        if fault == "build_crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "build_slow":
            time.sleep(60)
        assert config.workspace or getattr(config, "max_workspace_size", 0), "unbounded workspace"
        self._logger.log(ILogger.Severity.VERBOSE, "Tactic: 1002 Time: 0.0123")
        if config.progress_monitor is not None:
            monitor = config.progress_monitor
            monitor.phase_start("Building", None, 2)
            assert monitor.step_complete("Building", 0)
            monitor.phase_finish("Building")
        profile = config.profiles[0].shapes["frames"]
        header = {
            "version": __version__,
            "half": BuilderFlag.FP16 in config.flags,
            "tf32": BuilderFlag.TF32 in config.flags,
            "least": profile[0][0],
            "most": profile[2][0],
        }
        assert header["half"] or not header["tf32"], "TF32 taken for FP32"
        text = json.dumps(header).encode()
        return memoryview(_PLAN + struct.pack("<I", len(text)) + text + network.onnx)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        if not _cuda._state["context"]:
            os.kill(os.getpid(), signal.SIGSEGV)  # as 8.6 does without a GPU
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Optional["ICudaEngine"]:
        if _fault() == "load_crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if not serialized_engine.startswith(_PLAN):
            _error(self._logger, "Serialization assertion magicTag failed. Magic tag mismatch")
            return None
        (length,) = struct.unpack_from("<I", serialized_engine, 4)
        header = json.loads(serialized_engine[8 : 8 + length].decode())
        if header["version"] != __version__:
            _error(self._logger, "Serialization assertion safeVersionRead == safeSerialization")
            return None
        return ICudaEngine(header, serialized_engine[8 + length :], self._logger)


class ICudaEngine:
    def __init__(self, header: Dict[str, Any], onnx: bytes, logger: ILogger) -> None:
        self.header = header
        self.onnx = onnx
        self.logger = logger
        answer = _ask({"what": "describe", "onnx": onnx})
        self.tensors = [(name, tuple(shape), True) for name, shape in answer["inputs"]]
        self.tensors += [(name, tuple(shape), False) for name, shape in answer["outputs"]]

    def create_execution_context(self) -> "IExecutionContext":
        return IExecutionContext(self)

    if _NEW:

        @property
        def num_io_tensors(self) -> int:
            return len(self.tensors)

        def get_tensor_name(self, index: int) -> str:
            return self.tensors[index][0]

        def get_tensor_mode(self, name: str) -> Any:
            first = {tensor[0]: tensor[2] for tensor in self.tensors}[name]
            return TensorIOMode.INPUT if first else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> DataType:
            return DataType.FLOAT

    if _OLD:

        @property
        def num_bindings(self) -> int:
            return len(self.tensors)

        def get_binding_name(self, index: int) -> str:
            return self.tensors[index][0]

        def binding_is_input(self, index: int) -> bool:
            return self.tensors[index][2]

        def get_binding_dtype(self, index: int) -> DataType:
            return DataType.FLOAT


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._frames = -1
        self._addresses: Dict[str, int] = {}

    def _shape(self, name: str) -> Tuple[int, ...]:
        shape = {tensor[0]: tensor[1] for tensor in self._engine.tensors}[name]
        return tuple(self._frames if side == -1 else side for side in shape)

    def _set_shape(self, name: str, shape: Any) -> bool:
        header = self._engine.header
        if name != "frames" or not header["least"] <= shape[0] <= header["most"]:
            return False
        self._frames = shape[0]
        return True

    def _begin(self, stream_handle: int) -> bool:
        fault = _fault()
        if fault == "refuse" or self._frames < 1:
            _error(self._engine.logger, "enqueue: some dimension is not set")
            return False
        if fault == "memory":
            raise _cuda.MemoryError("cuMemAlloc failed: out of memory")
        addresses = dict(self._addresses)
        _cuda._streams[stream_handle].begin(lambda: self._compute(fault, addresses))
        return True

    def _compute(self, fault: str, addresses: Dict[str, int]) -> None:
        if fault == "hang":
            time.sleep(600)
        elif fault == "exit":
            sys.stderr.write("the fake GPU has fallen off the bus\n")
            sys.stderr.flush()
            os._exit(3)
        elif fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "garbage":
            _pollute()
        elif fault == "short":
            return
        engine = self._engine
        feed = {}
        for name, _, first in engine.tensors:
            if first:
                shape = self._shape(name)
                size = 4
                for side in shape:
                    size *= side
                feed[name] = (bytes(_cuda._memory[addresses[name]][:size]), list(shape))
        half = engine.header["half"]
        results = _ask({"what": "run", "onnx": engine.onnx, "feed": feed, "half": half})
        for name, data in results.items():
            if name == "bvp" and fault in ("nan", "wrong"):
                wrong = float("nan") if fault == "nan" else 0.25
                data = struct.pack("<f", wrong) * (len(data) // 4)
            assert addresses[name] not in [addresses[key] for key in feed], "in and out are one"
            _cuda._memory[addresses[name]][: len(data)] = data

    if _NEW:

        def get_tensor_shape(self, name: str) -> Tuple[int, ...]:
            return self._shape(name)

        def set_input_shape(self, name: str, shape: Any) -> bool:
            return self._set_shape(name, shape)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            return self._begin(stream_handle)

    if _OLD:

        def get_binding_shape(self, binding: int) -> Tuple[int, ...]:
            return self._shape(self._engine.tensors[binding][0])

        def set_binding_shape(self, binding: int, shape: Any) -> bool:
            return self._set_shape(self._engine.tensors[binding][0], shape)

        def execute_async_v2(self, bindings: List[int], stream_handle: int) -> bool:
            names = [tensor[0] for tensor in self._engine.tensors]
            self._addresses = dict(zip(names, bindings))
            return self._begin(stream_handle)
