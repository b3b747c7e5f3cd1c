"""Columns of a catalog as columns of arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from .._tables import listed
from ..catalogs import Catalog
from ..posteriors import optional_import

POSITION = "ra", "dec"
DEFAULT = "object_id", *POSITION
OWN = "row", "status", "reason", "in_domain", "domain_reason", "weights", "means", "scale_trils", "draws"
"""Columns of the output that are no columns of the catalog."""


def check_columns(columns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Of the `columns` that the output is to have, those that there are among the `names` of the catalog."""
    if isinstance(columns, str):
        raise ValueError(f"columns={columns!r}; expected a sequence of names, such as ({columns!r},).")
    columns = tuple(dict.fromkeys(columns))
    if columns == DEFAULT:  # names are kept if there are any
        return tuple(name for name in columns if name in names)
    if unknown := [name for name in columns if name not in names]:
        raise ValueError(f"columns has {listed(unknown)}; the catalog has {listed(names)}.")
    if taken := [name for name in columns if name in OWN]:
        raise ValueError(f"columns has {listed(taken)}, a name that the output has for another; rename it.")
    return columns


def carried_columns(catalog: Catalog, columns: Sequence[str], off_sky: NDArray[np.bool_]) -> dict[str, tuple]:
    """Each column as an array of arrow, and its unit or None; positions of rows `off_sky` are NaN."""
    carried = {}
    for name in columns:
        array = catalog[name]
        if name in POSITION:
            array = np.where(off_sky, np.nan, array.value) << array.unit
        carried[name] = _arrow_array(array, name)
    return carried


def _arrow_array(column, name: str) -> tuple[Any, str | None]:
    arrow = optional_import("pyarrow", "predict_catalog")
    column = Table([column], names=[name], copy=False)[name]  # plain or masked, with its unit
    if column.ndim != 1 or column.dtype.kind not in "biufUSO":
        raise ValueError(
            f"the column {name!r} is of {column.dtype} and shape {column.shape[1:]}; expected one number or text in "
            "each row."
        )
    unit = None if column.unit is None else column.unit.to_string()
    mask, values = np.ma.getmaskarray(column), np.ma.getdata(column)
    if column.dtype.kind in "USO":
        texts = [None if hidden else _text(cell) for cell, hidden in zip(values.tolist(), mask)]
        return arrow.array(texts, "string"), unit
    return arrow.array(values.astype(values.dtype.newbyteorder("=")), mask=mask), unit


def _text(cell) -> str | None:
    return None if cell is None else cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
