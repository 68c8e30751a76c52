"""What the daemon writes about itself: fields for the journal, and never too much."""

from __future__ import annotations

import io
import logging
import os
import socket
import struct
import tempfile
from typing import Any, Dict, List

import pytest

from hrd.face.mediapipe_graph import quiet_stderr
from hrd.journal import (
    JournalHandler,
    PrefixFormatter,
    RateLimit,
    entry,
    make_handler,
    priority,
    stream_is_journal,
)
from tests.socket_help import short_directory


def record(msg: str = "hello", level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("hrd.x", level, "/x.py", 7, msg, (), None, "f")
    made.__dict__.update(extra)
    return made


def parse(data: bytes) -> Dict[str, str]:
    """The journal's side of its native protocol."""
    fields: Dict[str, str] = {}
    while data:
        name, separator, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            (length,) = struct.unpack("<Q", rest[:8])
            key, value = name, rest[8 : 8 + length]
            assert rest[8 + length : 9 + length] == b"\n"
            data = rest[9 + length :]
        fields[key.decode()] = value.decode()
    return fields


def test_an_entry_has_its_fields() -> None:
    fields = parse(entry(record(fields={"HRD_STATE": "no_camera"}), "no_camera"))
    assert fields["MESSAGE"] == "no_camera"
    assert fields["PRIORITY"] == "6"
    assert fields["HRD_STATE"] == "no_camera"
    assert fields["LOGGER"] == "hrd.x"
    assert fields["SYSLOG_IDENTIFIER"] == "hrd"


def test_lines_in_a_message_forge_no_field() -> None:
    fields = parse(entry(record(), "one\nPRIORITY=0\ntwo \udcff"))
    assert fields["MESSAGE"] == "one\nPRIORITY=0\ntwo \\udcff"
    assert fields["PRIORITY"] == "6"


def test_the_journal_gets_it() -> None:
    with short_directory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        path = os.path.join(directory, "journal")
        end.bind(path)
        handler = JournalHandler(path)
        handler.handle(record("camera lost", logging.WARNING))
        assert parse(end.recv(65536))["MESSAGE"] == "camera lost"
        handler.close()
        with pytest.raises(OSError, match="No such file"):
            JournalHandler(path + "x")


def test_where_stderr_goes_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryFile("w+") as stream:
        status = os.fstat(stream.fileno())
        here = f"{status.st_dev}:{status.st_ino}"
        assert stream_is_journal(stream, here)
        assert not stream_is_journal(stream, f"{status.st_dev}:{status.st_ino + 1}")
        assert not stream_is_journal(stream, "")
        assert not stream_is_journal(io.StringIO(), here)
        monkeypatch.setenv("JOURNAL_STREAM", here)
        handler = make_handler(stream, journal="/nowhere/socket")  # then journald reads prefixes
        handler.handle(record("two\nlines", logging.ERROR))
        stream.seek(0)
        assert stream.read() == "<3>hrd.x: two\n<3>lines\n"
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not isinstance(make_handler(stream).formatter, PrefixFormatter)


def test_priorities_are_syslogs() -> None:
    assert [priority(level) for level in (10, 20, 30, 40, 50)] == [7, 6, 4, 3, 2]


def test_the_same_line_again_and_again_is_written_now_and_then() -> None:
    now = [0.0]
    limit = RateLimit(burst=3, refill_s=10.0, clock=lambda: now[0])
    written: List[str] = []
    for _ in range(100):  # once a second
        line = record("camera lost")
        if limit.filter(line):
            written.append(line.getMessage())
        now[0] += 1.0
    assert len(written) == 3 + 9
    assert written[:3] == ["camera lost"] * 3
    assert written[-1] == "camera lost (and 9 more like it before)"
    assert limit.filter(record("another line"))  # each kind has its own


def test_debug_is_not_limited_and_nothing_piles_up() -> None:
    limit = RateLimit(burst=1, refill_s=1e9)
    assert all(limit.filter(record("client connected", logging.DEBUG)) for _ in range(50))
    for n in range(2000):
        limit.filter(record(f"line {n}"))
    assert len(limit._kinds) <= 256


def test_no_line_is_lost_while_descriptor_2_is_turned_off(capfd: Any) -> None:
    handler = make_handler()
    try:
        with quiet_stderr():
            os.write(2, b"chatter\n")
            handler.emit(record("a camera is gone"))
    finally:
        handler.close()
    assert capfd.readouterr().err == "INFO hrd.x: a camera is gone\n"
