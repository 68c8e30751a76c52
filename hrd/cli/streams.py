"""Standard streams that may be closed, full, or of another encoding than a file's name."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, Tuple, Union

from hrd.errors import HrdError

ERRORS = "hrd-as-it-came"
"""Handler of what the stream's encoding lacks: bytes of a file's name come out as they came in,
everything else escaped."""


class OutputError(HrdError):
    """Standard output cannot be written to."""


def prepare() -> None:
    """Make the three standard streams safe to use; once, before anything is opened.

    A closed descriptor would be given to the next file or socket that is opened, and what a
    library says about itself would end up in it. A closed standard output still fails when
    something is written to it; what cannot be said on standard error is left unsaid.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest free number: fd
    codecs.register_error(ERRORS, _as_it_came)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:  # else somebody listens in
        sys.stdout = io.TextIOWrapper(
            _Output(io.FileIO(1, "w", closefd=False)),
            encoding=_encoding(sys.stdout),
            errors=ERRORS,
            line_buffering=os.isatty(1),
        )
    if sys.stderr is sys.__stderr__:
        sys.stderr = io.TextIOWrapper(
            _Complaints(2, "w", closefd=False),
            encoding=_encoding(sys.stderr),
            errors=ERRORS,
            write_through=True,
        )


def give_up_output() -> None:
    """Nobody takes the output any more: keep Python from trying once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _encoding(old: Any) -> str:
    return getattr(old, "encoding", None) or "utf-8"


class _Output(io.BufferedWriter):
    """Not the raw stream below it: a Ctrl-C inside that one's Python code would leave the buffer
    unaware that the data have gone, and send them twice."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except (BrokenPipeError, BlockingIOError):
            raise
        except OSError as error:
            raise _explained(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except (BrokenPipeError, BlockingIOError):
            raise
        except OSError as error:
            raise _explained(error) from error


def _explained(error: OSError) -> OutputError:
    return OutputError(f"the output cannot be written ({error.strerror}).")


class _Complaints(io.FileIO):
    def write(self, data: Any) -> Any:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _as_it_came(error: UnicodeError) -> Tuple[Union[str, bytes], int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    data = bytearray()
    for char in error.object[error.start : error.end]:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:  # PEP 383
            data.append(code - 0xDC00)
        else:
            data += char.encode("ascii", "backslashreplace")
    return bytes(data), error.end
