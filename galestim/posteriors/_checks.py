"""Checks of the arguments of posteriors: numbers of draws, weights, names and units of targets, ids of galaxies."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from .._masked import without_mask
from .._tables import as_unit


def check_n_samples(n_samples) -> int:
    """`n_samples` as an int, or an error."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r}; expected a positive int.")
    return int(n_samples)


def checked_weights(weights, shape: tuple[int, int], missing: NDArray[np.bool_], of: str) -> NDArray[np.float64]:
    """`weights` that sum to 1 in each row, NaN for `missing` galaxies; those that do already are kept to the bit."""
    if weights is None:
        weights = np.full(shape, 1 / shape[1])
    weights = np.asarray(without_mask(weights), dtype=float)
    if weights.shape != shape:
        raise ValueError(f"weights has shape {weights.shape}; expected {shape}, one for each {of}.")
    total = weights.sum(axis=1)
    bad = ~missing & ~(np.isfinite(weights).all(axis=1) & (weights >= 0).all(axis=1) & (total > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"row {row}: weights {weights[row]}; expected finite ones, not negative and not all 0.")
    uneven = ~missing & (np.abs(total - 1) > 1e-12)
    if uneven.any() or missing.any():
        weights = np.where(uneven[:, None], weights / np.where(uneven, total, 1.0)[:, None], weights)
        weights[missing] = np.nan
    return weights


def filled_where(idle: NDArray[np.bool_], weights: NDArray, *parts: NDArray) -> tuple[NDArray, ...]:
    """`parts` ``(n, m, …)`` with those of the heaviest one of each row where they are `idle` ``(n, m)``.

    Idle are some of weight 0: they count for nothing, and 0 times infinity would be something.
    """
    if not idle.any():
        return parts
    rows = np.flatnonzero(idle.any(axis=1))
    heaviest = weights[rows].argmax(axis=1)
    parts = tuple(part.copy() for part in parts)
    for part in parts:
        part[rows] = np.where(
            idle[rows].reshape(idle[rows].shape + (1,) * (part.ndim - 2)), part[rows, heaviest][:, None], part[rows]
        )
    return parts


def checked_names(target_names, k: int) -> list[str]:
    """`target_names` of k targets; without them y, or y0, y1…."""
    if target_names is None:
        return ["y"] if k == 1 else [f"y{j}" for j in range(k)]
    names = [target_names] if isinstance(target_names, str) else list(target_names)
    if len(names) != k or len(set(names)) < k or not all(isinstance(name, str) for name in names):
        raise ValueError(f"target_names={names}; expected {k} different names, one for each target.")
    return [str(name) for name in names]


def checked_units(units, target_names: list[str]) -> list:
    """An astropy unit, or None, for each target."""
    if units is None:
        return [None] * len(target_names)
    units = [units] if isinstance(units, str | u.UnitBase) else list(units)
    if len(units) != len(target_names):
        raise ValueError(
            f"{len(units)} units; expected {len(target_names)}, one (or None) for each of {target_names}."
        )
    return [as_unit(unit, name) for unit, name in zip(units, target_names)]


def checked_ids(ids, n: int) -> NDArray[np.str_] | None:
    """Names of `n` galaxies as an array of text; None for None."""
    if ids is None:
        return None
    names = np.asarray(ids)
    names = names if names.size else names.astype(str)
    if names.shape != (n,) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"ids has shape {names.shape} and the dtype {names.dtype}; expected ({n},) and str: a name for each "
            "galaxy, as the column object_id of a Catalog has them."
        )
    return names.astype(str)
