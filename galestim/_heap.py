"""Memory that was freed, kept for the next arrays: glibc hands large ones back to the system, and takes them anew.

That is page by page, and takes a third of a training of VGG-16, whose layers are beyond the 32 MiB up to which freed
arrays may stay. Dask starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``, by which arrays of 128 KiB and more are
taken anew: 88 page faults for each galaxy, which take as long as its image and prediction.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
_USUAL = 2**25, 2**26  # what glibc comes to by itself: the largest array that stays, and how much does [bytes]
_LARGEST = 2**30, 2**31 - 1


@contextmanager
def large_arrays_stay() -> Iterator[None]:
    """Keep arrays of up to 1 GiB, up to 2 GiB together, until the block ends; if no variable says what to keep.

    Then what is free goes back to the system.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ)
    if not told:
        _set(*_LARGEST)
    try:
        yield
    finally:
        if not told:
            _set(*_USUAL)
            _of_libc("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Of a process to which ``MALLOC_TRIM_THRESHOLD_`` says otherwise: keep as much as glibc comes to by itself."""
    if _VARIABLE in os.environ:
        _set(*_USUAL)


def give_freed_memory_back() -> None:
    """Do again what the variable says."""
    if _VARIABLE in os.environ:
        _set(mmap=2**17, trim=int(os.environ[_VARIABLE]))


def _set(mmap: int, trim: int) -> None:
    """Both thresholds [bytes]."""
    _of_libc("mallopt", _MMAP_THRESHOLD, mmap)
    _of_libc("mallopt", _TRIM_THRESHOLD, trim)


def _of_libc(name: str, *values: int) -> None:
    """Call a function of the C library, where it has it."""
    if sys.platform == "linux" and (function := getattr(_libc(), name, None)) is not None:
        function(*values)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
