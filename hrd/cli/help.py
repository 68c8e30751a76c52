"""``hrd help``: commands, and what is no command: sources, readings, configuration, exit codes."""

from __future__ import annotations

import argparse
import textwrap
from typing import Callable, Dict, Iterable, List, Tuple

from hrd.errors import UsageError

_WIDTH = 98


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "help",
        help="more about a command or a topic",
        description=(
            "Tells about a command (as its --help does) or about one of these topics: "
            f"{', '.join(TOPICS)}."
        ),
    )
    topic = parser.add_argument("topic", nargs="?", metavar="TOPIC", help="a topic or a command")
    topic.completer = _known  # argcomplete's word for it
    parser.set_defaults(run=run)


def _known(**_: object) -> List[str]:
    from hrd.cli.main import COMMANDS

    return [*TOPICS, *COMMANDS]


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(text_of(args.topic), end="")
    return 0


def text_of(topic: str = "") -> str:
    """The text of a topic or of a command; of all topics' names without one."""
    from hrd.cli.main import COMMANDS, build_parser

    if not topic:
        topics = _table((name, summary) for name, (summary, _) in TOPICS.items())
        return f"{build_parser().format_help()}\ntopics (hrd help TOPIC):\n{topics}"
    if topic in TOPICS:
        summary, text = TOPICS[topic]
        return f"{summary[0].upper()}{summary[1:]}\n\n{text()}"
    if topic in COMMANDS:
        actions = build_parser(topic)._subparsers._group_actions  # type: ignore[union-attr]
        return str(actions[0].choices[topic].format_help())  # type: ignore[index]
    from hrd.cli.parser import did_you_mean

    known = [*TOPICS, *COMMANDS]
    hint = did_you_mean(topic, known)
    raise UsageError(f"no help on {topic!r}{hint}; there is help on {', '.join(known)}")


SOURCES: Tuple[Tuple[str, str], ...] = (
    ("auto", "the first camera; with none, the simulated one (never as a service)"),
    ("/dev/video0", "a USB camera (V4L2); also /dev/v4l/by-id/..., v4l2:///dev/video0"),
    ("csi://0", "a camera on a Jetson's ribbon connector, by its number"),
    ("rtsp://HOST/PATH", "a network camera; also rtsps://; a name and password as USER:PASSWORD@"),
    ("http://HOST/PATH", "a network camera that sends MJPEG; also https://"),
    ("clip.mp4", "a video file, played at its own speed; also file:///home/me/clip.mp4"),
    ("sim:bpm=72", "the simulated camera: a drawn face with a pulse; its options are below"),
)


def sources_text() -> str:
    """Every form of --source, and every option of the simulated camera."""
    from hrd.capture.simulated_options import allowed, describe

    rows = []
    for key, (known, default) in describe().items():
        facts = f"{allowed(key)}; default {default}" if default else allowed(key)
        if facts.startswith(known.meaning.rstrip(".")):
            rows.append((f"{key}=", f"{facts[0].upper()}{facts[1:]}."))
        else:
            rows.append((f"{key}=", f"{known.meaning} {facts[0].upper()}{facts[1:]}."))
    return (
        f"{_table(SOURCES)}\n"
        "options of the simulated camera, sim:KEY=VALUE,KEY=VALUE:\n"
        f"{_table(rows)}\n"
        "example: hrd run --source sim:bpm=60,to=90,ramp=30,motion=typical,quality=80\n"
    )


def _readings() -> str:
    from hrd.types import State
    from hrd.words import REASONS

    rows = [
        (
            f"{State.TRACKING.value}",
            "a bpm, and its confidence: the probability that it is within 5 bpm of the truth",
        )
    ]
    rows += [(f"{why.state.value} {name}", why.remedy) for name, why in REASONS.items()]
    return (
        "hrd never invents a reading: in every state but tracking there is a reason instead of a "
        f"bpm.\n\n{_table(rows)}"
    )


def _config() -> str:
    from hrd.config import Config
    from hrd.config_text import explained

    return (
        "One TOML file: --config FILE, else /etc/hrd/hrd.toml. Flags go over the file. hrd config\n"
        f"prints what is in force; these are the defaults:\n\n{explained(Config(), {})}"
    )


def _exit_codes() -> str:
    return _table(
        (
            ("0", "done; hrd watch also at Ctrl-C"),
            ("1", "a failure, said in one sentence on standard error"),
            ("2", "the command line or the configuration is invalid"),
            ("130", "ended by Ctrl-C"),
        )
    )


def _files() -> str:
    return _table(
        (
            ("/etc/hrd/hrd.toml", "the configuration, read where no --config is given"),
            ("/run/hrd/hrd.sock", "the socket (--socket, [socket] path)"),
            ("/var/cache/hrd", "built TensorRT engines ([engine.tensorrt] cache_dir)"),
            ("OPENBLAS_NUM_THREADS", "environment: threads of NumPy; 1 unless set"),
            ("NO_COLOR", "environment: hrd watch without colours, its line without bold text"),
            (
                "NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, JOURNAL_STREAM",
                "environment: set by systemd for a service",
            ),
        )
    )


TOPICS: Dict[str, Tuple[str, Callable[[], str]]] = {
    "sources": ("what --source takes", sources_text),
    "readings": ("states, and why there is no bpm", _readings),
    "settings": ("every key of the configuration", _config),
    "exit-codes": ("what the exit code says", _exit_codes),
    "files": ("files and environment variables", _files),
}


def _table(rows: Iterable[Tuple[str, str]]) -> str:
    lines: List[str] = []
    rows = list(rows)
    width = min(24, max(len(name) for name, _ in rows)) + 2
    for name, text in rows:
        wrapped = textwrap.wrap(text, _WIDTH - width - 2)
        if len(name) + 2 > width:
            lines.append(f"  {name}")
            name = ""
        lines += [f"  {(name if k == 0 else ''):{width}}{part}" for k, part in enumerate(wrapped)]
    return "\n".join(lines) + "\n"
