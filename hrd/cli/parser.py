"""The argument parser: argparse with suggestions, and the usage of the command at hand."""

from __future__ import annotations

import argparse
from typing import Any, Callable, ClassVar, Iterable, List, NoReturn, Optional, Sequence, Tuple

from hrd.cli.shown import without_secrets


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)``, or nothing where no known word is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""


class Parser(argparse.ArgumentParser):
    """Complains about an unknown argument itself, so that the usage shown is that of the
    subcommand at hand and not of ``hrd``, and suggests what may have been meant.

    ``late_epilog``: gives the epilog when it is needed, where making it takes a while.
    """

    late_epilog: Optional[Callable[[], str]] = None
    words: ClassVar[Sequence[str]] = ()
    """The command line, so that no secret in it is repeated in a complaint."""

    def error(self, message: str) -> NoReturn:
        super().error(without_secrets(message, self.words))

    def format_help(self) -> str:
        if self.late_epilog is not None:
            self.epilog = self.late_epilog()
        return super().format_help()

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> Tuple[argparse.Namespace, List[str]]:
        namespace, extra = super().parse_known_args(args, namespace)
        if extra and not any(word.startswith("-") for word in extra):
            extra = self._taken_by_a_list(namespace, extra)
        if extra:
            self._unknown(extra)
        return namespace, extra

    def _taken_by_a_list(self, namespace: argparse.Namespace, extra: List[str]) -> List[str]:
        """FILE --csv OUT FILE: argparse gives a list what stands together only."""
        for action in self._get_positional_actions():
            if action.nargs in ("+", "*") and action.type is None and action.choices is None:
                setattr(namespace, action.dest, [*getattr(namespace, action.dest), *extra])
                return []
        return extra

    def _unknown(self, extra: List[str]) -> NoReturn:
        flags = [word.partition("=")[0] for word in extra if word.startswith("-")]
        if flags:
            hint = did_you_mean(flags[0], self._option_string_actions)
            self.error(f"unknown option {flags[0]}{hint}; see {self.prog} --help")
        self.error(f"one argument too many: {extra[0]}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):
            what = (action.metavar or "command").lower()  # type: ignore[union-attr]
            raise argparse.ArgumentError(
                None, f"unknown {what} {value!r}{hint}; {self.prog} --help lists them"
            )
        raise argparse.ArgumentError(action, f"{value!r} is not one of {', '.join(choices)}{hint}")


def first_word(argv: List[str], known: Iterable[str]) -> Optional[str]:
    """The command that is asked for, if it is one."""
    return argv[0] if argv and argv[0] in known else None
