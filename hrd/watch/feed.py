"""A daemon read in threads of its own, for as long as it is looked at."""

from __future__ import annotations

import array
import threading
import time
from typing import Any, Dict, List, Mapping, Optional

from hrd.client import Client, ClientError
from hrd.watch.model import Model

_STATUS_S = 5.0
_FACE_GONE_S = 10.0
_SILENCE_S = 10.0


class Feed:
    """Keeps the models of a daemon up to date: one, or one for each face where it numbers them.

    ``lock`` guards the models. ``ended`` is set at the daemon's end with ``once`` (else it is
    waited for), and when reading has failed for good: then ``error`` says why. ``setup``: the
    set-up view is wanted too, from the start; ``want_setup`` changes that.
    """

    def __init__(self, path: str, once: bool = False, setup: bool = False) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.error: Optional[ClientError] = None
        self.count = 0
        """Readings so far, of whatever face; ``rates_bpm``: their rates, where they had one."""
        self.rates_bpm = array.array("f")
        self._once = once
        self._main = Model(path)
        self._faces: Dict[int, Model] = {}
        self._seen_s: Dict[int, float] = {}
        self._client = Client(path, _SILENCE_S, reconnect=not once, on_lost=self._lost)
        self._setup_client: Optional[Client] = None
        self._stop = threading.Event()
        for task in (self._read, self._ask_status):
            threading.Thread(target=task, name="hrd-feed", daemon=True).start()
        if setup:
            self.want_setup(True)

    def models(self) -> List[Model]:
        """What there is to look at; with ``lock`` held."""
        now_s = time.monotonic()
        for face, seen_s in list(self._seen_s.items()):
            if now_s - seen_s > _FACE_GONE_S:
                del self._seen_s[face], self._faces[face]
        return [self._faces[face] for face in sorted(self._faces)] or [self._main]

    def want_setup(self, wanted: bool) -> None:
        """Begin or end asking for the set-up view."""
        if wanted and self._setup_client is None:
            self._setup_client = Client(self.path, None, reconnect=True)
            threading.Thread(
                target=self._read_setup, args=(self._setup_client,), name="hrd-setup", daemon=True
            ).start()
        elif not wanted and self._setup_client is not None:
            self._setup_client.close()
            self._setup_client = None

    def close(self) -> None:
        """End the threads; may be called twice."""
        self._stop.set()
        self._client.close()
        self.want_setup(False)

    def _read(self) -> None:
        try:
            for message in self._client.messages(ppg=True, features=True):
                self._take(message)
        except ClientError as error:
            if not (self._once and error.passing and self.count):
                self.error = error
        finally:
            self.ended.set()

    def _read_setup(self, client: Client) -> None:
        try:
            for message in client.messages(setup=True):
                if message.get("class") == "SETUP":
                    with self.lock:
                        for model in (self._main, *self._faces.values()):
                            model.take(message, time.monotonic())
        except ClientError:
            return  # the other thread says why

    def _ask_status(self) -> None:
        wait_s = 0.5
        while not self._stop.wait(wait_s):
            wait_s = _STATUS_S
            try:
                status = self._client.status()
            except ClientError:
                continue
            with self.lock:
                for model in (self._main, *self._faces.values()):
                    model.take(status, time.monotonic())

    def _take(self, message: Mapping[str, Any]) -> None:
        now_s = time.monotonic()
        face = message.get("face")
        with self.lock:
            if message.get("class") == "HR":
                self.count += 1
                if isinstance(message.get("bpm"), (int, float)):
                    self.rates_bpm.append(message["bpm"])
            if isinstance(face, int) and not isinstance(face, bool):
                if face not in self._faces:
                    self._faces[face] = Model(f"{self.path} face {face}")
                    self._faces[face].take({"class": "VERSION"}, now_s)
                self._seen_s[face] = now_s
                self._faces[face].take(message, now_s)
            else:
                self._main.take(message, now_s)

    def _lost(self, error: ClientError) -> None:
        with self.lock:
            self._faces.clear()
            self._seen_s.clear()
            self._main.lose("the daemon is gone; waiting for it")
