"""Memory settings of a long job."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next step.

    Returning it to the system and faulting it in again took a tenth of every training step (LOG.md, 2026-11-21). Has no
    effect without glibc.
    """
    trim_threshold, mmap_threshold, most_arenas = -1, -3, -8
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 32 * 2**20)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(most_arenas, 1)
