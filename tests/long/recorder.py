"""Who listens to a daemon while it is mistreated, and the table of what was heard."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

from tests.socket_help import VALIDATOR

Message = Dict[str, Any]

TRUE_BPM = 72.0
WITHIN_BPM = 5.0


@dataclass(frozen=True)
class Heard:
    """A message and when it came (``time.monotonic()``)."""

    at_s: float
    message: Message


class Recorder:
    """Reads a daemon's socket in a thread, and connects again whenever it is cut off."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._heard: List[Heard] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def since(self, from_s: float, to_s: float = float("inf")) -> List[Heard]:
        """The readings that came in that time."""
        with self._changed:
            return [
                heard
                for heard in self._heard
                if heard.message["class"] == "HR" and from_s <= heard.at_s <= to_s
            ]

    def wait(
        self, wanted: Callable[[Message], bool], from_s: float, what: str, patience_s: float = 90.0
    ) -> Heard:
        """The first wanted message from ``from_s`` on; fails if it does not come."""
        deadline_s = time.monotonic() + patience_s
        with self._changed:
            while True:
                for heard in self._heard:
                    if heard.at_s >= from_s and wanted(heard.message):
                        return heard
                assert self._changed.wait(deadline_s - time.monotonic()), (
                    f"still not: {what}; last heard: {[h.message for h in self._heard[-3:]]}"
                )

    def wait_for_bpm(self, from_s: float, count: int = 1, patience_s: float = 90.0) -> Heard:
        """A reading with a bpm; with ``count``, the so manyth."""
        heard = None
        for _ in range(count):
            heard = self.wait(lambda m: "bpm" in m, from_s, "a bpm", patience_s)
            from_s = heard.at_s + 1e-6
        assert heard is not None
        return heard

    def wait_for_state(self, state: str, from_s: float, patience_s: float = 90.0) -> Heard:
        return self.wait(lambda m: m.get("state") == state, from_s, state, patience_s)

    def wrong(self) -> List[Heard]:
        """Every bpm of the whole record that is not the true one."""
        return [
            heard
            for heard in self.since(0.0)
            if "bpm" in heard.message and abs(heard.message["bpm"] - TRUE_BPM) > WITHIN_BPM
        ]

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.settimeout(0.5)
                    client.connect(self._path)
                    self._read(client)
            except OSError:
                pass
            self._stop.wait(0.02)

    def _read(self, client: socket.socket) -> None:
        data = b""
        while not self._stop.is_set():
            try:
                piece = client.recv(65536)
            except socket.timeout:
                continue
            if not piece:
                return
            *lines, data = (data + piece).split(b"\n")
            now_s = time.monotonic()
            heard = [Heard(now_s, json.loads(line)) for line in lines]
            for item in heard:
                VALIDATOR.validate(item.message)
            with self._changed:
                self._heard += heard
                self._changed.notify_all()


@dataclass(frozen=True)
class Row:
    """One fault: what was done, what was published meanwhile, and how long until a bpm again."""

    fault: str
    done: str
    published: str
    recovered_s: Optional[float]


def said(messages: Iterable[Message]) -> str:
    """What was published, in order, each thing once in a row."""
    words: List[str] = []
    for message in messages:
        word = "bpm" if "bpm" in message else f"`{message['state']}`"
        if message.get("reason") not in (None, "NO_FACE", "FILLING_WINDOW", "CAMERA_LOST"):
            word += f" {message['reason']}"
        if not words or words[-1] != word:
            words.append(word)
    return ", ".join(words) if words else "nothing"


def table(rows: List[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| fault | how it is injected | published meanwhile | bpm again after |"]
    lines.append("|---|---|---|---|")
    for row in rows:
        after = "-" if row.recovered_s is None else f"{row.recovered_s:.1f} s"
        lines.append(f"| {row.fault} | {row.done} | {row.published} | {after} |")
    return "\n".join(lines)


def keep(rows: List[Row], name: str) -> str:
    """Write the table to ``build/NAME.md`` and return it."""
    text = table(rows)
    folder = Path(__file__).resolve().parent.parent.parent / "build"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    return text
