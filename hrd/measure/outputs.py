"""What ``hrd measure`` writes: text, a table, JSON lines, CSV. Each is an ``Output``."""

from __future__ import annotations

import csv
import json
from itertools import zip_longest
from typing import IO, Any, Dict, List, Optional, Sequence

from hrd.capture.address import printable
from hrd.errors import HrdError, UsageError
from hrd.measure.clip import Measurement
from hrd.measure.explained import LEGEND, text_of
from hrd.paths import expand
from hrd.words import REASONS

READING_COLUMNS = ("file", "t_s", "state", "bpm", "confidence", "reason")
SUMMARY_COLUMNS = ("file", "seconds", "fps", "bpm", "confidence", "readings", "tracking", "problem")
PPG_COLUMNS = ("file", "t_s", "bvp")


class Output:
    """Told of every file once it has been measured or refused."""

    needs_pulse = False
    """Whether ``Measurement.pulse`` has to be kept."""

    def add(self, result: Measurement) -> None:
        """A file that was read to its end."""

    def refuse(self, name: str, sentence: str) -> None:
        """A file that could not be read."""

    def close(self) -> None:
        """All files are done, or the rest is given up."""


class Text(Output):
    """Second by second, for people."""

    def add(self, result: Measurement) -> None:
        fps = f", {result.fps:.2f} fps" if result.fps else ""
        engine = result.engine + (f", {result.model}" if result.model else "")
        print(f"{shown(result.file)}: {result.seconds:.1f} s{fps} ({engine})")
        both = zip_longest(result.readings, result.explained)
        for reading, explanation in [] if result.still else both:
            if reading.bpm is not None:
                said = f"{reading.bpm:6.1f} bpm  confidence {reading.confidence:.2f}"
            else:
                assert reading.reason is not None
                why = REASONS[reading.reason.value].short
                said = f"{'-':>6}      {reading.state.value}: {reading.reason.value} ({why})"
            print(f"  {reading.time_s:7.1f} s  {said}")
            if explanation is not None:
                print(text_of(explanation))
        if any(result.explained):
            print(LEGEND)
        if result.bpm is not None:
            print(f"  whole clip: {result.bpm:.1f} bpm, confidence {result.confidence:.2f}")
        else:
            print(f"  whole clip: no bpm; {result.why_no_bpm}")


class Table(Output):
    """A line for each of several files, as soon as it is known, and what they come to."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = max(4, *(min(48, len(name)) for name in names))
        self._bpm: List[float] = []
        self._files = self._refused = 0

    def add(self, result: Measurement) -> None:
        if result.bpm is None:
            said = f"{'-':>6}  {'-':>10}"
        else:
            self._bpm.append(result.bpm)
            said = f"{result.bpm:6.1f}  {result.confidence:10.2f}"
        of = f"{result.tracking} of {len(result.readings)}"
        self._row(result.file, f"{result.seconds:8.1f}  {said}  {of:>12}  {result.why_no_bpm}")

    def refuse(self, name: str, sentence: str) -> None:
        self._refused += 1
        self._row(name, f"{'-':>8}  {'-':>6}  {'-':>10}  {'-':>12}  not measured")

    def close(self) -> None:
        if self._files:
            said = f"{self._files} files, {len(self._bpm)} with a bpm"
            if self._bpm:
                low, high = f"{min(self._bpm):.1f}", f"{max(self._bpm):.1f}"
                said += f": {low}" if low == high else f": from {low} to {high}"
            print(f"{said}, {self._refused} not measured" if self._refused else said)

    def _row(self, name: str, rest: str) -> None:
        if self._files == 0:
            heads = f"{'seconds':>8}  {'bpm':>6}  {'confidence':>10}  {'with a bpm':>12}"
            print(f"{'file':{self._width}}  {heads}")
        self._files += 1
        print(f"{_shortened(shown(name), self._width):{self._width}}  {rest}".rstrip(), flush=True)


class JsonLines(Output):
    """One object per file and line (DESIGN: ``Measurement.as_json``), or ``file`` and ``error``."""

    def __init__(self, pulse: bool) -> None:
        self.needs_pulse = pulse

    def add(self, result: Measurement) -> None:
        content = result.as_json()
        if not self.needs_pulse:
            content.pop("ppg", None)
        self._print(content)

    def refuse(self, name: str, sentence: str) -> None:
        self._print({"file": name, "error": sentence})

    def _print(self, content: Dict[str, Any]) -> None:
        print(json.dumps(content, separators=(",", ":"), allow_nan=False), flush=True)


class _CsvFile(Output):
    def __init__(self, path: str, option: str, columns: Sequence[str]) -> None:
        if not path.lower().endswith(".csv"):
            raise UsageError(f"{option} {printable(path)}: give a name that ends in .csv")
        try:
            self._file: IO[str] = expand(path).open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise HrdError(
                f"{printable(path)} cannot be written ({error.strerror}): "
                f"give {option} another name."
            ) from None
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(columns)

    def close(self) -> None:
        self._file.close()


class ReadingsCsv(_CsvFile):
    """``--csv``: a row for each reading."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "--csv", READING_COLUMNS)

    def add(self, result: Measurement) -> None:
        for reading in result.readings:
            self._rows.writerow(
                (
                    result.file,
                    f"{reading.time_s:.3f}",
                    reading.state.value,
                    _number(reading.bpm, 1),
                    _number(reading.confidence, 3),
                    reading.reason.value if reading.reason is not None else "",
                )
            )
        self._file.flush()


class SummaryCsv(_CsvFile):
    """``--summary``: a row for each file."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "--summary", SUMMARY_COLUMNS)

    def add(self, result: Measurement) -> None:
        rates = (_number(result.fps, 3), _number(result.bpm, 1), _number(result.confidence, 3))
        counts = (len(result.readings), result.tracking)
        row = (result.file, f"{result.seconds:.3f}", *rates, *counts, result.why_no_bpm)
        self._rows.writerow(row)
        self._file.flush()

    def refuse(self, name: str, sentence: str) -> None:
        self._rows.writerow((name, "", "", "", "", "", "", sentence))
        self._file.flush()


class PulseCsv(_CsvFile):
    """``--ppg``: a row for each sample of the waveform, 30 a second."""

    needs_pulse = True

    def __init__(self, path: str) -> None:
        super().__init__(path, "--ppg", PPG_COLUMNS)

    def add(self, result: Measurement) -> None:
        for chunk in result.pulse:
            for k, value in enumerate(chunk.bvp):
                time_s = chunk.start_s + k / chunk.fs_hz
                self._rows.writerow((result.file, f"{time_s:.4f}", f"{float(value):.4f}"))
        self._file.flush()


def shown(name: str) -> str:
    """A file's name for people."""
    return "standard input" if name == "-" else name


def _number(value: Optional[float], digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[-(width - 3) :]
