"""Actual and predicted values side by side: what every display of predictions needs before it can draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..posteriors import Posterior


class PairedTarget(NamedTuple):
    """One target: `actual` is finite, `predicted` is finite or NaN (a missing cutout); both of shape (n,)."""

    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    name: str | None


def posterior_and_labels(posterior, labels: list[str] | None) -> tuple[Posterior, list[str]]:
    """A posterior, of draws if need be, and what its targets are to be called: by default, their names.

    Raises
    ------
    ValueError
        If there are not as many labels as targets.
    """
    posterior = posterior if isinstance(posterior, Posterior) else Posterior.from_draws(posterior)
    labels = [name.replace("_", " ") for name in posterior.target_names] if labels is None else list(labels)
    if len(labels) != posterior.n_targets:
        raise ValueError(f"labels={labels}; expected {posterior.n_targets}, one for each target.")
    return posterior, labels


def pair_target(y_true, y_pred, *, target=None, target_name=None) -> PairedTarget:
    """Column `target` of `y_true` and `y_pred`, checked against each other.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_targets)
        Data frames and named series lend their names.
    target : int or str, default=None
        Which column; may be left out when there is one.
    target_name : str, default=None
        What to call it; by default the column's own name, if it has one.

    Raises
    ------
    ValueError
        If the shapes or column names differ, `target` names no column or is needed and absent, an actual
        value is not finite, or a prediction is infinite.
    """
    names = _names(y_true) or _names(y_pred)
    actual, predicted = _columns(y_true), _columns(y_pred)
    if actual.shape != predicted.shape:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)} and y_pred has shape {np.shape(y_pred)}; "
            "expected one prediction for each actual value."
        )
    if actual.shape[1] > 1 and (_names(y_pred) or names) != names:
        raise ValueError(
            f"y_true has columns {names} and y_pred has columns {_names(y_pred)}; "
            "expected the same names in the same order."
        )
    column = _column_index(target, names, actual.shape[1])
    _raise_unless(np.isfinite(actual[:, column]), "y_true", "not finite", "drop the rows that have no label")
    _raise_unless(~np.isinf(predicted[:, column]), "y_pred", "infinite", "use NaN where there is no prediction")
    return PairedTarget(actual[:, column], predicted[:, column], target_name or (names[column] if names else None))


def _columns(y) -> NDArray[np.float64]:
    values = np.asarray(y, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _names(y) -> list[str]:
    """Names of the targets, or nothing if they have none, or only numbers."""
    names: list = list(y.columns) if hasattr(y, "columns") else [getattr(y, "name", None)]
    return names if all(isinstance(name, str) for name in names) else []


def _column_index(target, names: list[str], n_targets: int) -> int:
    if target is None and n_targets == 1:
        return 0
    if target in names:
        return names.index(target)
    if isinstance(target, int | np.integer) and -n_targets <= target < n_targets:
        return int(target) % n_targets
    choices = f"one of {names} or an index" if names else "an index"
    raise ValueError(
        f"target={target!r}, but y_true has {n_targets} target(s); expected {choices} below {n_targets}."
    )


def _raise_unless(good: NDArray[np.bool_], name: str, what: str, cure: str) -> None:
    if not good.all():
        raise ValueError(f"{name} is {what} in {np.sum(~good)} row(s), first in row {np.argmin(good)}; {cure}.")
