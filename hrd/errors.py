"""Errors that a user sees: one plain sentence each, saying what is wrong and what to do."""

from __future__ import annotations

import enum
from typing import Optional


class Kind(enum.Enum):
    """What kind of failure it is, for whoever decides what to do next."""

    FAILED = "failed"
    """Trying again may help; the default."""
    ABSENT = "absent"
    """Something that is needed is not here, and trying again would not bring it."""
    MEMORY = "memory"
    """For lack of memory."""
    ENGINE = "engine"
    """A built engine that cannot be used."""
    USAGE = "usage"
    """The command line or the configuration is invalid; the CLI exits with 2."""


class HrdError(Exception):
    """A run-time failure with a message fit for a user; the CLI prints it and exits with 1.

    ``kind``: of the class, or of this one error where it says so.
    """

    kind = Kind.FAILED

    def __init__(self, message: str = "", kind: Optional[Kind] = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class UsageError(HrdError):
    """A command line or config that is invalid; the CLI prints it and exits with 2."""

    kind = Kind.USAGE
