"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Iterator


@contextlib.contextmanager
def written_whole(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write to, beside ``path``, that takes its place when the block ends well.

    Whoever reads ``path``, even after a crash or a power cut, finds the old file or the new one.
    Nothing is left behind if the block raises. The folder must exist; raises ``OSError``.
    """
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=str(path.parent))
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """``content`` as the whole of ``path``; see ``written_whole``."""
    with written_whole(path, mode) as file:
        file.write(content)
