"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".galestim-"  # of the hidden folders


@contextmanager
def written_whole(path: str | os.PathLike, *, sync: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` once it is written.

    Until then, and for good if writing fails, `path` is as it was. The file is written under its own name, from whose
    ending some writers tell the format, in a hidden folder of its own, which a process that is killed leaves behind.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace; its folder exists.
    sync : bool, default=False
        Whether to wait until the bytes are on the disk, so that a power failure leaves no empty file.
    folder : Path, default=None
        Where the hidden folder is made, on the same disk as `path`; None: beside it.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_whole(folder / "numbers.txt") as path:
    ...     _ = path.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder or path.parent) as own:
        finished = Path(own, path.name)
        yield finished
        if sync:
            with finished.open("rb") as stream:
                os.fsync(stream.fileno())
        os.replace(finished, path)
