"""Tables on disk or in memory, of which some rows at a time are read.

Each kind is one class: `open` looks at the whole once, and `rows` reads from one row to another. They are pickled to
workers, and refuse to read a file that changed since it was looked at.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from astropy.io import fits
from astropy.table import Table

from .._tables import frame_table
from ..posteriors import optional_import


@dataclass(frozen=True)
class Stamp:
    """Name of a file, its size and when it was written."""

    path: Path
    n_bytes: int
    written: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        state = path.stat()
        return cls(path, state.st_size, state.st_mtime_ns)

    def check(self) -> None:
        """Raise if the file is another than it was."""
        if not self.path.exists() or Stamp.of(self.path) != self:
            raise ValueError(f"{self.path} has changed since this run began; begin again, in another folder.")

    def digest(self) -> str:
        """SHA-256 of what the file holds."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


class Rows(ABC):
    """Rows of a table; `n_rows` is their number."""

    n_rows: int

    @abstractmethod
    def rows(self, start: int, stop: int) -> Table:
        """Read rows `start` to `stop`; of equal ones, an empty table with all columns."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What tells this table from others, for JSON."""

    def part(self, start: int, stop: int) -> tuple[Rows, int, int]:
        """What a worker needs to read rows `start` to `stop`."""
        return self, start, stop

    def only(self, names: list[str]) -> Rows:
        """Read only these columns from now on, where that saves time."""
        return self


@dataclass(frozen=True, eq=False)
class MemoryRows(Rows):
    """Rows of a table in memory."""

    table: Table

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        return len(self.table)

    def rows(self, start, stop):
        return self.table[start:stop]

    def part(self, start, stop):
        return MemoryRows(self.table[start:stop]), 0, stop - start

    def fingerprint(self):
        cells = {name: (str(col.dtype), str(getattr(col, "unit", ""))) for name, col in self.table.columns.items()}
        values = [np.ma.MaskedArray(getattr(col, "value", col)) for col in self.table.itercols()]
        plain = [
            (value.filled().tolist() if value.dtype.kind == "O" else value.filled(), value.mask) for value in values
        ]
        return {"file": "a table in memory", "rows": self.n_rows, "sha256": joblib.hash((cells, plain), "sha1")}


@dataclass(frozen=True)
class FileRows(Rows):
    """Rows of a file."""

    stamp: Stamp
    n_rows: int

    def fingerprint(self):
        sha256 = self.stamp.digest()
        self.stamp.check()
        return {"file": self.stamp.path.name, "rows": self.n_rows, "sha256": sha256}


@dataclass(frozen=True)
class ParquetRows(FileRows):
    """Rows of a Parquet file, of which the row groups that have them are read, a batch at a time."""

    ends: tuple[int, ...]  # of the row groups
    columns: tuple[str, ...] | None = None

    @classmethod
    def open(cls, path: Path) -> ParquetRows:
        stamp = Stamp.of(path)
        with _parquet_file(path) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        return cls(stamp, sum(sizes), tuple(np.cumsum(sizes).tolist()))

    def rows(self, start, stop):
        self.stamp.check()
        arrow = optional_import("pyarrow", "a .parquet file")
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        with _parquet_file(self.stamp.path) as file:
            schema, found = file.schema_arrow, []
            groups = list(range(first, last + 1)) if stop > start else []
            at = 0 if first == 0 else self.ends[first - 1]
            for batch in file.iter_batches(max(1, stop - start), groups, self.columns) if groups else ():
                found.append(batch.slice(max(0, start - at), max(0, min(stop, at + len(batch)) - max(start, at))))
                at += len(batch)
                if at >= stop:
                    break
        if self.columns is not None:
            schema = arrow.schema([schema.field(name) for name in self.columns], schema.metadata)
        return frame_table(arrow.Table.from_batches(found, schema) if found else schema.empty_table())

    def only(self, names):
        with _parquet_file(self.stamp.path) as file:
            schema = file.schema_arrow
        if b"table_meta_yaml" in (schema.metadata or {}):  # astropy needs all columns that it wrote
            return self
        masks = [name for name in schema.names if name.removesuffix(".mask") in names and name.endswith(".mask")]
        return ParquetRows(self.stamp, self.n_rows, self.ends, tuple(dict.fromkeys([*names, *masks])))


def _parquet_file(path: Path):
    return optional_import("pyarrow.parquet", "a .parquet file").ParquetFile(path)


@dataclass(frozen=True)
class FitsRows(FileRows):
    """Rows of the first table of a FITS file, which is mapped; a compressed one is unpacked whole."""

    hdu: int

    @classmethod
    def open(cls, path: Path) -> FitsRows:
        stamp = Stamp.of(path)
        with fits.open(path, memmap=True) as hdus:
            for number, hdu in enumerate(hdus):
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not isinstance(hdu, fits.CompImageHDU):
                    return cls(stamp, int(hdu.header["NAXIS2"]), number)
        raise ValueError(f"{path} has no table; expected one of galaxies.")

    def rows(self, start, stop):
        self.stamp.check()
        with fits.open(self.stamp.path, memmap=True) as hdus:
            hdu = hdus[self.hdu]
            some = type(hdu)(hdu.data[start:stop], hdu.header)
            return Table.read(some, format="fits").copy()
