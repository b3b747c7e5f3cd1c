"""Random numbers of draws: tables that some galaxies share, each in an order of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches

from ._blocks import BLOCK

SHARED = 64  # draws of a galaxy for each galaxy that has the same numbers


def numbers(n: int, n_samples: int, random_state) -> Iterator[tuple[slice, Numbers]]:
    """Rows of `n` galaxies, and what draws `n_samples` of each."""
    seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    rng = np.random.Generator(np.random.SFC64(seed))
    for rows in gen_batches(n, max(1, BLOCK // (2 * n_samples))) if n else ():
        yield rows, Numbers(rng, rows.stop - rows.start, n_samples)


class Numbers:
    """Independent random numbers for `n_samples` draws of each of `n` galaxies.

    A few galaxies share a table. Each begins it at a place of its own in every dimension: so those of a galaxy are
    independent, and so are those of all galaxies at any one draw. Of few draws no two galaxies share any.

    Parameters
    ----------
    rng : Generator
    n, n_samples : int
    """

    def __init__(self, rng: np.random.Generator, n: int, n_samples: int):
        self.rng, self.n, self.n_samples = rng, n, n_samples
        self.table_of = np.arange(n) // max(1, n_samples // SHARED)
        self.shape = int(self.table_of[-1]) + 1, n_samples

    def normal(self, k: int) -> NDArray[np.float64]:
        """Standard normal numbers ``(k, n, n_samples)`` of k more dimensions."""
        return self._each_in_its_order(self.rng.standard_normal(size=(k, *self.shape)))

    def choices(self, weights: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """How often what has `weights` ``(n, m)`` is chosen, ``(n * m,)``, and in which order ``(n, n_samples)``.

        ``np.repeat(values, counts)[order]`` are the chosen of the values ``(n * m,)``.
        """
        n = len(weights)
        ends = np.nan_to_num(np.cumsum(weights, axis=1), nan=1.0)
        ends /= ends[:, -1:]
        sorted_numbers = np.sort(self.rng.random(size=self.shape), axis=1)
        shift = 2.0 * np.arange(self.shape[0])[:, None]  # one long increasing sequence
        found = np.searchsorted((sorted_numbers + shift).ravel(), ends + shift[self.table_of])
        found -= self.n_samples * self.table_of[:, None]
        found[:, -1] = self.n_samples
        ranks = np.broadcast_to(np.arange(self.n_samples), (1, *self.shape))
        order = self._each_in_its_order(self.rng.permuted(ranks, axis=2))[0]
        order += self.n_samples * np.arange(n)[:, None]
        return np.diff(found, axis=1, prepend=0).ravel(), order

    def _each_in_its_order(self, tables: NDArray) -> NDArray:
        """Rows ``(k, n, n_samples)``: that of its table for each galaxy, from a place of its own on."""
        k, n_tables, n = tables.shape
        twice = np.concatenate([tables, tables], axis=2).ravel()
        start = 2 * n * (n_tables * np.arange(k)[:, None] + self.table_of)
        return sliding_window_view(twice, n)[start + self.rng.integers(n, size=start.shape)]
