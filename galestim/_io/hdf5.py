"""HDF5 files, looked through in a process of its own before they are opened: damaged ones can hang the HDF5 library.

It then answers to nobody, Ctrl-C included, and at other damage it ends the process. What could be read there, can be
read here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from .unpack import check_unpacked, require_file

CPU_SECONDS, MEMORY_BYTES = 5, 2**32  # for looking through a small file; large ones get more
_CHUNK_SLACK = 2**16  # bytes that a compressed chunk may take beyond what it holds
_SOFT_LINKS = 16  # one behind another, as HDF5 allows
_CHILD = "import sys; from galestim._io.hdf5 import _child; _child(*sys.argv[1:])"


@contextmanager
def opened_hdf5(path: str | os.PathLike, names: tuple[str, ...] = ()) -> Iterator[Any]:
    """Give an HDF5 file to read, once `check_hdf5` has looked through it; damage is a ValueError."""
    import h5py

    check_hdf5(path, names)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read: {error}. Expected a complete HDF5 file.") from error


def check_hdf5(path: str | os.PathLike, names: tuple[str, ...] = ()) -> None:
    """Look through an HDF5 file, in another process: once, until the file changes.

    `names` are the data sets that will be read, if there are such; without them, all are looked at. A ValueError
    says if it is damaged, refers to other files, claims more than it holds, or takes too long to look through.
    """
    path = require_file(path)
    status = path.stat()
    state = status.st_mtime_ns, status.st_size, status.st_ino
    if complaint := _complaint(os.fspath(path.absolute()), state, tuple(names)):
        raise ValueError(
            f"{path} cannot be read: {complaint}. Expected a complete HDF5 file that refers to no other."
        )


@lru_cache(maxsize=1024)
def _complaint(path: str, state: tuple[int, int, int], names: tuple[str, ...]) -> str:
    """The fault of a file; empty if it has none."""
    n_bytes = state[1]
    seconds, memory = CPU_SECONDS + min(n_bytes // 10**6, 60) + n_bytes // 10**7, MEMORY_BYTES + 8 * n_bytes
    command = [sys.executable, "-P", "-c", _CHILD, str(seconds), str(memory), path, *names]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(command, env=environment, capture_output=True, timeout=60 + 6 * seconds, check=False)
    except subprocess.TimeoutExpired:
        return "it takes too long to look through"
    if child.returncode < 0:
        return "it is damaged, so that it would hang or end the process"
    said = child.stdout if child.returncode == 0 else child.stderr
    return " ".join(said.decode(errors="replace").split())[-300:].rstrip(".")


# --- in the other process -----------------------------------------------------------------------------------------


def _child(seconds: str, memory: str, path: str, *names: str) -> None:
    """Print what is wrong with a file, within bounds on time and memory."""
    with suppress(ImportError):  # not on Windows
        import resource

        for limit, value in ((resource.RLIMIT_CPU, int(seconds)), (resource.RLIMIT_AS, int(memory))):
            with suppress(OSError, ValueError):  # there may be a lower one
                resource.setrlimit(limit, (value, value))
    import h5py

    try:
        with h5py.File(path, "r") as file:
            _attributes(file)
            for name in names:
                _follow(file, name)
            if not names:
                _walk(file, set())
    except Exception as error:  # damage shows in many ways
        print(error or type(error).__name__)


def _follow(group, path: str, depth: int = 0):
    """What lies at the end of a path, looked at with all on the way; None if there is nothing."""
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if not hasattr(group, "get") or (group := _item(group, part, depth)) is None:
            return None
    return group


def _walk(group, seen: set) -> None:
    """Look at all that a group holds."""
    for name in group:
        item = _item(group, name)
        if hasattr(item, "get") and (place := hash(item.id)) not in seen:
            seen.add(place)
            _walk(item, seen)


def _item(group, name: str, depth: int = 0):
    """The item of a group, looked at; None if there is none."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.SoftLink):  # to a path within the file
        start = group.file if link.path.startswith("/") else group
        return _follow(start, link.path, depth + 1) if depth < _SOFT_LINKS else None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name!r} is a link to elsewhere; copy what it leads to into the file")
    item = group[name]
    _attributes(item)
    if isinstance(item, h5py.Dataset):
        _dataset(item)
    return item


def _attributes(item) -> None:
    for name in item.attrs:
        with suppress(TypeError):  # of no type that numpy has
            item.attrs[name]


def _dataset(data) -> None:
    """Refuse a data set that lies elsewhere, or claims more than is stored."""
    if data.external or data.is_virtual:
        raise ValueError(f"the data set {data.name!r} lies in other files; copy it into this one")
    try:
        dtype = data.dtype
    except TypeError:  # numpy has none, so that nobody can read it
        return
    if data.shape is None:
        return
    if dtype.hasobject:
        data[()]  # of variable length: each value leads to a place in the file
        return
    check_unpacked(data.nbytes, data.id.get_storage_size(), f"the data set {data.name!r}")
    if data.chunks and data.id.get_create_plist().get_nfilters():
        _chunks(data)


def _chunks(data) -> None:
    """Refuse compressed chunks that unpack to more than they hold."""
    n_bytes = data.dtype.itemsize
    for side in data.chunks:
        n_bytes *= side
    at_most = n_bytes + _CHUNK_SLACK

    def check(chunk) -> None:
        if chunk.size > at_most:
            raise ValueError(f"a chunk of {data.name!r} takes {chunk.size} bytes for {n_bytes}")

    data.id.chunk_iter(check)
