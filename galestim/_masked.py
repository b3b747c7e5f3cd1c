"""Masked arrays as plain ones: NaN where there is no value, never what lies under the mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_of(values) -> NDArray[np.bool_] | None:
    """Mask of an array, column or quantity of numpy or astropy, True for no value; None for what has no mask."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values)
    return np.asarray(values.mask) if hasattr(values, "unmasked") else None


def cells_of(values) -> list:
    """The cells of a column, array or sequence as Python objects, None where masked."""
    mask = mask_of(values)
    # not column.tolist(): of masked bytes it has what lies under the mask
    cells = np.asarray(getattr(values, "unmasked", values)).tolist() if hasattr(values, "dtype") else list(values)
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
    plain = np.asarray(getattr(values, "unmasked", values))
    if not mask.any():
        return plain
    plain = plain.astype(np.result_type(plain.dtype, np.float32))
    plain[mask] = np.nan
    return plain
