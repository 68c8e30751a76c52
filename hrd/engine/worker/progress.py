"""What a build is doing, told about once a second: on a Nano it takes minutes."""

import threading
import time
from typing import Any, Callable, Dict, Optional

_EVERY_S = 1.0

Tell = Callable[[float, str], None]
"""Called with the seconds since the beginning and a note."""


class Progress:
    """Use as a context round the build; ``tell`` is then called from a thread of its own."""

    def __init__(self, tell: Tell, every_s: float = _EVERY_S) -> None:
        self._tell = tell
        self._every_s = every_s
        self._timed = 0
        self._phase = ""
        self._done = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def count_timed(self) -> None:
        """One more way to compute a layer has been timed."""
        self._timed += 1

    def set_phase(self, phase: str) -> None:
        """What TensorRT itself says it is doing (from version 10 on)."""
        self._phase = phase

    def note(self) -> str:
        """What is known, in a few words."""
        if self._phase:
            return self._phase
        return f"{self._timed} kernels timed" if self._timed else "reading the network"

    def __enter__(self) -> "Progress":
        begin_s = time.time()

        def run() -> None:
            while not self._done.wait(self._every_s):
                self._tell(time.time() - begin_s, self.note())

        self._thread = threading.Thread(target=run, name="progress")
        self._thread.daemon = True
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()


def make_monitor(trt: Any, progress: Progress) -> Optional[Any]:
    """A ``tensorrt.IProgressMonitor`` that feeds ``progress``; None where there is none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: Dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: Any, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            of = self._steps.get(phase_name, 0)
            progress.set_phase(f"{phase_name}, step {step + 1} of {of}")
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
