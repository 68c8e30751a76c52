"""``hrd measure``: heart rate of video files."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from hrd.cli.common import (
    add_config_options,
    add_engine_options,
    add_file_options,
    effective_config,
    set_up_logging,
)

if TYPE_CHECKING:
    from hrd.measure.outputs import Output

_DESCRIPTION = """\
Runs the daemon's own pipeline over video files, as fast as it goes. Prints the readings second by
second and the whole clip's heart rate; where hrd is not sure, it prints why instead. Several files,
or a folder of them, become a table.
"""

_EPILOG = """\
examples:
  hrd measure clip.mp4                        second by second
  hrd measure recordings/ --csv readings.csv  every film in a folder and below it
  hrd measure --json clip.mp4 | jq .bpm
  cat clip.mkv | hrd measure -                what can be read from a pipe (mkv, ts, webm, mp4)
  hrd measure clip.mp4 --ppg pulse.csv        the waveform, with its times

--csv     file, t_s, state, bpm, confidence, reason: a row for each reading
--summary file, seconds, fps, bpm, confidence, readings, tracking, problem: a row for each file
--ppg     file, t_s, bvp: a row for each sample, 30 a second; t_s: seconds from the first picture
  pandas:  pd.read_csv("pulse.csv")
  MATLAB:  T = readtable('pulse.csv'); plot(T.t_s, T.bvp)
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "measure",
        help="heart rate of video files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a video file, a folder of them, - (standard input), or sim:seconds=20",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="below each reading what its confidence was made of (also in --json)",
    )
    parser.add_argument("--csv", metavar="FILE", help="every reading, as CSV")
    parser.add_argument("--summary", metavar="FILE", help="a row for each file, as CSV")
    parser.add_argument(
        "--ppg", metavar="FILE", help="the waveform, as CSV; -: in the objects of --json"
    )
    parser.add_argument(
        "--plot", metavar="DIR", help="a picture of each file: its waveform, spectrum and readings"
    )
    add_file_options(parser)
    add_engine_options(parser)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every file; 1 if any could not be read."""
    from hrd.capture.address import shown_address
    from hrd.engine.select import open_engine
    from hrd.errors import HrdError
    from hrd.face.detect import open_detector
    from hrd.measure import measure_file

    set_up_logging(args.log_level or "warning")
    config = effective_config(args)
    films, refused = _films(args.files)
    names = [shown_address(film) for film in films] + [name for name, _ in refused]
    outputs = _outputs(args, names)
    keep_pulse = any(output.needs_pulse for output in outputs)
    detector: Optional[Any] = None
    selection: Optional[Any] = None
    try:
        for name, sentence in refused:
            _refuse(outputs, name, sentence)
        if films:
            engine = config.engine
            hop_frames = config.pipeline().hop_frames
            selection = open_engine(
                engine.name, engine.model, engine.threads, engine.tensorrt, hop_frames
            )
            detector = open_detector(config.face.detector)
        progress = _Progress(films, names, config.source.capture.stream)
        for number, film in enumerate(films):
            assert selection is not None
            assert detector is not None
            progress.begin(number)
            try:
                result = measure_file(
                    film,
                    detector,
                    selection,
                    config,
                    on_frame=progress.frame,
                    keep_pulse=keep_pulse,
                    explain=args.explain,
                )
            except HrdError as error:
                progress.hide()
                refused.append((names[number], str(error)))
                _refuse(outputs, names[number], str(error))
                continue
            progress.hide()
            for output in outputs:
                output.add(result)
        progress.close()
    finally:
        for output in outputs:
            output.close()
        if selection is not None:
            selection.engine.close()
        if detector is not None:
            detector.close()
    return 1 if refused else 0


def _films(arguments: List[str]) -> Tuple[List[str], List[Tuple[str, str]]]:
    """What is to be measured, and the arguments that hold nothing, each with its sentence."""
    from hrd.capture.address import shown_address
    from hrd.capture.source import SourceError
    from hrd.measure.inputs import films_of

    films: List[str] = []
    refused: List[Tuple[str, str]] = []
    for argument in arguments:
        try:
            films += [film for film in films_of(argument) if film not in films]
        except SourceError as error:
            refused.append((shown_address(argument), str(error)))
    return films, refused


def _outputs(args: argparse.Namespace, names: List[str]) -> List[Output]:
    """Who is told of each file. Raises ``UsageError`` for what cannot be together."""
    from hrd.errors import UsageError
    from hrd.measure import outputs

    if args.ppg == "-" and not args.json:
        raise UsageError("--ppg - puts the waveform into the objects of --json: give --json too")
    found: List[Output] = []
    if args.json:
        found.append(outputs.JsonLines(pulse=args.ppg == "-"))
    else:
        several = len(names) > 1 and not args.explain
        found.append(outputs.Table(names) if several else outputs.Text())
    if args.csv is not None:
        found.append(outputs.ReadingsCsv(args.csv))
    if args.summary is not None:
        found.append(outputs.SummaryCsv(args.summary))
    if args.ppg is not None and args.ppg != "-":
        found.append(outputs.PulseCsv(args.ppg))
    if args.plot is not None:
        from hrd.plots.output import Pictures

        found.append(Pictures(args.plot))
    return found


def _refuse(outputs: List[Output], name: str, sentence: str) -> None:
    print(f"hrd: {sentence}", file=sys.stderr)
    for output in outputs:
        output.refuse(name, sentence)


class _Progress:
    """How much of the films has been read, and how long the rest takes; on a terminal only."""

    def __init__(self, films: List[str], names: List[str], stream: Optional[int]) -> None:
        from tqdm import tqdm

        from hrd.measure.inputs import length_s

        self._names = names
        self._count = len(films)
        self._lengths_s = [length_s(film, stream) for film in films] if sys.stderr.isatty() else []
        whole = self._lengths_s and None not in self._lengths_s
        self._bar = tqdm(
            total=round(sum(known or 0.0 for known in self._lengths_s), 1) if whole else None,
            file=sys.stderr,
            disable=None,
            leave=False,
            mininterval=0.5,
            bar_format=(
                "{desc} {percentage:3.0f}% of {total:.0f} s |{bar}| {elapsed}, {remaining} left"
                if whole
                else "{desc} {n:.0f} s read in {elapsed}"
            ),
        )
        self._begin_s = self._now_s = 0.0
        for handler in logging.getLogger().handlers:  # a log line does not run into the bar
            handler.addFilter(self._make_room)

    def begin(self, number: int) -> None:
        """The next film."""
        before = [known or 0.0 for known in self._lengths_s[:number]]
        self._begin_s = sum(before) if before else self._now_s
        of = f"{number + 1} of {self._count}: " if self._count > 1 else ""
        self._bar.set_description_str(f"{of}{self._names[number]}", refresh=True)

    def frame(self, time_s: float) -> None:
        """A picture of the film at hand, ``time_s`` after its first."""
        self._now_s = self._begin_s + time_s
        if self._bar.total is not None:
            self._now_s = min(self._now_s, self._bar.total)
        self._bar.update(self._now_s - self._bar.n)

    def hide(self) -> None:
        """Something is about to be printed."""
        self._bar.clear()

    def close(self) -> None:
        """All films have been read."""
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._make_room)
        self._bar.close()

    def _make_room(self, record: logging.LogRecord) -> bool:
        self._bar.clear()
        return True
