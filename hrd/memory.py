"""How much memory a process uses."""

from __future__ import annotations

import os
import resource
from typing import Union


def rss_mb(pid: Union[int, str] = "self") -> float:
    """Resident memory of a process (this one) now, in MB (10^6 bytes)."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def peak_rss_mb() -> float:
    """The most resident memory so far, in MB (10^6 bytes)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)
