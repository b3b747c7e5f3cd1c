"""The catalog of a survey: files or a table, cut into pieces of a few thousand rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astropy.coordinates import SkyCoord
from astropy.table import Table

from .._io.files import read_whole
from ..catalogs import Catalog, as_table, check_table, read_table
from ._csv import CsvRows
from ._rows import FitsRows, MemoryRows, ParquetRows, Rows

_EXPECTED = "Expected a complete CSV, FITS or Parquet file of galaxies."


@dataclass(frozen=True)
class Piece:
    """Rows of the catalog that become one partition of the output.

    Parameters
    ----------
    number : int
        Of the piece, from 0.
    first : int
        Number in the whole catalog of its first row.
    table : Rows
        What has its rows, from `start` to `stop`.
    """

    number: int
    first: int
    table: Rows
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> Table:
        """Read the rows."""
        return self.table.rows(self.start, self.stop)


def pieces_of(tables: list[Rows], chunk_size: int) -> Iterator[Piece]:
    """Cut tables into pieces of `chunk_size` rows, the last one of each table smaller."""
    number = first = 0
    for table in tables:
        for start in range(0, table.n_rows, chunk_size):
            stop = min(start + chunk_size, table.n_rows)
            yield Piece(number, first, *table.part(start, stop))
            number, first = number + 1, first + stop - start


def n_pieces(tables: list[Rows], chunk_size: int) -> int:
    """Number of these pieces."""
    return sum(-(-table.n_rows // chunk_size) for table in tables)


def tables_of(catalog) -> list[Rows]:
    """The tables that `catalog` is made of: a file, those of a folder, or one in memory."""
    if not isinstance(catalog, str | os.PathLike):
        table = as_table(catalog, None, {})
        if any(isinstance(column, SkyCoord) for column in table.itercols()):
            table = Catalog(table)
        return [MemoryRows(table)]
    path = Path(catalog).expanduser()
    if path.is_dir():
        return [_opened(file) for file in _files_of(path)]
    if not path.exists():
        raise FileNotFoundError(f"{path} is neither a file nor a folder; expected a catalog of galaxies.")
    return [_opened(path)]


def _files_of(folder: Path) -> list[Path]:
    """Parquet files of a folder, of all levels; of a HATS catalog, those of its pixels."""
    folder = _primary(folder)
    is_hats = any((folder / name).is_file() for name in ("hats.properties", "properties"))
    found = folder.rglob("Npix=*.parquet" if is_hats else "*.parquet")
    hidden = ("_", ".")
    files = sorted(
        file for file in found if not any(part.startswith(hidden) for part in file.relative_to(folder).parts)
    )
    if not files:
        raise FileNotFoundError(f"{folder} has no .parquet file; expected a folder of them, or one file.")
    return files


def _primary(folder: Path) -> Path:
    """Of a collection of HATS, the folder of the catalog itself, without the margins beside it."""
    collection = folder / "collection.properties"
    lines = collection.read_text(encoding="utf-8").splitlines() if collection.is_file() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    return folder / told.get("hats_primary_table_url", "")


def _opened(path: Path) -> Rows:
    """Rows of a file, by what it holds."""
    with read_whole(path, _EXPECTED, passed_on=(ImportError, Warning)):
        check_table(path)
        with path.open("rb") as stream:
            head = stream.read(6)
        if head[:4] == b"PAR1":
            return ParquetRows.open(path)
        if head == b"SIMPLE":
            return FitsRows.open(path)
        if path.suffix.lower() == ".csv":
            return CsvRows.open(path)
        return MemoryRows(read_table(path))  # VOTable, ECSV and the like, which are not large
