"""Errors that a user sees: one plain sentence each, saying what is wrong and what to do."""

from __future__ import annotations


class HrdError(Exception):
    """A run-time failure with a message fit for a user; the CLI prints it and exits with 1."""


class UsageError(HrdError):
    """A command line or config that cannot be meant; the CLI prints it and exits with 2."""
