"""Runs every method over every recording, in this process or in several."""

from __future__ import annotations

import logging
import multiprocessing
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from hrd.drawn_mark import is_drawn
from hrd.engine.base import Engine
from hrd.errors import HrdError
from hrd.evaluation.excerpt import Excerpt, excerpt, worst_window
from hrd.evaluation.methods import MethodSpec
from hrd.evaluation.protocol import LiveRow, WindowRow, live_rows, window_rows
from hrd.evaluation.recording import BVP, Entry, ReferenceRate
from hrd.evaluation.replay import run_methods, track
from hrd.face.detect import FaceDetector, open_detector
from hrd.pipeline import PipelineConfig

logger = logging.getLogger(__name__)

_TOO_SHORT_S = 2.0
_CUT_SHORT_S = 5.0  # pictures that end this much before the reference have been cut off


@dataclass(frozen=True)
class Job:
    """What is done to each recording. ``reference``: ``bvp`` or ``rate``."""

    specs: Tuple[MethodSpec, ...]
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    reference: str = BVP
    detector: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class RecordingResult:
    """One recording's rows; or ``problem``, one sentence on why there are none.

    ``note``: something about it that a reader of the results should know. ``drawn``: it carries
    the mark of a drawn film. ``excerpt``: the ten seconds that the first method reads worst.
    """

    name: str
    section: str
    windows: List[WindowRow] = field(default_factory=list)
    live: List[LiveRow] = field(default_factory=list)
    reference: str = ""
    seconds: float = 0.0
    problem: Optional[str] = None
    note: Optional[str] = None
    drawn: bool = False
    excerpt: Optional[Excerpt] = None


class Evaluator:
    """Holds the engines, and the face detector once a recording needs it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engines: Dict[str, Engine] = {spec.name: spec.open(job.threads) for spec in job.specs}
        self._detector: Optional[FaceDetector] = None

    def evaluate(
        self, entry: Entry, on_frame: Optional[Callable[[], None]] = None
    ) -> RecordingResult:
        """Run all methods over one recording. A bad recording becomes a ``problem``."""
        try:
            return self._evaluate(entry, on_frame)
        except HrdError as error:
            return RecordingResult(entry.name, entry.section, problem=str(error))
        except Exception as error:  # data sets are odd in ways nobody foresaw: one file, not all
            logger.debug("%s", entry.name, exc_info=True)
            why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            problem = f"{entry.name} is not laid out as expected ({why}); copy it again"
            return RecordingResult(entry.name, entry.section, problem=problem)

    def close(self) -> None:
        """Release engines and detector."""
        for engine in self._engines.values():
            engine.close()
        if self._detector is not None:
            self._detector.close()

    def _evaluate(self, entry: Entry, on_frame: Optional[Callable[[], None]]) -> RecordingResult:
        recording = entry.load()
        if recording.tracked is None and self._detector is None:
            self._detector = open_detector(self._job.detector)
        passed = run_methods(
            track(recording, self._detector, self._job.pipeline.tracker),
            self._engines,
            self._job.pipeline.pulse,
            on_frame,
            recording.name,
        )
        reference = ReferenceRate(recording.reference, self._job.reference)
        windows = window_rows(entry.section, recording, passed, reference)
        live_methods = [spec.name for spec in self._job.specs if spec.live]
        live = live_rows(
            entry.section,
            recording,
            passed,
            reference,
            live_methods,
        )
        worst = worst_window(windows, self._job.specs[0].name)
        worst_s = passed.start_s + (worst.start_s if worst is not None else 0.0)
        problem, note = None, None
        if recording.reference.has_pulse and not windows:
            seconds = passed.end_s - passed.start_s
            why = "has no reference for any of its windows"
            if seconds < _TOO_SHORT_S:
                why = f"lasts {seconds:.1f} s only, too short to be evaluated"
            problem = f"{recording.name} {why}; copy it again"
        elif passed.face_share < 0.5:
            note = f"{recording.name}: a face was found in {100 * passed.face_share:.0f} % of it"
        elif reference.end_s - passed.end_s > _CUT_SHORT_S:
            short_s = reference.end_s - passed.end_s
            note = f"{recording.name}: its pictures end {short_s:.0f} s before its reference"
        return RecordingResult(
            name=recording.name,
            section=entry.section,
            windows=windows,
            live=live if problem is None else [],
            reference=reference.chosen if recording.reference.has_pulse else "",
            seconds=passed.end_s - passed.start_s,
            problem=problem,
            note=note,
            drawn=recording.pictures is not None and is_drawn(recording.pictures),
            excerpt=None if worst is None else excerpt(recording.reference, passed, worst_s),
        )


def run_all(
    entries: Sequence[Entry],
    job: Job,
    workers: int = 1,
    on_frame: Optional[Callable[[], None]] = None,
) -> Iterator[RecordingResult]:
    """Results in the order of ``entries``, as they come. Raises ``EngineError`` if a method
    cannot run. ``on_frame`` is called in this process only, so with one worker only."""
    if workers <= 1 or len(entries) < 2:
        evaluator = Evaluator(job)
        try:
            for entry in entries:
                yield evaluator.evaluate(entry, on_frame)
        finally:
            evaluator.close()
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(entries)), _start_worker, (job,)) as pool:
        yield from pool.imap(_work, entries)


_evaluator: Optional[Evaluator] = None


def _start_worker(job: Job) -> None:
    import cv2

    global _evaluator
    cv2.setNumThreads(1)  # the workers are the parallelism
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    _evaluator = Evaluator(job)


def _work(entry: Entry) -> RecordingResult:
    assert _evaluator is not None
    return _evaluator.evaluate(entry)
