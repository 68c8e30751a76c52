"""Built TensorRT engines on disk.

A file is a magic line, the length of a JSON header, the header, and the engine. The header holds
the whole key (model, TensorRT, GPU, precision, chunk) and the engine's SHA-256, so that a file
that is truncated, foreign, or of another version or GPU is recognised and never loaded. The
checksum guards against accidents, not against people: a file or folder that others may write is
not trusted either. Files are written beside their place and moved there, so a reader sees
a whole one or none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from hrd.errors import UsageError
from hrd.files import write_whole
from hrd.paths import expand

logger = logging.getLogger(__name__)

_MAGIC = b"HRD-TENSORRT-1\n"
_LENGTH = struct.Struct("<I")
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class CacheKey:
    """Everything that a serialised engine depends on. ``precision``: what was asked for."""

    model: str
    model_sha256: str
    tensorrt: str
    gpu: str
    capability: str
    precision: str
    chunk_frames: int

    def file_name(self, kind: str = "engine") -> str:
        """A readable name that no other key has."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        model = re.sub(r"[^A-Za-z0-9]+", "-", self.model)[:40]
        return f"{model}-{self.precision}-{self.chunk_frames}-{digest}.{kind}"


def timing_key(key: CacheKey) -> CacheKey:
    """The key of a timing cache: kernels are timed for a GPU and a TensorRT, whatever the model."""
    return CacheKey("timing", "", key.tensorrt, key.gpu, key.capability, "any", 0)


@dataclass(frozen=True)
class Stored:
    """An engine (or timing cache) from disk; ``facts``: what was stored with it."""

    payload: bytes
    facts: Dict[str, Any]


class EngineCache:
    """A folder of engines. Nothing here raises: a cache that can't be used is said and done
    without. ``folder`` empty: there is no cache."""

    def __init__(self, folder: str) -> None:
        self._folder: Optional[Path] = None
        try:
            self._folder = expand(folder) if folder else None
        except UsageError as error:
            logger.warning("TensorRT engines are not kept: %s", error)

    def path(self, key: CacheKey, kind: str = "engine") -> Optional[Path]:
        """Where the file of a key is or would be."""
        return None if self._folder is None else self._folder / key.file_name(kind)

    def load(
        self, key: CacheKey, kind: str = "engine", to_run: bool = True
    ) -> Tuple[Optional[Stored], str]:
        """What is stored for ``key``, or None; and why, in a few words for a person. Only what is
        not going to be run (``to_run`` False) may be somebody else's."""
        path = self.path(key, kind)
        if path is None:
            return None, "no cache folder is configured"
        try:
            with open(path, "rb") as file:
                complaint = _owner_complaint(os.fstat(file.fileno()), "file")
                complaint = complaint or _owner_complaint(os.stat(path.parent), "folder")
                if complaint and to_run:
                    return None, self._unusable(path, complaint)
                stored = _decode(file.read(), key)
        except FileNotFoundError:
            return None, "not built yet"
        except OSError as error:
            return None, self._unusable(path, f"it cannot be read ({error.strerror})")
        if isinstance(stored, str):
            return None, self._unusable(path, stored)
        return stored, f"read from {path}"

    def store(
        self, key: CacheKey, payload: bytes, facts: Dict[str, Any], kind: str = "engine"
    ) -> str:
        """Keep ``payload``. Returns what became of it, in a few words; says so too if nothing."""
        path = self.path(key, kind)
        if path is None:
            return "not kept: no cache folder is configured"
        header = {
            "key": asdict(key),
            "facts": facts,
            "bytes": len(payload),
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
        text = json.dumps(header, sort_keys=True).encode()
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_whole(path, _MAGIC + _LENGTH.pack(len(text)) + text + payload)
        except OSError as error:
            said = f"not kept: {path.parent} cannot be written ({error.strerror})"
            logger.warning("TensorRT %s %s", kind, said)
            return said
        return f"kept in {path}"

    def discard(self, key: CacheKey, kind: str = "engine") -> None:
        """Remove what is stored for ``key``, if that can be done."""
        path = self.path(key, kind)
        if path is not None:
            try:
                path.unlink()
            except OSError:
                pass

    @staticmethod
    def _unusable(path: Path, why: str) -> str:
        logger.warning("%s is not used: %s", path, why)
        return f"{path} is not used: {why}"


def _owner_complaint(status: os.stat_result, what: str) -> str:
    """Why a file or folder must not be trusted; empty if it may."""
    if status.st_uid not in (0, os.geteuid()):
        return f"the {what} belongs to somebody else"
    others = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid not in (0, os.getegid()) else 0)
    if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
        return f"others may write the {what}"
    return ""


def _decode(data: bytes, key: CacheKey) -> Stored | str:
    """The content of a file, or what is wrong with it."""
    if not data.startswith(_MAGIC):
        return "it is not an engine that hrd has written"
    start = len(_MAGIC) + _LENGTH.size
    if len(data) < start:
        return "it is truncated"
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    if length > _MAX_HEADER_BYTES or len(data) < start + length:
        return "it is truncated"
    try:
        header = json.loads(data[start : start + length].decode())
        found_key, facts = header["key"], header["facts"]
        size, digest = header["bytes"], header["sha256"]
    except (ValueError, KeyError, TypeError):
        return "its header cannot be read"
    if found_key != asdict(key) or not isinstance(facts, dict):
        return "it was built for another model, TensorRT, GPU or chunk"
    payload = data[start + length :]
    if len(payload) != size:
        return "it is truncated"
    if hashlib.sha256(payload).hexdigest() != digest:
        return "its checksum is wrong"
    return Stored(payload, facts)
