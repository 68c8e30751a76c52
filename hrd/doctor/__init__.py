"""``hrd doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

from typing import Callable, Iterator, List, Tuple

from hrd.config import Config
from hrd.doctor import camera, machine, service, software, watching
from hrd.doctor.finding import Finding, Verdict
from hrd.errors import HrdError
from hrd.missing import explain

__all__ = ["Finding", "Verdict", "examine", "examine_camera"]

Check = Callable[[Config], List[Finding]]

CHECKS: Tuple[Tuple[str, Check], ...] = (
    ("python", software.python),
    ("packages", software.packages),
    ("opencv", software.opencv),
    ("face", software.face),
    ("models", software.models),
    ("engine", software.engine),
    ("gpu", software.gpu),
    ("camera", camera.cameras),
    ("gstreamer", camera.gstreamer),
    ("power", machine.power),
    ("clocks", machine.clocks),
    ("memory", machine.memory),
    ("disk", machine.disk),
    ("groups", service.groups),
    ("socket", service.socket_file),
    ("service", service.unit),
    ("daemon", service.daemon),
)


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything, one finding after another. Never raises: a fault is a finding."""
    yield from _examine(CHECKS, config)


def examine_camera(config: Config) -> Iterator[Finding]:
    """Watch the chosen camera for ten seconds, as ``hrd doctor --camera`` does. Never raises."""
    yield from _examine((("camera", watching.chosen_camera),), config)


def _examine(checks: Tuple[Tuple[str, Check], ...], config: Config) -> Iterator[Finding]:
    for topic, check in checks:
        try:
            yield from check(config)
        except HrdError as error:
            yield Finding(topic, Verdict.FAIL, str(error))
        except ImportError as error:
            what, remedy = explain(error)
            yield Finding(topic, Verdict.FAIL, what, remedy)
        except Exception as error:  # a check that breaks must not hide the ones after it
            yield Finding(topic, Verdict.FAIL, f"cannot be checked: {error!r}")
