"""Bounded memory: work in blocks that fit a cache, whatever the number of galaxies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

BLOCK = 2**17
"""Numbers held at a time by the innermost loops: 1 MB, which a cache can hold."""
CHUNK = 4 * BLOCK
"""Numbers held at a time by outer loops, over ``gen_batches`` of rows."""


def blocks(shape: tuple[int, ...], cost: int) -> Iterator[tuple[slice, slice]]:
    """Slices of rows and columns that cover values of `shape` ``(n, q)``, each of which needs `cost` numbers."""
    n, q = shape
    columns = max(1, min(q, BLOCK // cost))
    rows = max(1, BLOCK // (cost * columns))
    for row in range(0, n, rows):
        for column in range(0, q, columns):
            yield slice(row, row + rows), slice(column, column + columns)


def row_searchsorted(rows: NDArray, values: NDArray) -> NDArray[np.intp]:
    """Places of `values` ``(n, q)`` in increasing `rows` ``(n, m)``, row by row; both within [0, 1]."""
    n, m = rows.shape
    shift = 2.0 * np.arange(n)[:, None]  # one long increasing sequence
    place = np.searchsorted((rows + shift).ravel(), (values + shift).ravel(), side="right")
    return place.reshape(values.shape) - m * np.arange(n)[:, None]


def chosen_columns(weights: NDArray, uniform: NDArray) -> NDArray[np.intp]:
    """Columns ``(n, q)`` that `uniform` ``(n, q)`` numbers choose by `weights` ``(n, m)``."""
    out = np.empty(uniform.shape, dtype=np.intp)
    for rows in gen_batches(len(weights) or 1, max(1, CHUNK // (weights.shape[1] + uniform.shape[1]))):
        cumulative = np.nan_to_num(np.cumsum(weights[rows], axis=1), nan=1.0)
        out[rows] = row_searchsorted(
            cumulative / cumulative[:, -1:], np.minimum(uniform[rows], 1 - 1e-10)
        )  # less than 1
    return np.minimum(out, weights.shape[1] - 1)
