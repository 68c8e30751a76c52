"""A run of long tests in which every test was skipped has proved nothing, and says so."""

from __future__ import annotations

import pytest

NOTHING_PROVED = 77  # as automake's: skipped


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or exitstatus != 0:
        return
    if reporter.stats.get("skipped") and not reporter.stats.get("passed"):
        session.exitstatus = NOTHING_PROVED
