"""Arrays too large for memory: in a temporary file, which goes when the last view of them does."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MEMMAP_BYTES = 2**30  # memmap="auto" keeps smaller arrays in memory


def empty_array(shape: tuple[int, ...], dtype: DTypeLike, memmap: bool | str = "auto") -> NDArray:
    """Make an array to be filled: in a temporary file for ``memmap=True``, or above 1 GiB for "auto".

    The file lies where :mod:`tempfile` puts it (``TMPDIR``).

    Raises
    ------
    OSError
        If the disk has too little space.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if memmap is False or (memmap == "auto" and n_bytes <= MEMMAP_BYTES):
        return np.empty(shape, dtype=dtype)
    require_space(Path(tempfile.gettempdir()), n_bytes, cure="set TMPDIR to a folder on another disk")
    file = temporary_file()
    try:
        array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    except BaseException:
        file.unlink()
        raise
    remove_with_last_view(file, array)
    return array


def require_space(folder: Path, n_bytes: int, cure: str) -> None:
    """Raise if a file of `n_bytes` does not fit: writing to a map on a full disk kills the process instead."""
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OSError(
            f"The images take {n_bytes / 2**30:.1f} GiB, but {folder} has {free / 2**30:.1f} GiB free; {cure}."
        )


def temporary_file() -> Path:
    """Make an empty file where :mod:`tempfile` puts it."""
    handle, name = tempfile.mkstemp(prefix="galestim-", suffix=".npy")
    os.close(handle)
    return Path(name)


def remove_with_last_view(file: Path, array: Any) -> None:
    """Remove `file` when no view of the map `array` is left; tied to the map, as views outlive the array."""
    weakref.finalize(array._mmap, _remove, file, os.getpid())


def _remove(file: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker must not remove the file of its parent
        file.unlink(missing_ok=True)
