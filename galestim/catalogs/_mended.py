"""Catalogs of tables in which some rows cannot be read: which ones these are, and why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from ._catalog import Catalog
from ._cells import UNITS, standard
from ._columns import RANGES


def names_of(table: Table, given: Mapping[str, str]) -> dict[str, str]:
    """Columns of the catalog and those of `table` that they are made of, in one order; no row is looked at."""
    return dict(zip(Catalog(table[:0], **given).colnames, table.colnames))


def mended(table: Table, given: Mapping[str, str]) -> tuple[Catalog, dict[int, str]]:
    """A catalog of all rows, and by number those that cannot be read, with the reason; their angles are made 0.

    `given` are the names of columns, as `Catalog` takes them. What is wrong with a whole column is a ValueError.
    """
    names = names_of(table, given)
    broken: dict[int, str] = {}
    table = table.copy(copy_data=True)
    for quantity in UNITS.keys() & names.keys():
        column = table[names[quantity]]
        found = _broken_cells(column, quantity)
        for row, reason in found.items():
            broken.setdefault(row, reason)
            column[row] = "0" if getattr(column, "dtype", np.dtype(float)).kind in "USO" else 0
    return Catalog(table, **given), dict(sorted(broken.items()))


def _broken_cells(column, quantity: str) -> dict[int, str]:
    """Rows that are no angle, or not on the sky, and why."""
    try:
        values = standard(column, quantity).value
    except ValueError as error:  # it names the first of them only
        if len(column) < 2:
            return dict.fromkeys(range(len(column)), str(error).removeprefix("row 0: "))
        half = len(column) // 2
        rest = _broken_cells(column[half:], quantity)
        return _broken_cells(column[:half], quantity) | {half + row: reason for row, reason in rest.items()}
    if quantity not in RANGES:
        return {}
    low, high = RANGES[quantity]
    rows = np.flatnonzero(~((values >= low) & (values <= high)))
    return {int(row): _off_the_sky(quantity, values[row], low, high) for row in rows}


def _off_the_sky(quantity: str, value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return f"{quantity} is missing; expected degrees"
    return f"{quantity}={value:g} is outside [{low}, {high}]; expected degrees"
