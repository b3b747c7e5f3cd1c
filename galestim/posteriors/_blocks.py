"""Bounded memory: work in blocks that fit a cache, whatever the number of galaxies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**17
"""Numbers held at a time by the innermost loops: 1 MB, which a cache can hold."""
CHUNK = 4 * BLOCK
"""Numbers held at a time by outer loops, over ``gen_batches`` of rows."""

# Blocks come and go. glibc hands those back to the system that are larger than any that was freed before (mallopt(3),
# M_MMAP_THRESHOLD), and page faults then cost more than the arithmetic. So one of 16 MB is freed; none of its pages
# was ever used.
np.empty(2**24, dtype=np.uint8)


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
