"""A share of one core for some processes, by a control group of their own (root)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

_MOUNT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_NAME = "hrd-cpu-share"


class CpuShare:
    """``percent``: of one core, all the processes together; None: as much as there is."""

    def __init__(self, pids: List[int]) -> None:
        self._old = (_MOUNT / "cpu" / "cgroup.procs").exists()
        self._group = (_MOUNT / "cpu" if self._old else _MOUNT) / _NAME
        self._group.mkdir(exist_ok=True)
        for pid in pids:
            (self._group / "cgroup.procs").write_text(str(pid))

    @staticmethod
    def why_not() -> Optional[str]:
        """Why there can be no such group here; None where there can."""
        if os.geteuid() != 0:
            return "a share of a core can be given by root only"
        old = _MOUNT / "cpu" / "cpu.cfs_quota_us"
        new = _MOUNT / "cgroup.subtree_control"
        if old.exists() or (new.exists() and "cpu" in new.read_text().split()):
            return None
        return "this machine has no control groups for the processor"

    def set(self, percent: Optional[float]) -> None:
        """From now on."""
        quota_us = None if percent is None else int(percent / 100.0 * _PERIOD_US)
        if self._old:
            (self._group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            limit = "-1" if quota_us is None else str(quota_us)
            (self._group / "cpu.cfs_quota_us").write_text(limit)
        else:
            limit = "max" if quota_us is None else str(quota_us)
            (self._group / "cpu.max").write_text(f"{limit} {_PERIOD_US}")

    def close(self) -> None:
        """Once its processes have ended."""
        self._group.rmdir()
