"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's malloc.h; see mallopt(3)


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """While this lasts, glibc's allocator keeps what is freed instead of giving it back to the system.

    Otherwise a step's large tensors are new pages each time, which the system fills with zeros one by one: on a small
    network that takes as long as computing. Afterwards what is free is given back. Without glibc it does nothing.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, 65536)  # glibc's own, and the two thresholds where it would raise them to at most
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_TRIM_THRESHOLD, 64 << 20)
        libc.malloc_trim(0)
