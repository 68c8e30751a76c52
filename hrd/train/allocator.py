"""Making the C library's allocator fit for training."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Tell glibc's malloc to keep what is freed instead of handing it back to the system.

    A step on the CPU allocates and frees the same gigabyte; fetching it page by page every time
    took four fifths of a student's step. Does nothing where there is no glibc.
    """
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # names of <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 * 2**20)
    mallopt(arena_max, 1)
