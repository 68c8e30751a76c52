"""The protocol: which windows of a recording are read, and what is written down about each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from hrd.estimate.spectrum import peak_hz, snr_db
from hrd.evaluation.counting import MARGIN_S, counted_bpm
from hrd.evaluation.recording import RATE, Recording, ReferenceRate, mean_spectrum
from hrd.evaluation.replay import Output, Pass
from hrd.types import MODEL_FS_HZ, TRUTH_S

WHOLE = 0.0
WINDOWS_S = (WHOLE, 10.0, 30.0)
"""Lengths that are read, in seconds; WHOLE stands for the whole video."""

_MIN_COVER = 0.8
_SHORTEST_S = 2.0  # a reference rate needs two seconds: the first readings are held to those


@dataclass(frozen=True)
class WindowRow:
    """One window of one recording as one method read it, without any gate.

    ``bpm``: mean rate of the beats, counted, and so is ``reference_bpm``. ``peak_bpm`` and
    ``peak_reference_bpm``: the spectrum's highest peak, as papers read both (a data set that gives
    rates has no peak; its mean rate stands for it). ``bpm``, ``peak_bpm`` and ``snr_db`` (relative
    to the reference's peak) are None where there was no signal.
    """

    section: str
    method: str
    recording: str
    subject: str
    window_s: float
    start_s: float
    reference_bpm: float
    bpm: Optional[float]
    snr_db: Optional[float]
    peak_reference_bpm: float
    peak_bpm: Optional[float]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveRow:
    """One reading of the live pipeline, before the confidence gate.

    ``bpm`` and ``confidence`` are None where the pipeline refuses for another ``reason``.
    ``reference_bpm`` is None where the reference does not say; ``has_pulse`` False: there is none.
    ``now_bpm``: the rate of the last two seconds, where the data set gives rates.
    """

    section: str
    method: str
    recording: str
    subject: str
    time_s: float
    reference_bpm: Optional[float]
    has_pulse: bool
    bpm: Optional[float]
    confidence: Optional[float]
    reason: Optional[str]
    groups: Mapping[str, str] = field(default_factory=dict)
    now_bpm: Optional[float] = None


def window_rows(
    section: str, recording: Recording, passed: Pass, reference: ReferenceRate
) -> List[WindowRow]:
    """Whole video, and non-overlapping windows from its first frame on. Windows without a
    reference are left out."""
    rows: List[WindowRow] = []
    if not recording.reference.has_pulse:
        return rows
    seconds = passed.end_s - passed.start_s
    for length_s in WINDOWS_S:
        size_s = length_s or seconds
        count = int((seconds + 0.5 / MODEL_FS_HZ) / size_s) if size_s > 0 else 0
        for index in range(count):
            start_s = passed.start_s + index * size_s
            end_s = start_s + size_s
            peak_reference_bpm = reference.bpm(start_s, end_s)
            if peak_reference_bpm is None:
                continue
            # the first and last beat of a wave may leave an edge of the window without a count
            counted = reference.beats_bpm(start_s, end_s)
            reference_bpm = peak_reference_bpm if counted is None else counted
            for method, output in passed.outputs.items():
                read = _read(output, start_s, end_s, peak_reference_bpm)
                rows.append(
                    WindowRow(
                        section=section,
                        method=method,
                        recording=recording.name,
                        subject=recording.subject,
                        window_s=length_s,
                        start_s=start_s - passed.start_s,
                        reference_bpm=reference_bpm,
                        bpm=read.bpm if read else None,
                        snr_db=read.snr_db if read else None,
                        peak_reference_bpm=peak_reference_bpm,
                        peak_bpm=read.peak_bpm if read else None,
                        groups=recording.groups,
                    )
                )
    return rows


class _Window(NamedTuple):
    bpm: float
    peak_bpm: float
    snr_db: float


def _read(
    output: Output, start_s: float, end_s: float, peak_reference_bpm: float
) -> Optional[_Window]:
    """What a window's signal says; None without signal."""
    parts = [part for _, part in output.between(start_s, end_s)]
    covered_s = sum(len(part) for part in parts) / MODEL_FS_HZ
    spectrum = mean_spectrum(parts) if covered_s >= _MIN_COVER * (end_s - start_s) else None
    if spectrum is None:
        return None
    peak_bpm = 60.0 * peak_hz(spectrum)
    wider = output.between(start_s - MARGIN_S, end_s + MARGIN_S)
    bpm = counted_bpm(wider, start_s, end_s, peak_bpm)
    snr = snr_db(spectrum, peak_reference_bpm / 60.0)
    return _Window(peak_bpm if bpm is None else bpm, peak_bpm, snr)


def live_rows(
    section: str,
    recording: Recording,
    passed: Pass,
    reference: ReferenceRate,
    methods: List[str],
) -> List[LiveRow]:
    """The live pipeline's readings, each against the truth: the mean rate of the beats in the
    TRUTH_S before its time, fewer at the start."""
    rows: List[LiveRow] = []
    known: Dict[Tuple[float, float], Optional[float]] = {}

    def rate(start_s: float, end_s: float) -> Optional[float]:
        if not recording.reference.has_pulse:
            return None
        if (start_s, end_s) not in known:
            known[start_s, end_s] = reference.beats_bpm(start_s, end_s)
        return known[start_s, end_s]

    for method in methods:
        for reading in passed.outputs[method].readings:
            start_s = max(passed.start_s, reading.time_s - TRUTH_S)
            end_s = max(reading.time_s, start_s + _SHORTEST_S)
            # two seconds of a wave hold too few beats to read a rate from
            now = reading.bpm is not None and reference.chosen == RATE
            rows.append(
                LiveRow(
                    section=section,
                    method=method,
                    recording=recording.name,
                    subject=recording.subject,
                    time_s=reading.time_s - passed.start_s,
                    reference_bpm=rate(start_s, end_s),
                    has_pulse=recording.reference.has_pulse,
                    bpm=reading.bpm,
                    confidence=reading.confidence,
                    reason=reading.reason.value if reading.reason is not None else None,
                    groups=recording.groups,
                    now_bpm=rate(end_s - _SHORTEST_S, end_s) if now else None,
                )
            )
    return rows
