"""Identifiers of galaxies as text, the same for catalogs and for images that are looked up by name."""

from __future__ import annotations

import re
import warnings

import numpy as np

from ._masked import cells_of
from ._tables import series_column

_MISSING = "NoneType", "NAType", "NaTType", "MaskedConstant"
_FLOAT = re.compile(r"\d+\.\d*([eE]\+?\d+)?|\d+[eE]\+?\d+")


def identifiers(values, what: str = "object_id") -> list[str]:
    """Names as text: bytes decoded, padding removed, numbers without a decimal point; empty where there is none.

    `values` are text, bytes, integers, or floats, which data frames make of integers with gaps. It warns of floats so
    large that neighboring integers are one float; `what` is what the warning calls them.
    """
    values = series_column(values)
    cells, dtype = cells_of(values), getattr(values, "dtype", None)
    exact = 2.0 ** (np.finfo(dtype).nmant + 1) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 2.0**53
    rounded = [row for row, cell in enumerate(cells) if _float(cell) >= exact]
    if rounded:
        warnings.warn(
            f"{what} holds {len(rounded)} numbers that may be rounded, the first in row {rounded[0]}: floats from "
            f"{exact:.0f} on leave out integers, so that a galaxy may have another's name. Read the column as text "
            'or as integers, such as dtype={"objID": "Int64"} in pandas.',
            stacklevel=2,
        )
    return [_text(cell) for cell in cells]


def _float(cell) -> float:
    """Size of a number that is a float, or text of one; 0 for all else."""
    is_number = isinstance(cell, float | np.floating) or (isinstance(cell, str) and _FLOAT.fullmatch(cell.strip()))
    size = abs(float(cell)) if is_number else 0.0
    return size if np.isfinite(size) else 0.0


def _text(cell) -> str:
    if type(cell).__name__ in _MISSING or cell != cell:
        return ""
    if isinstance(cell, float | np.floating) and cell.is_integer():
        return str(int(cell))
    return (cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else str(cell)).strip(" \t\r\n\0")
