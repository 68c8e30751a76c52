"""The worker's life: say hello, answer requests, end."""

import os
import platform
import signal
import sys
import threading
from typing import Any, Dict, Optional

from . import framing
from .builder import build
from .cuda import Cuda
from .errors import WorkerError, is_memory_error
from .log import make_logger
from .progress import Progress
from .runner import Runner

_READ_BYTES = 1 << 18
_FIRST_TO_BE_KILLED = "800"  # of 1000: when memory runs out, the kernel should take us


def main() -> int:
    """Serve standard input until it ends or SHUTDOWN comes."""
    out = os.dup(1)
    os.dup2(2, 1)  # libraries print where they like; the daemon reads messages only
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the daemon's business
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(_FIRST_TO_BE_KILLED)
    except OSError:
        pass
    _Server(out).serve(0)
    # CUDA's and TensorRT's own clean-up at exit can crash, and the driver frees everything anyway
    sys.stderr.flush()
    os._exit(0)


class _Server:
    def __init__(self, out: int) -> None:
        self._out = out
        self._writing = threading.Lock()  # progress comes from a thread of its own
        self._trt: Any = None
        self._missing = ""
        self._logger: Any = None
        self._progress: Optional[Progress] = None
        self._cuda_made: Optional[Cuda] = None
        self._runner: Optional[Runner] = None

    def serve(self, source: int) -> None:
        hello: Dict[str, Any] = {"python": platform.python_version(), "pid": os.getpid()}
        try:
            import tensorrt

            self._trt = tensorrt
            hello["tensorrt"] = str(tensorrt.__version__)
        except Exception as error:  # a broken installation raises whatever it likes
            self._missing = str(error)
            hello["missing"] = self._missing
        self._send(framing.HELLO, 0, hello)
        decoder = framing.Decoder()
        while True:
            data = os.read(source, _READ_BYTES)
            if not data:
                return
            for message in decoder.feed(data):
                if message.kind == framing.SHUTDOWN:
                    return
                self._answer(message)

    def _answer(self, message: framing.Message) -> None:
        handlers = {
            framing.PROBE: self._probe,
            framing.BUILD: self._build,
            framing.LOAD: self._load,
            framing.RUN: self._run,
        }
        try:
            handler = handlers.get(message.kind)
            if handler is None:
                raise WorkerError(framing.FAILED, f"no such request: {message.kind}")
            handler(message)
        except WorkerError as error:
            self._fail(message.seq, error.kind, error.message)
        except Exception as error:  # PyCUDA and TensorRT raise types of their own
            kind = framing.MEMORY if is_memory_error(error) else framing.FAILED
            self._fail(message.seq, kind, f"{type(error).__name__}: {error}")

    def _probe(self, message: framing.Message) -> None:
        cuda = self._cuda()
        name, capability = cuda.describe()
        self._send(
            framing.DEVICE,
            message.seq,
            {
                "name": name,
                "capability": capability,
                "total_mb": cuda.total_bytes // 1000000,
                "free_mb": cuda.free_bytes() // 1000000,
            },
        )

    def _build(self, message: framing.Message) -> None:
        self._cuda()
        timing_bytes = int(message.fields["timing_bytes"])

        def tell(seconds: float, note: str) -> None:
            self._send(framing.PROGRESS, message.seq, {"seconds": seconds, "note": note})

        self._progress = Progress(tell)
        built = build(
            self._trt,
            self._log(),
            message.blob[timing_bytes:],
            str(message.fields["precision"]),
            int(message.fields["workspace_mb"]) << 20,
            int(message.fields["chunk"]),
            message.blob[:timing_bytes],
            self._progress,
        )
        self._send(
            framing.BUILT,
            message.seq,
            {
                "precision": built.precision,
                "seconds": built.seconds,
                "timing_bytes": len(built.timing),
            },
            built.timing + built.plan,
        )

    def _load(self, message: framing.Message) -> None:
        cuda = self._cuda()
        self._runner = None  # frees the one before
        runner = Runner(self._trt, self._log(), cuda, message.blob, int(message.fields["chunk"]))
        self._runner = runner
        self._send(
            framing.LOADED,
            message.seq,
            {"states": runner.states, "gpu_mb": runner.gpu_bytes / 1e6},
        )

    def _run(self, message: framing.Message) -> None:
        if self._runner is None:
            raise WorkerError(framing.FAILED, "no engine is loaded")
        samples, gpu_ms = self._runner.run(
            message.blob, int(message.fields["frames"]), bool(message.fields["reset"])
        )
        self._send(framing.RESULT, message.seq, {"gpu_ms": gpu_ms}, samples)

    def _cuda(self) -> Cuda:
        if self._trt is None:
            raise WorkerError(framing.ABSENT, f"tensorrt cannot be imported: {self._missing}")
        if self._cuda_made is None:
            self._cuda_made = Cuda()
        return self._cuda_made

    def _log(self) -> Any:
        if self._logger is None:
            self._logger = make_logger(self._trt, self._count_timed)
        return self._logger

    def _count_timed(self) -> None:
        if self._progress is not None:
            self._progress.count_timed()

    def _fail(self, seq: int, kind: str, message: str) -> None:
        self._send(framing.ERROR, seq, {"kind": kind, "message": " ".join(message.split())})

    def _send(self, kind: int, seq: int, fields: Dict[str, Any], blob: framing.Blob = b"") -> None:
        data = memoryview(framing.encode(kind, seq, fields, blob))
        with self._writing:
            while len(data):
                data = data[os.write(self._out, data) :]
