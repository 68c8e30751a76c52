"""Options that several commands share."""

from __future__ import annotations

import argparse
import logging

from hrd.config import Config, load_config, override
from hrd.engine.select import CHOICES
from hrd.journal import RateLimit, make_handler


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --log-level."""
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file (default: /etc/hrd/hrd.toml if there is one)"
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="what is told on stderr (default: warning; the daemon: info)",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """--engine, --model and --detector: wherever frames are read."""
    parser.add_argument(
        "--engine",
        choices=CHOICES,
        help="what computes the pulse signal (default: auto, the best that works here)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="student (default), teacher, or the path of an ONNX file from hrd export",
    )
    parser.add_argument(
        "--detector",
        choices=("auto", "mediapipe", "opencv"),
        help="what finds the face (default: auto, MediaPipe if it can be had)",
    )


def effective_config(args: argparse.Namespace) -> Config:
    """File and flags together; ``UsageError`` if they cannot be meant."""
    values = {
        "engine.name": getattr(args, "engine", None),
        "engine.model": getattr(args, "model", None),
        "face.detector": getattr(args, "detector", None),
        "source.spec": getattr(args, "source", None),
        "source.loop": getattr(args, "loop", None) or None,
        "socket.path": getattr(args, "socket", None),
        "log.level": getattr(args, "log_level", None),
    }
    return override(load_config(args.config), values)


def set_up_logging(level: str, limited: bool = False) -> None:
    """Plain lines on stderr; entries with fields where that is systemd's journal.

    ``limited``: leave out what is said again and again, as suits a daemon.
    """
    handler = make_handler()
    if limited:
        handler.addFilter(RateLimit())
    logging.basicConfig(level=getattr(logging, level.upper()), handlers=[handler], force=True)
