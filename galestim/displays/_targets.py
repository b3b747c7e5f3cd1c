"""Actual and predicted values of one target, checked against each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._descend import find
from .._tables import column_names, is_unnamed, named_columns, target_values
from ..posteriors import Posterior
from ._labels import labeled, symbol


class PairedTarget(NamedTuple):
    """One target: `actual` is finite, `predicted` is finite or NaN (a missing cutout); both of shape (n,)."""

    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    name: str | None


def posterior_and_labels(posterior, labels: list[str] | None) -> tuple[Posterior, list[str]]:
    """A posterior, of draws if need be, and what its targets are to be called: by default, their symbols."""
    if hasattr(posterior, "predict"):
        raise TypeError(
            f"posterior is a {type(posterior).__name__}; expected what it predicts: predict_posterior(X) of it."
        )
    posterior = posterior if isinstance(posterior, Posterior) else Posterior.from_draws(posterior)
    labels = [symbol(name) for name in posterior.target_names] if labels is None else list(labels)
    if len(labels) != posterior.n_targets:
        raise ValueError(f"labels={labels}; expected {posterior.n_targets}, one for each target.")
    return posterior, labels


def as_predicted(estimator, y, target=None):
    """`y` under the names, in the order and units in which `estimator` predicts it, if that has names for it.

    A table with the column `target` need have no other; those that are not there are NaN.
    """
    names, units = find(estimator, "target_names_")[0], find(estimator, "target_units_")[0]
    if is_unnamed(names):
        return y
    given = column_names(y) or []
    if target in names and target in given and not set(names) <= set(given):
        (values,) = target_values(y, [target], units and [units[names.index(target)]]).T
        return {name: values if name == target else np.full(len(values), np.nan) for name in names}
    values = target_values(y, names, units)
    return dict(zip(names, values.T)) if values.shape[1] == len(names) else y


def pair_target(y_true, y_pred, *, target=None, target_name=None) -> PairedTarget:
    """Column `target` of `y_true` and `y_pred`, checked against each other.

    Columns of `y_pred` are put in the order and units of those of `y_true`. `target` is a number or a name, and may
    be left out when there is one; `target_name` is what to call it, by default its symbol and unit. A ValueError
    says if shapes or names differ, units do not convert, `target` is no column, an actual value is not finite, or
    a prediction infinite.
    """
    true, guess = named_columns(y_true, what="y_true"), named_columns(y_pred, what="y_pred")
    names = true.names or guess.names or []
    together = true.names if true.values.shape[1] > 1 else None  # one target may have another name when predicted
    actual, predicted = true.values, guess.in_order_of(together, true.units, "y_pred")
    if actual.shape != predicted.shape:
        raise ValueError(
            f"y_true has shape {true.shape} and y_pred has shape {guess.shape}; "
            "expected one prediction for each actual value."
        )
    column = _column_index(target, names, actual.shape[1])
    _raise_unless(np.isfinite(actual[:, column]), "y_true", "not finite", "drop the rows that have no label")
    _raise_unless(~np.isinf(predicted[:, column]), "y_pred", "infinite", "use NaN where there is no prediction")
    label = labeled(names[column], true.units[column] if true.units else None) if names else None
    return PairedTarget(actual[:, column], predicted[:, column], target_name or label)


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
