"""Predictions of an estimator, the images that they are of, and the names of its targets, for displays."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from .._descend import descend, find
from .._estimates import lost_rows
from .._images import input_ndim
from ._labels import labeled


def predicted(estimator, X) -> tuple[NDArray[np.float64], object]:
    """Predictions for `X`, NaN where there is none, and their images: `X`, or what a pipeline makes of it.

    It warns of galaxies that have an image but no finite prediction.
    """
    inner, images = descend(estimator, X)
    values = np.asarray(inner.predict(images))
    rows = lost_rows(inner, images, ~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(rows):
        warnings.warn(
            f"{len(rows)} of {len(values)} galaxies have an image but no finite prediction, first row {rows[0]}; "
            "they are left out. Look at their images, which are unlike those of the fit.",
            stacklevel=3,
        )
    shown = X if input_ndim(X) in (3, 4) else images
    return np.where(np.isfinite(values), values, np.nan), shown


def target_label(estimator, target=None) -> str | None:
    """Symbol and unit of one target of `estimator`, by its name or number; None if it has no names."""
    names, units = find(estimator, "target_names_")[0], find(estimator, "target_units_")[0]
    if not names or not getattr(names, "__len__", None):
        return None
    index = names.index(target) if target in names else target
    index = 0 if index is None and len(names) == 1 else index
    if not isinstance(index, int | np.integer) or not -len(names) <= index < len(names):
        return None  # what checks `target` says what is wrong with it
    return labeled(names[index], units[index] if units else None)
