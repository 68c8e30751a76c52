"""The file of a built engine: what is not whole and ours is never trusted."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hrd.engine.cache import CacheKey, EngineCache, timing_key
from hrd.engine.worker import framing

KEY = CacheKey("student", "ab" * 32, "8.2.1.8", "NVIDIA Tegra X1", "5.3", "auto", 30)
PLAN = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(str(tmp_path / "cache"))


def stored_path(cache: EngineCache) -> Path:
    assert cache.store(KEY, PLAN, {"precision": "fp16"}).startswith("kept in")
    path = cache.path(KEY)
    assert path is not None
    return path


def test_what_was_stored_comes_back(cache: EngineCache) -> None:
    path = stored_path(cache)
    stored, why = cache.load(KEY)
    assert stored is not None
    assert stored.payload == PLAN
    assert stored.facts == {"precision": "fp16"}
    assert why == f"read from {path}"
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing left beside it
    cache.discard(KEY)
    assert cache.load(KEY) == (None, "not built yet")
    cache.discard(KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "cd" * 32},
        {"tensorrt": "8.2.1.9"},
        {"gpu": "Orin"},
        {"capability": "8.7"},
        {"precision": "fp32"},
        {"chunk_frames": 15},
        {"model": "teacher"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_key_is_another_file_and_a_renamed_one_is_refused(
    cache: EngineCache, change: Any
) -> None:
    path = stored_path(cache)
    other = replace(KEY, **change)
    assert cache.load(other)[0] is None
    other_path = cache.path(other)
    assert other_path is not None
    assert other_path != path
    path.rename(other_path)
    stored, why = cache.load(other)
    assert stored is None
    assert "built for another" in why


def test_every_truncation_and_every_damage_is_noticed(cache: EngineCache) -> None:
    path = stored_path(cache)
    whole = path.read_bytes()
    for size in [*range(0, 700, 13), len(whole) - 1]:
        path.write_bytes(whole[:size])
        stored, why = cache.load(KEY)
        assert stored is None, size
        assert "not used" in why
    for place in [*range(0, 500, 7), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        stored, _ = cache.load(KEY)
        # a changed letter in the facts is all that the checksum does not cover
        assert stored is None or stored.payload == PLAN, place
    path.write_bytes(whole + b"x")
    assert cache.load(KEY)[0] is None


def test_a_file_that_others_may_write_is_not_trusted(cache: EngineCache) -> None:
    path = stored_path(cache)
    path.chmod(0o666)
    stored, why = cache.load(KEY)
    assert stored is None
    assert "others may write" in why
    path.chmod(0o644)
    path.parent.chmod(0o777)
    assert cache.load(KEY)[0] is None
    path.parent.chmod(0o755)
    assert cache.load(KEY)[0] is not None


def test_somebody_elses_file_is_not_trusted(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored_path(cache)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)
    assert "belongs to somebody else" in cache.load(KEY)[1]
    assert cache.load(KEY, to_run=False)[0] is not None  # to be told of it does no harm


def test_a_full_disk_leaves_no_half_file(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = stored_path(cache)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = cache.store(KEY, b"new", {})
    assert said.startswith("not kept")
    assert "No space left" in said
    assert "No space left" in caplog.text
    assert path.read_bytes() == before  # the old one is whole
    assert list(path.parent.iterdir()) == [path]


def test_a_really_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=8k,mode=755 none {small} 2>/dev/null") != 0:
        pytest.skip("no small file system can be mounted here (needs root)")
    try:
        cache = EngineCache(str(small))
        assert "No space left" in cache.store(KEY, os.urandom(100_000), {})
        assert list(small.iterdir()) == []
        os.system(f"mount -o remount,ro {small}")
        assert "Read-only file system" in cache.store(KEY, PLAN, {})
        assert cache.load(KEY) == (None, "not built yet")
    finally:
        os.system(f"umount {small}")


def test_no_folder_is_no_cache() -> None:
    cache = EngineCache("")
    assert cache.store(KEY, PLAN, {}) == "not kept: no cache folder is configured"
    assert cache.load(KEY) == (None, "no cache folder is configured")
    cache.discard(KEY)


def test_timing_is_for_the_gpu_whatever_the_model() -> None:
    other = replace(KEY, model="teacher", model_sha256="cd" * 32, precision="fp32")
    assert timing_key(KEY) == timing_key(other)
    assert timing_key(KEY) != timing_key(replace(KEY, gpu="Orin"))


# The framing of messages.


def test_messages_survive_any_cutting() -> None:
    sent = [(framing.RUN, 1, {"frames": 3}, b"abc"), (framing.RESULT, 65535, {}, b"")]
    data = b"".join(framing.encode(*message) for message in sent)
    for step in (1, 7, 1000):
        decoder = framing.Decoder()
        found = []
        for start in range(0, len(data), step):
            found += decoder.feed(data[start : start + step])
        assert [tuple(message) for message in found] == sent


def test_nonsense_is_noticed_at_once_and_damage_at_the_end() -> None:
    with pytest.raises(framing.FramingError, match="where a message should begin"):
        framing.Decoder().feed(b"H\x00")
    good = framing.encode(framing.RUN, 1, {"frames": 3}, b"abc")
    with pytest.raises(framing.VersionError, match="protocol 9, not 1"):
        framing.Decoder().feed(good[:4] + b"\x09")
    with pytest.raises(framing.FramingError, match="checksum"):
        framing.Decoder().feed(good[:-1] + b"d")
    with pytest.raises(framing.FramingError):
        framing.Decoder().feed(good[:8] + b"\xff\xff\xff\xff" + good[12:])
    assert framing.Decoder().feed(good[:-1]) == []
