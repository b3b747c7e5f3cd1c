"""Whose neighbors are whose: rows of a table of neighbors, by the galaxy whose image each is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray


def checked_galaxy(neighbors: Mapping, n: int) -> NDArray[np.intp]:
    """Row of the image that each neighbor is in, of `n` images."""
    given = torch.as_tensor(neighbors.get("galaxy", [-1])).cpu().numpy()
    galaxy = given.astype(np.intp)
    if given.ndim != 1 or (galaxy != given).any() or (galaxy < 0).any() or (galaxy >= n).any():
        raise ValueError(f"neighbors have no galaxy, or one that does not exist; expected rows of the {n} images.")
    return galaxy


def near(galaxy: NDArray[np.intp], rows: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which neighbors the galaxies `rows` have, and to which of these rows each belongs.

    Examples
    --------
    >>> which, whose = near(np.array([0, 0, 2]), [2, 1, 0])
    >>> which.tolist(), whose.tolist()
    ([2, 0, 1], [0, 2, 2])
    """
    order = np.argsort(galaxy, kind="stable")
    first, last = (np.searchsorted(galaxy[order], np.asarray(rows), side) for side in ("left", "right"))
    number = last - first
    whose = np.repeat(np.arange(len(number)), number)
    which = np.arange(len(whose)) + np.repeat(first - np.cumsum(number) + number, number)
    return order[which], whose


def neighbors_of(neighbors: Mapping[str, Any], rows: ArrayLike) -> dict[str, Any]:
    """The neighbors of some galaxies, with `galaxy` the position of these among `rows`."""
    which, whose = near(np.asarray(neighbors["galaxy"]), rows)
    return {name: values[which] for name, values in neighbors.items()} | {"galaxy": whose}
