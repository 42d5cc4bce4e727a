"""Has glibc keep the memory that was freed, for processes that train.

A step frees the network's maps and asks for as much again. Given back to the kernel, which clears every page before it
lends it anew, maps of more than 32 MB, as those of whole frames are, can cost time (`make bench`: frames_step).
"""

from __future__ import annotations

import ctypes
import sys

_TRIM, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""The numbers of mallopt's settings, as malloc.h has them (https://man7.org/linux/man-pages/man3/mallopt.3.html)."""


def keep_freed_memory() -> None:
    """Has this process keep up to 2 GB of freed memory for itself; does nothing where the C library is no glibc.

    It belongs before the first thread: one that has memory of its own keeps to it.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_MMAP_MAX, 0), (_ARENA_MAX, 1), (_TRIM, 2**31 - 1), (_TOP_PAD, 2**26)):
            mallopt(setting, value)
