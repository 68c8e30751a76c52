"""How much memory a process uses, and how to give back what it does not need."""

from __future__ import annotations

import ctypes
import gc
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


def settle() -> None:
    """Call once when a process has loaded what it needs for good.

    What is loaded by now stays, and is no longer searched for garbage (a tenth of the capture
    process's time); memory that starting left free goes back to the system (glibc only).
    """
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Give memory that is free back to the system (glibc only); about a millisecond."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        pass  # another C library
