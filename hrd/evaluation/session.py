"""One evaluation from start to report."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import hrd
from hrd.errors import UsageError
from hrd.evaluation.layouts import LAYOUTS, find_recordings
from hrd.evaluation.methods import MethodSpec, describe
from hrd.evaluation.metrics import ROUNDS
from hrd.evaluation.recording import BVP, RATE, DataError, Entry
from hrd.evaluation.report import FORMAT, clean
from hrd.evaluation.runner import Job, RecordingResult, run_all
from hrd.evaluation.summary import summarise
from hrd.paths import expand
from hrd.pipeline import PipelineConfig
from hrd.types import TRUTH_S

SIMULATED, TESTSET, PAINTED, FILMS = "simulated", "testset", "painted", "films"


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated: recordings, and what the report says of them."""

    layout: str
    title: str
    entries: List[Entry]
    simulated: bool = False
    facts: Optional[Mapping[str, Any]] = None
    """More for the report, under its own keys."""
    steps_at_s: Optional[Mapping[str, float]] = None
    """Sections in whose recordings the heart rate steps, and when."""


@dataclass(frozen=True)
class Choice:
    """What the command line asks for. None means the layout's own default."""

    layout: str
    where: Optional[str] = None
    limit: Optional[int] = None
    difficulties: Optional[Sequence[str]] = None
    clips: Optional[int] = None
    cache: Optional[str] = None
    recompress: bool = False


def make_plan(choice: Choice) -> Plan:
    """List the recordings. Raises ``DataError`` if there are none, ``UsageError`` if the choice
    cannot be meant."""
    if choice.recompress and choice.layout != FILMS:
        raise UsageError("--recompress is for the layout films only")
    if choice.layout == TESTSET:
        plan = _test_set(choice)
    elif choice.layout == PAINTED:
        plan = _painted(choice)
    else:
        plan = _recordings(choice)
    if choice.limit is None:
        return plan
    if choice.limit < 1:
        raise UsageError(f"--limit {choice.limit} leaves nothing to evaluate")
    return replace(plan, entries=plan.entries[: choice.limit])


def _recordings(choice: Choice) -> Plan:
    from hrd.evaluation import films

    for name, value in (("difficulty", choice.difficulties), ("clips", choice.clips)):
        if value is not None:
            raise UsageError(f"--{name} is for the layouts testset and painted only")
    if choice.where is None:
        raise UsageError(f"{choice.layout} needs the directory that the data set is in")
    folder = expand(choice.where)
    if choice.layout == FILMS:
        entries = films.entries(folder, choice.recompress)
        return Plan(FILMS, f"the films of {folder.name}", entries)
    layout = LAYOUTS[choice.layout]
    entries = find_recordings(layout, folder)
    return Plan(layout.name, layout.title, entries, simulated=layout.name == SIMULATED)


def _test_set(choice: Choice) -> Plan:
    from hrd.evaluation import conditions, testset

    if choice.where is not None:
        raise UsageError("testset is drawn, not read: it takes no directory (see --cache)")
    difficulties = list(choice.difficulties or conditions.DIFFICULTIES)
    clips = choice.clips if choice.clips is not None else 36
    if not 1 <= clips <= conditions.SEEDS_EACH:
        raise UsageError(f"--clips {clips}: from 1 to {conditions.SEEDS_EACH} can be had")
    recipe = testset.recipe()
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    facts = {
        "version": testset.VERSION,
        "recipe_sha256": digest,
        "drawn_by": testset.drawn_by(),
        "clips": clips,
        "seconds": conditions.SECONDS,
        "first_seeds": ", ".join(f"{conditions.FIRST_SEED[name]}" for name in difficulties),
    }
    return Plan(
        TESTSET,
        "hrd's frozen simulated test set",
        testset.entries(difficulties, clips, choice.cache),
        simulated=True,
        facts={"testset": facts},
        steps_at_s={conditions.STEP: conditions.STEP_AT_S},
    )


def _painted(choice: Choice) -> Plan:
    from hrd.evaluation import painted

    if choice.where is None:
        raise UsageError("painted needs the .npz of a colour trace (rgb, t, bvp, bvp_t)")
    if choice.difficulties is not None:
        raise UsageError("--difficulty is for the layout testset only")
    path = expand(choice.where)
    clips = choice.clips if choice.clips is not None else 2
    if clips < 1 or clips > 100:
        raise UsageError(f"--clips {clips}: from 1 to 100 faces of each kind can be had")
    traces = painted.find_traces(path)
    what = traces[0].name
    if len(traces) == 1:
        entries = painted.entries(traces[0], clips, choice.cache)
    else:
        entries = painted.entries_of_all(traces, clips, choice.cache)
        what = f"{len(traces)} traces of {path.name}"
    facts = {
        "version": painted.VERSION,
        "trace": ", ".join(one.name for one in traces),
        "trace_sha256": ", ".join(painted.load_trace(one).sha256 for one in traces),
        "clips": clips,
    }
    return Plan(
        PAINTED,
        f"the real pulse of {what} on drawn faces",
        entries,
        facts={"painted": facts},
    )


def drawn_note(drawn: int, evaluated: int, title: str) -> str:
    """What must be known of a real data set's layout that holds drawn faces."""
    which = "every recording here" if drawn == evaluated else f"{drawn} of {evaluated} recordings"
    return (
        f"{which} was drawn by hrd simulate (a mark in the file says so): these figures are not "
        f"those of {title}, and nobody else's may be set beside them"
    )


def evaluate(
    plan: Plan,
    specs: Sequence[MethodSpec],
    pipeline: PipelineConfig,
    reference: Optional[str] = None,
    detector: str = "auto",
    workers: int = 1,
    rounds: int = ROUNDS,
    notes: Sequence[str] = (),
    on_result: Optional[Callable[[RecordingResult], None]] = None,
    on_frame: Optional[Callable[[], None]] = None,
) -> Tuple[Dict[str, Any], List[RecordingResult]]:
    """Run everything; returns the report (as its JSON holds it) and all rows.

    ``reference`` None: the pulse wave, or the true rate where everything is simulated. Raises
    ``EngineError`` if a method cannot run, ``DataError`` if not a single recording could be
    evaluated.
    """
    methods = {spec.name: describe(spec) for spec in specs}
    if reference is None:
        reference = RATE if plan.layout in (TESTSET, SIMULATED, FILMS) else BVP
    job = Job(tuple(specs), pipeline, reference, detector)
    results: List[RecordingResult] = []
    for result in run_all(plan.entries, job, workers, on_frame):
        results.append(result)
        if on_result is not None:
            on_result(result)
    skipped = [result.problem for result in results if result.problem is not None]
    if len(skipped) == len(results):
        raise DataError(f"none of the {len(results)} recordings could be evaluated: {skipped[0]}")
    drawn = sum(result.drawn for result in results)
    told = list(notes) + [result.note for result in results if result.note is not None]
    if drawn and not plan.simulated:
        told.insert(0, drawn_note(drawn, len(results) - len(skipped), plan.title))
    report: Dict[str, Any] = {
        "format": FORMAT,
        "release": hrd.__version__,
        "layout": plan.layout,
        "title": plan.title,
        "simulated": plan.simulated or drawn == len(results) - len(skipped),
        "recordings": {
            "found": len(results),
            "evaluated": len(results) - len(skipped),
            "left_out": len(skipped),
            **({"drawn": drawn} if drawn else {}),
        },
        "skipped": skipped,
        "notes": told,
        "references": sorted({result.reference for result in results if result.reference}),
        "min_confidence": pipeline.pulse.min_confidence,
        "truth_s": TRUTH_S,
        "bootstrap_rounds": rounds,
        "methods": methods,
        "sections": summarise(
            results,
            [spec.name for spec in specs],
            [spec.name for spec in specs if spec.live],
            pipeline.pulse.min_confidence,
            rounds,
            plan.steps_at_s,
        ),
    }
    report.update(plan.facts or {})
    return clean(report), results
