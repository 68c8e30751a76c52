"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Dict

from hrd.choices import DETECTORS, ENGINES, LEVELS

if TYPE_CHECKING:  # loaded by the commands that read it, when they run
    from hrd.config import Config

_FLAGS = {
    "engine.name": "engine",
    "engine.model": "model",
    "face.detector": "detector",
    "source.spec": "source",
    "source.loop": "loop",
    "source.capture.file_fps": "fps",
    "source.capture.stream": "stream",
    "socket.path": "socket",
    "log.level": "log_level",
}
"""Key of the configuration -> the flag that sets it, as argparse names it."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --log-level."""
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file (default: /etc/hrd/hrd.toml if there is one)"
    )
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        help="what is told on stderr (default: warning; the daemon: info)",
    )


def add_source_option(parser: argparse.ArgumentParser) -> None:
    """--source: where the frames come from."""
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help=(
            "/dev/video0, csi://0, rtsp://..., http://..., a video file (played at its own speed), "
            "sim:bpm=72 (simulated camera), or auto (default): the first camera, else the "
            "simulated one; every form and option: hrd help sources"
        ),
    )


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """--fps and --stream: wherever video files are read."""
    parser.add_argument(
        "--fps",
        type=float,
        metavar="RATE",
        help="pictures a second, for files and folders without times of their own",
    )
    parser.add_argument(
        "--stream",
        type=int,
        metavar="N",
        help="which stream of a file with several films (default: the longest and largest)",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """--engine, --model and --detector: wherever frames are read."""
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what computes the pulse signal (default: auto, the best that works here)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="student (default), teacher, or the path of an ONNX file from hrd export",
    )
    parser.add_argument(
        "--detector",
        choices=DETECTORS,
        help="what finds the face (default: auto, BlazeFace where ONNX Runtime is)",
    )


def effective_config(args: argparse.Namespace) -> Config:
    """File and flags together; ``UsageError`` if they are invalid."""
    from hrd.config import load_config, override

    return override(load_config(args.config), _flags(args))


def origins(args: argparse.Namespace) -> Dict[str, str]:
    """Where the value of each key came from that is not the default's: file or command line."""
    from hrd.config import COMMAND_LINE, config_path, read_table
    from hrd.config_text import origins_of

    found: Dict[str, str] = {}
    path = config_path(args.config)
    if path is not None:
        found.update(origins_of(read_table(path), str(path)))
    set_here = {key for key, value in _flags(args).items() if value is not None}
    found.update(dict.fromkeys(set_here, COMMAND_LINE))
    return found


def _flags(args: argparse.Namespace) -> Dict[str, Any]:
    values = {key: getattr(args, name, None) for key, name in _FLAGS.items()}
    values["source.loop"] = values["source.loop"] or None  # not given is not False
    return values


def set_up_logging(level: str, limited: bool = False) -> None:
    """Plain lines on stderr; entries with fields where that is systemd's journal.

    ``limited``: leave out what is said again and again, as suits a daemon.
    """
    import logging

    from hrd.journal import RateLimit, make_handler

    handler = make_handler()
    if limited:
        handler.addFilter(RateLimit())
    logging.basicConfig(level=getattr(logging, level.upper()), handlers=[handler], force=True)
