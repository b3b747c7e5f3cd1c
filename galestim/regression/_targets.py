"""What is to be predicted, as numbers and names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from .._sklearn import check_y

DIRECTIONS = {"position_angle", "pa", "e1", "e2", "g1", "g2", "x_offset", "y_offset"}


def check_targets(y, X, estimator) -> tuple[NDArray[np.float64], list[str]]:
    """`y` as float64 ``(n,)`` or ``(n, k)``, and the names of its columns.

    Data frames, series, structured arrays and astropy tables give their own names; others get ``y`` or ``y0, y1, …``.

    Raises
    ------
    ValueError
        If `y` is missing, not numeric, not finite, or of another length than `X`. Names the first bad row.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    names = _column_names(y)
    if getattr(getattr(y, "dtype", None), "names", None):  # structured array or astropy table
        y = np.column_stack([np.asarray(y[name]) for name in y.dtype.names])
    _name_non_finite(y)
    y = check_y(y, multi_output=True, y_numeric=True, estimator=estimator).astype(np.float64)
    check_consistent_length(X, y)
    if y.ndim > 2:
        raise ValueError(f"y has shape {y.shape}; expected (n,) or (n, n_targets).")
    n_targets = 1 if y.ndim == 1 else y.shape[1]
    if names is None or len(names) != n_targets:
        names = ["y"] if y.ndim == 1 else [f"y{i}" for i in range(n_targets)]
    return y, names


def target_units(y) -> list[str | None] | None:
    """Names of the units of an astropy table's columns or of a quantity; None for anything that has none."""
    if hasattr(y, "colnames"):
        return [_unit_name(y[name]) for name in y.colnames]
    return None if _unit_name(y) is None else [_unit_name(y)]


def _unit_name(column) -> str | None:
    unit = getattr(column, "unit", None)
    return None if unit is None else str(unit)


def forbid_directions(names: list[str], by: str | None) -> None:
    """Refuse targets that change when an image is turned or flipped, if `by` turns or flips images.

    Raises
    ------
    ValueError
        If a target has the name of a direction.
    """
    for name in names if by else []:
        if name.lower() in DIRECTIONS:
            raise ValueError(
                f"the target {name!r} changes when an image is turned or flipped, but {by} makes those images one. "
                "Leave the target out, or set augmentation=None and a network that sees directions (VGG16, SpinCNN)."
            )


def _column_names(y) -> list[str] | None:
    names = getattr(y, "columns", None)
    if getattr(getattr(y, "dtype", None), "names", None):
        names = y.dtype.names
    elif names is None and isinstance(getattr(y, "name", None), str):  # series
        names = [y.name]
    return None if names is None else [str(name) for name in names]


def _name_non_finite(y) -> None:
    values = np.asarray(y)
    if values.dtype.kind != "f" or values.ndim == 0 or len(values) == 0:
        return  # scikit-learn's own checks say what is wrong
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"Input y contains NaN or infinity in {bad.sum()} of {len(bad)} rows, first in row "
            f"{int(np.argmax(bad))}; expected finite targets. Drop those rows."
        )
