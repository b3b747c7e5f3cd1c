"""Memory that a worker of Dask has freed, kept for its next arrays.

Dask starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``. By that, glibc takes every array of 128 KiB and more anew
from the system, page by page: 88 page faults for each galaxy, which take as long as its image and prediction.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_VARIABLE = "MALLOC_TRIM_THRESHOLD_"


def keep_freed_memory() -> None:
    """Keep up to 64 MiB, and arrays of up to 32 MiB, as glibc comes to do where nothing is set."""
    _set(mmap=2**25, trim=2**26)


def give_freed_memory_back() -> None:
    """Do again what the variable says."""
    _set(mmap=2**17, trim=int(os.environ.get(_VARIABLE, 0)))


def _set(mmap: int, trim: int) -> None:
    """Both thresholds [bytes], where the variable and the C library know of them."""
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and _VARIABLE in os.environ:
        mallopt(_MMAP_THRESHOLD, mmap)
        mallopt(_TRIM_THRESHOLD, trim)
