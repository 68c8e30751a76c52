"""The configuration as TOML: bare, or with what every key means and where its value came from."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import Any, Dict, List, Mapping

from hrd.config import Config
from hrd.options import Option, Options, options_of

_WIDTH = 98  # of a line of comment


def to_toml(config: Config) -> str:
    """The configuration as TOML that ``load_config`` reads back."""
    return _text(config, _Plain())


def explained(config: Config, origins: Mapping[str, str]) -> str:
    """The same with each key's meaning, unit, allowed values and default as comments.

    ``origins``: where the value of a dotted key came from (``origins_of``), where that is not the
    default.
    """
    return _HEAD + _text(config, _Explained(origins))


_HEAD = """\
# The configuration in force. A file needs only the keys that it changes; hrd reads it from
# /etc/hrd/hrd.toml, or from where --config says.

"""


class _Plain:
    """Says nothing beside the values."""

    def of_table(self, table: Options) -> List[str]:
        return []

    def of_key(self, key: str, known: Option) -> List[str]:
        return []


class _Explained(_Plain):
    def __init__(self, origins: Mapping[str, str]) -> None:
        self._origins = origins
        self._defaults = _flat(dataclasses.asdict(Config()), "")

    def of_table(self, table: Options) -> List[str]:
        summary = " ".join((type(table).__doc__ or "").partition("\n\n")[0].split())
        return _comment(summary)

    def of_key(self, key: str, known: Option) -> List[str]:
        facts = [f"unit: {known.unit}"] if known.unit else []
        facts += [f"allowed: {known.allowed}"] if known.allowed else []
        facts.append(f"default: {_value(self._defaults[key])}")
        facts += [f"set by: {self._origins[key]}"] if key in self._origins else []
        return _comment(known.meaning) + _comment("; ".join(facts))


def _comment(text: str) -> List[str]:
    # a path stays in one piece
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def origins_of(tables: Mapping[str, Any], where: str) -> Dict[str, str]:
    """Every dotted key that nested tables set -> ``where``."""
    return dict.fromkeys(_flat(tables, ""), where)


def _text(config: Config, comments: _Plain) -> str:
    lines: List[str] = []
    _dump(config, "", lines, comments)
    return "\n".join(lines).strip() + "\n"


def _dump(table: Options, prefix: str, lines: List[str], comments: _Plain) -> None:
    known = options_of(table)
    values = {name: getattr(table, name) for name in known}
    values = {name: value for name, value in values.items() if value is not None}
    if values:
        lines += [*comments.of_table(table), f"[{prefix}]"]
        for name, value in values.items():
            lines += comments.of_key(f"{prefix}.{name}", known[name])
            lines.append(f"{name} = {_value(value)}")
        lines.append("")
    for item in dataclasses.fields(table):  # type: ignore[arg-type]
        if item.name not in known:
            inner = f"{prefix}.{item.name}" if prefix else item.name
            _dump(getattr(table, item.name), inner, lines, comments)


def _value(value: object) -> str:
    return json.dumps(value)  # JSON's text, numbers and booleans are TOML's too


def _flat(tables: Mapping[str, Any], prefix: str) -> Dict[str, object]:
    found: Dict[str, object] = {}
    for name, value in tables.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            found.update(_flat(value, key))
        else:
            found[key] = value
    return found
