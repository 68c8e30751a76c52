"""Nonsense for the protocol and the config (`make fuzz`: a million pieces of it).

Every piece must be understood or refused in one sentence; nothing may be raised that is no
``HrdError``, and no memory or descriptor may be lost. ``tests/test_fuzz.py`` does the same with
fewer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from hrd import protocol
from hrd.config import Config, from_table, load_config, override
from hrd.config_text import to_toml
from hrd.errors import HrdError, UsageError
from hrd.memory import rss_mb
from hrd.protocol import MAX_REQUEST_BYTES, ProtocolError
from hrd.service.lines import LineBuffer
from hrd.service.server import SocketServer
from hrd.status import Status
from tests.socket_help import RawClient, descriptors, hr, short_directory

REQUESTS = (
    b'{"class":"WATCH","ppg":true}',
    b'{"class":"WATCH","enable":false}',
    b'{"class":"POLL"}',
    b'{"class":"STATUS"}',
    '{"class":"WÄTCH","\\ud800":[1e999,-0,NaN]}'.encode(),
)
_ODD = (
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"-" * 30,
    b"9" * 4500,
    b"[" * 2000,
    b'{"a":' * 500,
    b"true",
    b"null",
    b'"',
    b"\r",
    b"\x1b[2J",
    "\u2028".encode(),
)


def mangled(rng: random.Random, data: bytes) -> bytes:
    """A few random changes."""
    piece = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(piece))
        what = rng.randrange(5)
        if what == 0 and piece:
            piece[at % len(piece)] = rng.randrange(256)
        elif what == 1:
            del piece[at : at + rng.randint(1, 12)]
        elif what == 2:
            piece[at:at] = rng.choice(_ODD)
        elif what == 3:
            piece[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        else:
            piece[at:at] = piece[: rng.randint(0, 40)]
    return bytes(piece)


def fuzz_requests(rng: random.Random, count: int) -> int:
    """Requests straight into buffer and parser; how many were understood."""
    understood = 0
    lines = LineBuffer(MAX_REQUEST_BYTES)
    for _ in range(count):
        data = mangled(rng, rng.choice(REQUESTS))
        lines.feed(data + b"\n")
        while True:
            line = lines.take()
            if line is None:
                break
            assert len(line.data) <= MAX_REQUEST_BYTES
            try:
                request = protocol.parse_request(line.data)
            except ProtocolError as error:
                answer = protocol.encode(protocol.error_message(str(error)))
                assert answer.count(b"\n") == 1
                assert len(answer) < 2000
            else:
                understood += 1
                assert request.kind in ("WATCH", "POLL", "STATUS")
    return understood


def fuzz_socket(rng: random.Random, count: int) -> None:
    """Requests over a real socket; after each lot the server must still answer properly."""
    with short_directory() as folder:
        path = os.path.join(folder, "s")
        with SocketServer(path, "fuzz", lambda: Status(uptime_s=1.0), group=None) as server:
            server.publish(hr())
            done = 0
            while done < count:
                with RawClient(path) as client:
                    lot = min(50, count - done)  # whose answers fit into the client's buffer
                    for _ in range(lot):
                        data = mangled(rng, rng.choice(REQUESTS)).replace(b"\n", b" ")
                        client.send(data[:MAX_REQUEST_BYTES] + b"\n")
                    done += lot
                    client.send(b'{"class":"WATCH","enable":false}\n{"class":"STATUS"}\n')
                    status = client.read_until("STATUS")
                    while "uptime_s" not in status:
                        status = client.read_until("STATUS")
            assert server.running


_VALUES: Tuple[Callable[[random.Random], Any], ...] = (
    lambda rng: None,
    lambda rng: rng.random() < 0.5,
    lambda rng: rng.choice((0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 10**5000)),
    lambda rng: rng.choice((0.0, -0.0, 1e-300, 1e308, float("inf"), float("nan"), -1.5)),
    lambda rng: rng.uniform(-1e3, 1e3),
    lambda rng: rng.choice(("", "auto", "always", "onnx", "\0", "\ud800", "x" * 5000, "rtsp://")),
    lambda rng: [rng.random() for _ in range(rng.randint(0, 3))],
    lambda rng: {"a": {"b": 1}},
    lambda rng: {},
    lambda rng: b"bytes",
)


def fuzz_tables(rng: random.Random, count: int) -> int:
    """Configurations as tables; how many were taken."""
    taken = 0
    base = json.dumps(dataclasses.asdict(Config()))
    for _ in range(count):
        table: Dict[str, Any] = json.loads(base)
        for _ in range(rng.randint(1, 3)):
            node: Any = table
            while True:
                key = rng.choice(list(node)) if node else "x"
                if isinstance(node.get(key), dict) and rng.random() < 0.8:
                    node = node[key]
                    continue
                break
            what = rng.randrange(4)
            if what == 0:
                node.pop(key, None)
            elif what == 1:
                node[key + rng.choice(("", "x", ".", " "))] = rng.choice(_VALUES)(rng)
            else:
                node[key] = rng.choice(_VALUES)(rng)
        try:
            from_table(table).pipeline()
            taken += 1
        except UsageError as refusal:
            said = str(refusal)
        else:
            continue
        assert "\n" not in said
        assert len(said) < 1000
    return taken


def fuzz_files(rng: random.Random, count: int) -> int:
    """Configurations as files; how many were taken, and read back the same."""
    taken = 0
    good = to_toml(Config()).encode()
    with tempfile.TemporaryDirectory(prefix="hrd-fuzz") as folder:
        path = Path(folder) / "hrd.toml"
        for _ in range(count):
            start = rng.randrange(len(good))
            piece = good if rng.random() < 0.1 else good[start : start + 200]
            path.write_bytes(mangled(rng, piece))
            try:
                config = load_config(path)
            except UsageError:
                continue
            taken += 1
            path.write_text(to_toml(config), encoding="utf-8", errors="surrogateescape")
            assert load_config(path) == config
    return taken


def fuzz_flags(rng: random.Random, count: int) -> None:
    """Values from the command line."""
    keys = ("engine.name", "engine.model", "source.spec", "socket.path", "log.level")
    config = Config()
    for _ in range(count):
        try:
            override(config, {rng.choice(keys): rng.choice(_VALUES)(rng)})
        except UsageError:
            pass


SHARES: Dict[str, Tuple[Callable[[random.Random, int], object], float]] = {
    "requests": (fuzz_requests, 0.70),
    "requests over the socket": (fuzz_socket, 0.02),
    "config tables": (fuzz_tables, 0.20),
    "config files": (fuzz_files, 0.03),
    "flags": (fuzz_flags, 0.05),
}


def fuzz(count: int, seed: int, say: Callable[[str], object] = print) -> None:
    """All of it. Raises what should not be raised; AssertionError for a leak."""
    rng = random.Random(seed)
    for name, (run, share) in SHARES.items():
        part = max(1, int(count * share))
        run(rng, max(1, part // 10))  # what is made once is made now
        fds, before_mb, began_s = descriptors(), rss_mb(), time.monotonic()
        result = run(rng, part - max(1, part // 10))
        grown_mb = rss_mb() - before_mb
        say(
            f"{name}: {part:,} inputs in {time.monotonic() - began_s:.0f} s, "
            f"{'' if result is None else f'{result:,} understood, '}{grown_mb:+.1f} MB"
        )
        assert descriptors() == fds, f"{name}: descriptors leak"
        assert grown_mb < 5.0, f"{name}: {grown_mb:.1f} MB leak"


def main(argv: List[str]) -> int:
    count = int(argv[0]) if argv else 1_000_000
    seed = int(argv[1]) if len(argv) > 1 else 1
    print(f"{count:,} inputs, seed {seed}")
    try:
        fuzz(count, seed)
    except HrdError as error:
        print(f"raised: {error!r}")
        return 1
    print("no crash, no leak")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
