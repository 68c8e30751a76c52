"""The daemon's side of the TensorRT worker: a child process that must answer in time.

The messages are described in ``hrd/engine/worker/__init__.py``. Whatever goes wrong with the child
(it dies, hangs, writes nonsense, speaks another version) ends it and is a ``WorkerFailure``.
"""

from __future__ import annotations

import collections
import logging
import os
import platform
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Callable, Deque, Dict, Optional

from hrd.childprocess import LastWords, Step, end, how_it_ended
from hrd.engine.base import EngineError
from hrd.engine.worker import framing
from hrd.errors import Kind

logger = logging.getLogger(__name__)

WORKER_DIR = Path(__file__).resolve().parent / "worker"

_HELLO_S = 30.0  # importing tensorrt from a cold SD card
_READ_BYTES = 1 << 18
_POLL_S = 0.2  # how often a waiting request looks at the stop flag
_GRACE_S = 0.5
_STDERR_LINES = 8

OnProgress = Callable[[float, str], None]
"""Called with the seconds since a build began and what it is doing."""


class WorkerFailure(EngineError):
    """A worker that cannot be started, has failed, or says that it cannot do what is asked."""


class WorkerProcess:
    """One worker under the interpreter ``python``.

    The constructor waits for its HELLO; ``tensorrt`` is then the version that it has imported, or
    None with ``missing`` saying why. ``stop``, once set, ends a waiting request. Not for use from
    two threads at once, except ``close``.
    """

    def __init__(self, python: str, stop: Optional[threading.Event] = None) -> None:
        self.python = python
        self._stop = stop
        self._seq = 0
        self._decoder = framing.Decoder()
        self._messages: Deque[framing.Message] = collections.deque()
        try:
            self._process = subprocess.Popen(
                [python, str(WORKER_DIR)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(python),
                cwd="/",
                start_new_session=True,  # a terminal's Ctrl-C is ours alone
            )
        except OSError as error:
            raise WorkerFailure(
                f"{python} cannot be started ({error.strerror})", Kind.ABSENT
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._words = LastWords(self._process.stderr, _STDERR_LINES, "hrd-worker")
        try:
            hello = self._converse(b"", 0, framing.HELLO, _HELLO_S, None, "starting it")
        except WorkerFailure:
            self.close()
            raise
        self.python_version = str(hello.fields.get("python", "?"))
        version = hello.fields.get("tensorrt")
        self.tensorrt: Optional[str] = None if version is None else str(version)
        self.missing = str(hello.fields.get("missing", ""))

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self,
        kind: int,
        fields: Dict[str, Any],
        blob: framing.Blob,
        expect: int,
        limit_s: float,
        what: str,
        on_progress: Optional[OnProgress] = None,
    ) -> framing.Message:
        """Send a request; return the reply, of kind ``expect``. ``what``: for the error's sentence.

        Raises ``WorkerFailure`` if the answer is an error, wrong, or not there in ``limit_s``; in
        the last two cases the worker is gone then.
        """
        self._seq = (self._seq + 1) & 0xFFFF
        data = framing.encode(kind, self._seq, fields, blob)
        return self._converse(data, self._seq, expect, limit_s, on_progress, what)

    def close(self) -> None:
        """End the worker; at once if it does not end by itself. May be called twice."""
        if self._process.poll() is None:
            try:
                os.write(self._in, framing.encode(framing.SHUTDOWN, 0))
            except OSError:
                pass
        self._close_pipe(self._process.stdin)
        self._end((None, _GRACE_S), (signal.SIGKILL, _GRACE_S))
        self._close_pipe(self._process.stdout)

    def _converse(
        self,
        data: bytes,
        seq: int,
        expect: int,
        limit_s: float,
        on_progress: Optional[OnProgress],
        what: str,
    ) -> framing.Message:
        end_s = time.monotonic() + limit_s
        left = memoryview(data)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._out, selectors.EVENT_READ)
                if len(left):
                    selector.register(self._in, selectors.EVENT_WRITE)
                while True:
                    for message in self._received(seq):
                        if message.kind == framing.PROGRESS:
                            if on_progress is not None:
                                on_progress(
                                    float(message.fields.get("seconds", 0.0)),
                                    str(message.fields.get("note", "")),
                                )
                        elif message.kind == framing.ERROR:
                            raise WorkerFailure(
                                str(message.fields.get("message", "it does not say why")),
                                _kind(message.fields.get("kind")),
                            )
                        elif message.kind == expect:
                            return message
                        else:
                            raise framing.FramingError(f"an answer of kind {message.kind}")
                    wait_s = end_s - time.monotonic()
                    if wait_s <= 0:
                        raise TimeoutError
                    if self._stop is not None:
                        if self._stop.is_set():
                            raise WorkerFailure("it was told to stop")
                        wait_s = min(wait_s, _POLL_S)
                    for key, _ in selector.select(wait_s):
                        if key.fd == self._out:
                            self._read()
                        else:
                            left = left[os.write(self._in, left[:_READ_BYTES]) :]
                            if not len(left):
                                selector.unregister(self._in)
        except TimeoutError as error:
            self._kill()
            raise WorkerFailure(
                f"the TensorRT worker has not answered within {limit_s:g} s ({what})"
            ) from error
        except framing.VersionError as error:
            self._kill()
            raise WorkerFailure(
                f"the TensorRT worker speaks another version of the protocol ({error}); "
                "restart hrd after an upgrade"
            ) from error
        except framing.FramingError as error:
            self._kill()
            raise WorkerFailure(f"the TensorRT worker sent nonsense: {error}") from error
        except (OSError, EOFError, ValueError) as error:
            raise WorkerFailure(self._epitaph(what)) from error

    def _received(self, seq: int) -> Deque[framing.Message]:
        messages, self._messages = self._messages, collections.deque()
        for message in messages:
            if message.seq != seq:
                raise framing.FramingError(f"answer {message.seq} to request {seq}")
        return messages

    def _read(self) -> None:
        data = os.read(self._out, _READ_BYTES)
        if not data:
            raise EOFError
        self._messages.extend(self._decoder.feed(data))

    def _epitaph(self, what: str) -> str:
        """How it ended, as a sentence."""
        how = how_it_ended(self._process, _GRACE_S)
        if how is None:
            self._kill()
            return f"the TensorRT worker closed its pipe ({what})"
        said = self._words.of_the_dead() if self._process.returncode >= 0 else ()
        return f"the TensorRT worker {how} ({what}){f': {said[-1]}' if said else ''}"

    def _kill(self) -> None:
        self._end((signal.SIGKILL, _GRACE_S))

    def _end(self, *steps: Step) -> None:
        if not end(self._process, *steps):
            logger.warning("the TensorRT worker %d does not die", self._process.pid)

    @staticmethod
    def _close_pipe(pipe: Optional[IO[bytes]]) -> None:
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            pass


def _kind(said: object) -> Kind:
    """A kind as the worker writes it."""
    try:
        return Kind(said)
    except ValueError:  # a newer worker's
        return Kind.FAILED


def _environment(python: str) -> Dict[str, str]:
    environment = dict(os.environ)
    if python != sys.executable:  # our modules are of no use to another Python
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environment.pop(name, None)
    environment.setdefault("CUDA_MODULE_LOADING", "LAZY")  # saves memory, from CUDA 11.7 on
    if platform.machine() == "aarch64":
        # numpy 1.19.5 for Python 3.6 crashes on a Jetson Nano when it guesses the processor
        environment.setdefault("OPENBLAS_CORETYPE", "ARMV8")
    return environment
