"""Files and compressed streams that are read no further than what they hold allows."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO

UNPACKED_BYTES, UNPACKED_RATIO = 2**28, 200  # a file may unpack to 256 MiB, or to so many times its own size

_UNPACKERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}  # by the first bytes
_PIECE = 2**20  # bytes in memory at a time


def require_file(path: str | os.PathLike) -> Path:
    """`path` as a Path, if it is a regular file, else a FileNotFoundError: pipes and devices may never end."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file.")
    return path


def check_unpacked(n_bytes: int, stored: int, name: object) -> None:
    """Refuse what unpacks to more than 256 MiB and more than 200 times what is `stored`."""
    if n_bytes > max(UNPACKED_BYTES, UNPACKED_RATIO * stored):
        raise ValueError(
            f"{name} unpacks from {stored} bytes to {n_bytes} or more; expected at most {UNPACKED_BYTES}, or "
            f"{UNPACKED_RATIO} times as many. If it is genuine, unpack it with a program of its own."
        )


@contextmanager
def unpacked(source: str | os.PathLike | bytes | IO[bytes], name: object) -> Iterator[Unpacked]:
    """Give the bytes of a file, open or not, or of `source` itself, as a stream; gzip and bzip2 are unpacked.

    Errors within say that `name` is damaged if the compressed stream is, or unpacks to too much.
    """
    with _opened(source) as file:
        magic = file.read(2)
        stored = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            stream = _UNPACKERS[magic](file) if magic in _UNPACKERS else file  # type: ignore[operator]
            yield Unpacked(stream, stored, name)
        except (EOFError, zlib.error, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise  # of the disk
            raise ValueError(f"{name} is damaged or cut off: {error}. Get it again.") from error


def _opened(source) -> AbstractContextManager[IO[bytes]]:
    if isinstance(source, bytes):
        return BytesIO(source)
    if hasattr(source, "read"):
        source.seek(0)
        return nullcontext(source)
    return require_file(source).open("rb")


class Unpacked:
    """A stream that is read forwards; `stored` are its bytes on the disk, and errors call it `name`."""

    def __init__(self, stream, stored: int, name: object):
        self._stream, self._stored, self._name, self._place = stream, stored, name, 0
        self.is_packed = isinstance(stream, gzip.GzipFile | bz2.BZ2File)

    def read(self, n: int = -1) -> bytes:
        """`n` bytes, or fewer if it ends before; all for -1."""
        return b"".join(self._pieces(n))

    def skip(self, n: int) -> int:
        """Go on by `n` bytes; returns how many there were."""
        if self.is_packed:
            return sum(map(len, self._pieces(n)))
        n = max(0, min(n, self._stored - self._place))
        self._place = self._stream.seek(self._place + n)
        return n

    def _pieces(self, n: int) -> Iterator[bytes]:
        while n and (piece := self._stream.read(_PIECE if n < 0 else min(n, _PIECE))):
            self._place += len(piece)
            check_unpacked(self._place, self._stored, self._name)
            yield piece
            n = n if n < 0 else n - len(piece)
