"""TensorRT's own log: errors are kept for the answer, warnings go to standard error."""

import sys
from typing import Any, Callable, List

_KEPT = 4


def make_logger(trt: Any, on_timed: Callable[[], None]) -> Any:
    """A ``tensorrt.ILogger``. ``errors`` holds the newest errors; ``on_timed`` is called whenever
    the builder says that it has timed another way to compute a layer."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors = (self.errors + [str(msg).strip()])[-_KEPT:]
                sys.stderr.write(f"TensorRT error: {msg}\n")
            elif severity == trt.ILogger.Severity.WARNING:
                sys.stderr.write(f"TensorRT warning: {msg}\n")
            elif severity == trt.ILogger.Severity.VERBOSE and "Time:" in msg:
                on_timed()

    return Log()


def last_error(logger: Any) -> str:
    """The newest error, or that there was none."""
    return str(logger.errors[-1]) if logger.errors else "TensorRT does not say why"
