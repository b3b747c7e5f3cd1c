"""Catalogs of any library or file as an astropy table."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import numpy as np
from astropy.coordinates import BaseCoordinateFrame, SkyCoord
from astropy.table import QTable, Row, Table

from .._io.files import read_whole
from .._tables import frame_table, listed
from ._claims import check_table
from ._columns import may_be


def as_table(data, object_id: str | None, kwargs: Mapping) -> Table:
    """A table of `data` that may be changed; its columns share memory with `data` only if ``copy=False``."""
    if isinstance(data, str | os.PathLike):
        data = read_table(data, object_id)
    elif isinstance(data, SkyCoord | BaseCoordinateFrame):
        position = SkyCoord(data).icrs
        data = QTable({"ra": np.atleast_1d(position.ra), "dec": np.atleast_1d(position.dec)})
    elif (table := frame_table(data)) is not None:
        data = table
    paths = isinstance(data, list | tuple) and any(isinstance(one, str | os.PathLike) for one in data)
    if paths or (data is not None and not isinstance(data, Table | Row | Mapping | np.ndarray | list | tuple)):
        raise TypeError(
            f"data is {'a list of text' if paths else f'of type {type(data).__name__}'}; expected a data frame, an "
            "astropy Table, a structured array, a SkyCoord, a dict of columns, or the path of a CSV, FITS, Parquet "
            "or VOTable file."
        )
    if isinstance(data, Mapping) and data and all(np.ndim(value) == 0 for value in data.values()):
        data = [data]  # one galaxy
    # A QTable, but not at once of a Table: it would warn of text with a unit, which may be sexagesimal.
    plain = isinstance(data, Table) and not isinstance(data, QTable)
    return (Table if plain else QTable)(data, **kwargs)


def read_table(path, object_id: str | None = None) -> Table:
    """The table of a file; identifiers of a CSV file, in `object_id` and columns of common names, are text."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected the path of a table of galaxies.")
    expected = "Expected a CSV, FITS, Parquet or VOTable file; for any other, pass the table that you read from it."
    with read_whole(path, expected, passed_on=(ImportError, Warning)):
        check_table(path)
        if path.suffix.lower() == ".csv":
            return _read_csv(path, object_id)
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        return Table.read(path)


def _read_csv(path: Path, object_id: str | None) -> Table:
    return read_csv_lines(without_comments(path.read_text(encoding="utf-8-sig").splitlines()), object_id)


def read_csv_lines(lines: list[str], object_id: str | None = None, types: Mapping[str, type] | None = None) -> Table:
    """The table of the lines of a CSV, the header first; its identifiers are text: names, and 00123 keeps its zeros.

    `types` are those of the other columns, where they must not depend on which lines these are.
    """
    header = [name.strip() for name in next(csv.reader(lines), [])]
    if doubles := [name for name, count in Counter(header).items() if count > 1]:
        raise ValueError(f"there is more than one column {listed(doubles)}; rename or remove some")
    ids = [name for name in header if name == object_id or may_be(name, "object_id")]
    return Table.read(lines, format="ascii.csv", converters={**(types or {}), **dict.fromkeys(ids, str)})


def without_comments(lines: list[str]) -> list[str]:
    """The lines from the header on: what begins with # before it is no table, unless it is the header itself."""
    before = list(takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
    lines = lines[len(before) :]
    if not lines:
        raise ValueError("it has no header")
    header = next((line.lstrip("# ") for line in reversed(before) if line.strip()), "")
    first, names = next(csv.reader(lines)), next(csv.reader([header]), [])
    return [header, *lines] if len(names) == len(first) and any(map(_is_number, first)) else lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> Table:
    try:
        table = import_module("pyarrow.parquet").read_table(path)
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow, which is not installed; run: pip install pyarrow") from error
    if b"table_meta_yaml" in (table.schema.metadata or {}):  # astropy wrote it, with units
        return Table.read(path, format="parquet")
    return frame_table(table)
