"""Masked arrays as plain ones: NaN where there is no value, never what lies under the mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_of(values) -> NDArray[np.bool_] | None:
    """Mask of an array, column or quantity of numpy or astropy, True for no value; None for what has no mask."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values)
    if _is_nddata(values):
        return None if values.mask is None else np.broadcast_to(values.mask, np.shape(values.data))
    return np.asarray(values.mask) if hasattr(values, "unmasked") else None


def unmasked(values):
    """Numbers of an array, column, quantity or image of astropy, those under its mask too; all else as it is."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getdata(values)
    values = values.data if _is_nddata(values) else getattr(values, "unmasked", values)
    return values.value if hasattr(values, "unit") and hasattr(values, "value") else values


def _is_nddata(values) -> bool:
    return hasattr(values, "mask") and hasattr(values, "uncertainty")


def as_index(rows) -> NDArray:
    """Rows to take, as numpy takes them, but for masks: what a condition does not know is not taken.

    Masked numbers of rows, and more than one dimension, are an IndexError.

    Examples
    --------
    >>> as_index(np.ma.array([True, True, False], mask=[False, True, False]))
    array([ True, False, False])
    """
    mask, index = mask_of(rows), np.asarray(unmasked(rows))
    if index.ndim != 1:
        raise IndexError(f"an index of {index.ndim} dimensions; expected numbers of rows, a slice or a mask of rows.")
    if mask is not None and mask.any():
        if index.dtype != bool:
            raise IndexError(f"the index is masked at {int(np.argmax(mask))}; expected numbers of rows.")
        index = index & ~mask
    return index if index.size else index.astype(np.intp)


def cells_of(values) -> list:
    """The cells of a column, array or sequence as Python objects, None where masked."""
    mask = mask_of(values)
    # not column.tolist(): of masked bytes it has what lies under the mask
    cells = np.asarray(unmasked(values)).tolist() if hasattr(values, "dtype") else list(values)
    return cells if mask is None else [None if gap else cell for gap, cell in zip(mask, cells)]


def without_mask(values):
    """`values` as an array of floats, NaN where masked; as they are if nothing is masked. Lists part by part.

    Examples
    --------
    >>> without_mask(np.ma.array([1, 999], mask=[False, True]))
    array([ 1., nan])
    """
    if isinstance(values, list | tuple) and any(mask_of(item) is not None for item in values):
        return [without_mask(item) for item in values]
    mask = mask_of(values)
    if mask is None:
        return values
    plain = np.asarray(unmasked(values))
    if not mask.any():
        return plain
    plain = plain.astype(np.result_type(plain.dtype, np.float32))
    plain[mask] = np.nan
    return plain
