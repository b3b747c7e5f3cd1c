"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | os.PathLike, *, sync: bool = False) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` once it is written.

    Until then, and for good if writing fails, `path` is as it was. The file is written in a hidden folder beside
    `path`, since a file can be renamed within one disk only, and under its own name, from whose ending some writers
    tell the format.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace; its folder exists.
    sync : bool, default=False
        Whether to wait until the bytes are on the disk, so that a power failure leaves no empty file.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_whole(folder / "numbers.txt") as path:
    ...     _ = path.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=".galestim-", dir=path.parent) as folder:
        finished = Path(folder, path.name)
        yield finished
        if sync:
            with finished.open("rb") as stream:
                os.fsync(stream.fileno())
        os.replace(finished, path)
