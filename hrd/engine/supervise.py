"""An engine that outlives its engines: when one fails, the next goes on with the same stream.

Networks look back a fixed number of frames. The newest of them are kept, so that an engine that
takes over is shown them first and then goes on as if it had run all along: nothing of the
stream is lost, and no reading changes. What failed is opened again in a thread of its own, later
and later, and takes over again at the border of two chunks.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from hrd.engine.base import Engine, EngineError
from hrd.engine.network import NetworkEngine
from hrd.errors import Kind
from hrd.normalise import NormaliserState, normalise
from hrd.types import PulseChunk, RoiChunk

logger = logging.getLogger(__name__)

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Waits before what failed is opened again; the last one is repeated."""

_HEALTHY_S = 60.0  # after so long without a failure the waits begin from the first again
_DISAGREES = 0.1  # of the largest sample: an engine that takes over must say about the same
_REST = 10.0  # times what an attempt took, before the next
_JOIN_S = 2.0


@dataclass(frozen=True)
class Level:
    """A kind of engine. ``open``: makes one, ``EngineError`` if it can't; gives up when the event
    is set. ``quick``: it is open so soon that the stream may wait for it."""

    label: str
    open: Callable[[threading.Event], Engine]
    quick: bool = False


class SupervisedEngine(Engine):
    """Runs the best of ``levels`` (best first) that works.

    ``at``: the level that runs first, ``engine``: it, opened. ``standby``: engines of later levels
    that are open and ready. ``failures``: why better levels do not run. ``retry``: the better
    levels that are worth opening again; with ``at_once``, the first try does not wait.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        at: int,
        engine: Engine,
        standby: Dict[int, Engine],
        failures: Dict[int, str],
        retry: Set[int],
        at_once: bool = False,
        retry_s: Sequence[float] = RETRY_S,
    ) -> None:
        self._levels = list(levels)
        self._open: Dict[int, Engine] = {**standby, at: engine}
        self._failures = dict(failures)
        self._retry = set(retry)
        self._retry_s = tuple(retry_s)
        self._attempts = 0
        self._count = 0
        self._next_try_s: Optional[float] = None
        self._failed_s = -np.inf
        self._arrived: List[Tuple[int, Engine]] = []
        self._lock = threading.Lock()  # of _arrived and _thread
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._normaliser = NormaliserState()
        self._history: List[np.ndarray] = []
        self._history_frames = max(
            [e.history_frames for e in self._open.values() if isinstance(e, NetworkEngine)] or [0]
        )
        self._use(at)
        self._current.reset()
        if self._better() and at_once:
            self._start_thread(0.0)

    @property
    def why(self) -> str:
        """Which engine runs, and what became of the better ones; may be asked in any thread."""
        label = self._levels[self._at].label
        parts = [f"{label} (the first choice)" if self._at == 0 else label]
        parts += [
            f"{self._levels[level].label}: {self._failures[level]}"
            for level in range(self._at)
            if level in self._failures
        ]
        next_try_s = self._next_try_s
        if next_try_s is not None and self._better():
            wait_s = max(0.0, next_try_s - time.monotonic())
            parts.append(f"next try in {wait_s:.0f} s" if wait_s > 0 else "trying now")
        if self._count:
            parts.append(f"{self._count} failure{'s' if self._count > 1 else ''} so far")
        return "; ".join(parts)

    @property
    def fallbacks(self) -> int:
        """How often an engine has failed while it ran."""
        return self._count

    @property
    def taking_over(self) -> bool:
        """Whether a better engine is ready to do the next chunk."""
        with self._lock:
            return bool(self._arrived)

    @property
    def current(self) -> Engine:
        """The engine that runs now."""
        return self._current

    def process(self, chunk: RoiChunk) -> PulseChunk:
        """As ``Engine.process``. Raises ``EngineError`` only if no level works any more."""
        frames, self._normaliser = normalise(chunk.crops, chunk.cut, self._normaliser)
        pulse = self._take_over(chunk, frames)
        while pulse is None:
            try:
                pulse = self._pulse(self._current, chunk, frames)
            except EngineError as error:
                self._fall(error)
        self._remember(frames)
        return pulse

    def reset(self) -> None:
        self._normaliser = NormaliserState()
        self._history = []
        self._current.reset()

    def close(self) -> None:
        self._stop.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)
        with self._lock:
            engines = list(self._open.values()) + [engine for _, engine in self._arrived]
            self._arrived = []
        for engine in engines:
            engine.close()

    def _use(self, at: int) -> None:
        self._at = at
        self._current = self._open[at]
        self.info = self._current.info
        self.delay_frames = self._current.delay_frames

    def _better(self) -> List[int]:
        """Levels worth opening again, best first."""
        return [level for level in sorted(self._retry) if level < self._at]

    def _pulse(self, engine: Engine, chunk: RoiChunk, frames: np.ndarray) -> PulseChunk:
        if not isinstance(engine, NetworkEngine):
            return engine.process(chunk)
        bvp = engine.infer(frames)
        if bvp.shape != (len(frames),) or not np.isfinite(bvp).all():
            raise EngineError("it gave samples that are missing or not numbers")
        start_s = chunk.start_s - engine.delay_frames / chunk.fs_hz
        return PulseChunk(start_s=start_s, fs_hz=chunk.fs_hz, bvp=bvp)

    def _remember(self, frames: np.ndarray) -> None:
        """Keep the newest frames, whole chunks of them."""
        self._history.append(frames)
        while len(self._history) > 1 and sum(map(len, self._history[1:])) >= self._history_frames:
            del self._history[0]

    def _catch_up(self, engine: Engine) -> None:
        """Put an engine where the one before it stood."""
        engine.reset()
        if isinstance(engine, NetworkEngine) and self._history:
            self._history_frames = engine.history_frames
            engine.infer(np.concatenate(self._history)[-self._history_frames :])

    def _fall(self, error: EngineError) -> None:
        """Go on with the same level opened anew, where that is quick and was not tried just now,
        or the next that works; ``error`` if there is none."""
        now_s = time.monotonic()
        failed = self._at
        again = self._levels[failed].quick and now_s - self._failed_s > _HEALTHY_S
        if now_s - self._failed_s > _HEALTHY_S:
            self._attempts = 0
        self._failed_s = now_s
        self._count += 1
        self._drop(failed)
        self._failures[failed] = str(error)
        self._retry.add(failed)
        for level in range(failed if again else failed + 1, len(self._levels)):
            if level != failed and level in self._failures and level not in self._open:
                continue  # known not to work; its turn comes with the retries
            try:
                if level not in self._open:
                    self._open[level] = self._levels[level].open(self._stop)
                self._catch_up(self._open[level])
            except EngineError as trouble:
                self._drop(level)
                self._failures[level] = str(trouble)
                continue
            self._use(level)
            logger.warning(
                "engine: %s has failed (%s); going on with %s",
                self._levels[failed].label,
                error,
                "a new one" if level == failed else self._levels[level].label,
            )
            if level == failed:
                self._failures.pop(level)
                self._retry.discard(level)
                return
            wait_s = self._retry_s[min(self._attempts, len(self._retry_s) - 1)]
            self._attempts += 1
            self._start_thread(wait_s)
            return
        raise EngineError(
            f"{self._levels[failed].label} has failed ({error}) and nothing is left to go on with: "
            "use --engine auto, or another --model."
        ) from error

    def _drop(self, level: int) -> None:
        engine = self._open.pop(level, None)
        if engine is not None:
            # a worker may take a moment to end, and the stream must not wait for it
            threading.Thread(target=engine.close, name="hrd-engine-close", daemon=True).start()

    def _take_over(self, chunk: RoiChunk, frames: np.ndarray) -> Optional[PulseChunk]:
        """Let a better engine that has become ready do this chunk; None if there is none."""
        with self._lock:
            if not self._arrived:
                return None
            level, engine = self._arrived.pop(0)
        if level >= self._at:
            engine.close()
            return None
        try:
            self._catch_up(engine)
            pulse = self._pulse(engine, chunk, frames)
            if isinstance(engine, NetworkEngine) and isinstance(self._current, NetworkEngine):
                # two networks are one and the same: they must agree
                old = self._pulse(self._current, chunk, frames)
                difference = np.abs(pulse.bvp - old.bvp).max() / max(np.abs(old.bvp).max(), 1e-9)
                if len(pulse.bvp) and difference > _DISAGREES:
                    raise EngineError(f"it differs by {difference:.2f} from the engine before it")
        except EngineError as error:
            self._count += 1
            self._failures[level] = str(error)
            logger.warning("engine: %s has failed again (%s)", self._levels[level].label, error)
            threading.Thread(target=engine.close, name="hrd-engine-close", daemon=True).start()
            self._start_thread(self._retry_s[min(self._attempts, len(self._retry_s) - 1)])
            self._attempts += 1
            return None
        before = self._levels[self._at].label
        self._open[level] = engine
        self._failures.pop(level, None)
        self._use(level)
        logger.info("engine: %s takes over from %s", self._levels[level].label, before)
        if self._better():
            self._start_thread(self._retry_s[-1])
        else:
            self._next_try_s = None
        return pulse

    def _start_thread(self, wait_s: float) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._next_try_s = time.monotonic() + wait_s
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._reopen, name="hrd-engine", daemon=True)
            self._thread.start()

    def _reopen(self) -> None:
        """Open the best level that can be, however long it takes."""
        while not self._stop.is_set():
            next_try_s = self._next_try_s
            wait_s = 0.0 if next_try_s is None else next_try_s - time.monotonic()
            if wait_s > 0:
                self._stop.wait(wait_s)
                continue
            begin_s = time.monotonic()
            for level in self._better():
                try:
                    engine = self._levels[level].open(self._stop)
                except EngineError as error:
                    if self._stop.is_set():
                        return
                    self._failures[level] = str(error)
                    logger.info(
                        "engine: %s does not work yet: %s", self._levels[level].label, error
                    )
                    if error.kind is Kind.ABSENT:
                        self._retry.discard(level)
                    continue
                with self._lock:
                    self._arrived.append((level, engine))
                    self._thread = None
                return
            with self._lock:
                if not self._better():
                    self._next_try_s = None
                    self._thread = None
                    return
            wait_s = self._retry_s[min(self._attempts, len(self._retry_s) - 1)]
            # a build that fails after minutes is not to be begun again at once
            took_s = time.monotonic() - begin_s
            wait_s = max(wait_s, min(_REST * took_s, self._retry_s[-1]))
            self._attempts += 1
            self._next_try_s = time.monotonic() + wait_s
