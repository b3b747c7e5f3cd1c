"""Arrays too large for memory: in a temporary file, which goes with the last view of them, or with the process."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .files import read_whole
from .unpack import require_file

MEMMAP_BYTES = 2**30  # memmap="auto" keeps smaller arrays in memory


def empty_array(shape: tuple[int, ...], dtype: DTypeLike, memmap: bool | str = "auto") -> NDArray:
    """Make an array to be filled: in a temporary file for ``memmap=True``, or above 1 GiB for "auto".

    The file lies where :mod:`tempfile` puts it (``TMPDIR``); too little space there is an OSError.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if memmap is False or (memmap == "auto" and n_bytes <= MEMMAP_BYTES):
        return np.empty(shape, dtype=dtype)
    return temporary_map(shape, dtype, cure="set TMPDIR to a folder on another disk")


def temporary_map(shape: tuple[int, ...], dtype: DTypeLike, cure: str) -> Any:
    """Map a new file where :mod:`tempfile` puts it, which goes with the last view of the array.

    Where the system shows open files (Linux), it loses its name at once, so that it goes with the process, too,
    however that ends. Its number takes the place of the name: by that, joblib's workers open it.
    """
    handle, name = tempfile.mkstemp(prefix="galestim-", suffix=".npy")
    file = Path(name)
    try:
        array: Any = new_map(file, shape, dtype, cure)
    except BaseException:
        os.close(handle)
        file.unlink()
        raise
    array.filename = f"/proc/{os.getpid()}/fd/{handle}"
    if os.path.exists(array.filename):
        file.unlink()
        weakref.finalize(array._mmap, os.close, handle)  # tied to the map, as views outlive the array
    else:
        os.close(handle)
        array.filename = name
        weakref.finalize(array._mmap, _remove, file, os.getpid())
    return array


def new_map(file: Path, shape: tuple[int, ...], dtype: DTypeLike, cure: str) -> np.memmap:
    """Map a new .npy file, whose space is reserved: writing to a map on a full disk would kill the process.

    If the disk has too little, an OSError says so, and `cure`.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(file.parent).free
    short = OSError(
        f"The images take {n_bytes / 2**30:.1f} GiB, but {file.parent} has {free / 2**30:.1f} GiB free; {cure}."
    )
    if n_bytes > free:
        raise short
    try:
        array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        _reserve(file)
    except OSError as error:
        raise short if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else error from None
    return array


def _reserve(file: Path) -> None:
    """Give a sparse file its space on the disk, where there is a way to."""
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # of file systems that cannot
                raise


def mapped(file: str | os.PathLike) -> np.memmap:
    """Map the array of a .npy file of numbers, to be read."""
    file = require_file(file)
    with read_whole(file, "Expected a complete .npy file of numbers."):
        return np.lib.format.open_memmap(file, mode="r")


def read_only(array: np.memmap) -> np.memmap:
    """`array` itself, which neither this process nor a worker of joblib's may change any more."""
    array.flush()
    array.flags.writeable = False
    array.mode = "r"
    return array


def _remove(file: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker must not remove the file of its parent
        file.unlink(missing_ok=True)
