"""Settings: what a table of the configuration may hold, each with its meaning and limits.

A table is a frozen dataclass derived from ``Options`` whose fields are made by ``option``: the
default, what it means, its unit and what is allowed stand in one place. ``hrd config`` prints all
of it, and what a file or a flag sets is held to it; code may know better (``hrd bench`` is more
patient than a daemon may be), unless the table says otherwise.

Standard library only, since every command reads the configuration: attrs takes 20 ms to load
here, and its validators would still need the unit, the meaning and the sentence from here.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from hrd.errors import UsageError

_KEY = "option"
_SHOWN_CHARS = 60


@dataclass(frozen=True)
class Option:
    """What is known of one setting. ``low`` and ``high``: least and greatest value of a number;
    ``choices``: the only texts allowed, where there are any."""

    meaning: str
    unit: str = ""
    low: Optional[float] = None
    high: Optional[float] = None
    choices: Tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be set, for a person; empty where anything goes."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None or self.high is None:
            return ""
        return f"{number(self.low)} to {number(self.high)}"

    def check(self, name: str, value: object) -> None:
        """Raise ``UsageError`` in one sentence if ``value`` is not allowed."""
        if self.choices and value not in self.choices:
            raise UsageError(f"{name} must be one of {self.allowed}, not {show(value)}")
        if self.low is None or self.high is None or not isinstance(value, (int, float)):
            return
        if not self.low <= value <= self.high:  # also refuses NaN
            raise UsageError(
                f"{name} must be between {number(self.low)} and {number(self.high)}"
                f"{' ' + self.unit if self.unit else ''}, not {show(value)}"
            )


def option(
    default: Any,
    meaning: str,
    unit: str = "",
    low: Optional[float] = None,
    high: Optional[float] = None,
    choices: Tuple[str, ...] = (),
) -> Any:
    """A field of an ``Options``: its default, and what ``Option`` says of it."""
    known = Option(" ".join(meaning.split()), unit, low, high, choices)
    return dataclasses.field(default=default, metadata={_KEY: known})


def table(kind: Any) -> Any:
    """A field of an ``Options`` that holds another one, with its own defaults."""
    return dataclasses.field(default_factory=kind)


class Options:
    """Base of every table of settings."""

    def check(self) -> None:
        """Raise ``UsageError``, naming the field, for a value that is not allowed."""
        for name, known in options_of(self).items():
            known.check(name, getattr(self, name))


def options_of(kind: Any) -> Mapping[str, Option]:
    """The settings of a table (a class or an instance) by name, without its inner tables."""
    found: Dict[str, Option] = {}
    for item in dataclasses.fields(kind):
        known = item.metadata.get(_KEY)
        if known is not None:
            found[item.name] = known
    return found


def number(value: float) -> str:
    """A limit as a person writes it."""
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0f}"


def show(value: object) -> str:
    """A value as it may be quoted in a message: on one line and not long."""
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        text = "a very long number"
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
