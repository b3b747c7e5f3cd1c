"""Checks of a table's file before it is read: its size, and that it refers to nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any
from xml.parsers import expat

from .._io.bounds import COLUMNS, check_fits, check_parquet
from .._io.hdf5 import check_hdf5
from .._io.unpack import Unpacked, check_unpacked, require_file, unpacked

HEAD_BYTES = 2**18  # of text, by when the rows begin; YAML of so many takes seconds
_PIECE = 2**20
_HDF5 = b"\x89HDF\r\n\x1a\n"


def check_table(source: str | os.PathLike | bytes) -> None:
    """Refuse the file of a table that claims more than it holds, or refers to other files or addresses.

    `source` is a file of CSV, ECSV, FITS, HDF5, Parquet or VOTable, told by how it begins, or what it holds.
    """
    path = Path("the table") if isinstance(source, bytes) else require_file(source)
    with unpacked(source, path) as stream:
        head, is_packed = stream.read(HEAD_BYTES), stream.is_packed
    if head.startswith(b"SIMPLE"):
        check_fits(source, path)
    elif head.lstrip(b"\xef\xbb\xbf\xfe\xff\0 \t\r\n").startswith(b"<"):
        with unpacked(source, path) as stream:
            _check_votable(stream, path)
    elif is_packed:
        raise ValueError(f"{path} is compressed; of tables, only FITS and VOTable are read so. Unpack it first.")
    elif isinstance(source, bytes):
        _check_text(head, path)
    elif head.startswith(_HDF5) or path.suffix.lower() in (".h5", ".hdf5"):
        import_module("h5py")
        check_hdf5(path)
    elif head.startswith(b"PAR1"):
        _check_parquet(path)
    else:
        _check_text(head, path)


def _check_parquet(path: Path) -> None:
    with import_module("pyarrow.parquet").ParquetFile(path) as file:
        check_parquet(path, file)
        if any(len(text) > HEAD_BYTES for text in (file.schema_arrow.metadata or {}).values()):
            raise ValueError(f"{path} has more than {HEAD_BYTES} bytes of metadata; expected less.")


def _check_text(head: bytes, path: Path) -> None:
    """Refuse too much before the rows, and too many columns."""
    rest = re.sub(rb"\A(?:\s*#[^\n]*\n)*", b"", head)
    line, end, _ = rest.partition(b"\n")
    if len(head) == HEAD_BYTES and not end:
        raise ValueError(f"{path} has no rows within {HEAD_BYTES} bytes; expected a header of fewer.")
    if line.count(b",") >= COLUMNS:
        raise ValueError(f"{path} has {line.count(b',') + 1} columns; expected at most {COLUMNS}.")


# --- VOTable ---------------------------------------------------------------------------------------------------


def _check_votable(stream: Unpacked, path: Path) -> None:
    """Refuse an address in a VOTable from which astropy would read, and fields or rows beyond its size."""
    scan = _Scan(path)
    parser = expat.ParserCreate()
    parser.StartElementHandler = scan.element
    size = 0
    try:
        for piece in _pieces(stream):
            size += len(piece)
            parser.Parse(piece, False)
    except expat.ExpatError:
        pass  # whoever reads it says so, and comes no further
    for n_bytes in scan.claimed:
        check_unpacked(n_bytes, size, path)


def _pieces(stream: Unpacked) -> Iterator[bytes]:
    return iter(lambda: stream.read(_PIECE), b"")


class _Scan:
    """Elements of a VOTable that say where its data are, and how many."""

    def __init__(self, path: Path):
        self.path = path
        self.claimed: list[int] = []  # bytes of each table
        self._n_rows = 0

    def element(self, name: str, attributes: dict[str, Any]) -> None:
        name = name.rpartition(":")[2].upper()
        if name == "STREAM" and (address := [key for key in attributes if key.lower().endswith("href")]):
            raise ValueError(
                f"{self.path} keeps its data elsewhere, at {attributes[address[0]][:200]!r}; expected a VOTable that "
                "holds them. Get the data, and pass the table that you read from them."
            )
        if name == "TABLE":
            n_rows = attributes.get("nrows", "0").strip()
            self._n_rows = int(n_rows) if re.fullmatch("[0-9]{1,18}", n_rows) else 0
            self.claimed.append(0)
        elif name == "FIELD" and self.claimed:
            size = attributes.get("arraysize", "1")
            sides = re.findall("[0-9]{1,18}", size.rpartition("x")[0] if "*" in size else size)
            self.claimed[-1] += 16 * prod(map(int, sides)) * max(self._n_rows, 256)
