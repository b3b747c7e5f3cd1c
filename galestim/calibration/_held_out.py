"""Galaxies that an estimator did not see, on the scale of the normal scores of its posteriors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone

from .._sklearn import check_method_params, num_samples
from .._tables import rows_of
from ..posteriors import MixturePosterior, Posterior
from ..targets import IdentityTransform, check_domain
from ._inputs import check_posterior, check_targets, known_rows
from ._normal_scores import ScoreTable


class HeldOut(NamedTuple):
    """Galaxies that the estimator did not see: their rows, normal scores ``(n, k)`` and features ``(n, 2k)``."""

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]
    features: NDArray[np.float64]


def fit_and_hold_out(estimator, splits: list | None, X, y, fit_params: dict, *, n_jobs=None) -> tuple[Any, HeldOut]:
    """The fitted estimator that predicts, and scores of rows that it, or one like it, did not see.

    Of several `splits` (train, test) each fits its own copy, and one more is fitted to all rows; of a single one the
    copy itself predicts. Without splits the estimator is fitted already, and all rows are new to it.
    """
    if splits is None:
        return estimator, _scored(estimator, X, y, np.arange(num_samples(X)))
    _forbid_repeats(splits, num_samples(X))
    one = len(splits) == 1
    results = Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_score)(clone(estimator), X, y, *split, fit_params, keep=one) for split in splits
    )
    fitted = results[0][0] if one else clone(estimator).fit(X, y, **fit_params)
    return fitted, HeldOut(*(np.concatenate(parts) for parts in zip(*(held_out for _, held_out in results))))


def _fit_and_score(estimator, X, y, train, test, fit_params: dict, *, keep: bool):
    """A fit to the rows `train`, if it is to be kept, and how it does on the rows `test`."""
    params = check_method_params(X, fit_params, indices=train)
    estimator.fit(rows_of(X, train), rows_of(y, train), **params)
    return estimator if keep else None, _scored(estimator, rows_of(X, test), rows_of(y, test), test)


def _scored(estimator, X, y, rows: NDArray) -> HeldOut:
    """Normal scores and features of the `rows`, of which `X` and `y` hold no others; missing cutouts are left out."""
    posterior = check_posterior(estimator.predict_posterior(X))
    known = known_rows(posterior)
    posterior, rows = posterior[known], np.asarray(rows)[known]
    y = check_targets(rows_of(y, np.flatnonzero(known)), posterior)
    check_domain(y, transforms_of(posterior), posterior.target_names)
    table = ScoreTable(posterior)
    return HeldOut(rows, table.score(latent_values(y, posterior)), table.features())


def latent_values(y: NDArray, posterior: Posterior) -> NDArray[np.float64]:
    """Physical values ``(n, k)`` after the transforms of a posterior."""
    return np.column_stack([t.forward(column) for t, column in zip(transforms_of(posterior), y.T)])


def transforms_of(posterior: Posterior) -> list:
    """Transform of each target; that of draws is the identity."""
    if isinstance(posterior, MixturePosterior):
        return posterior.transforms
    return [IdentityTransform()] * posterior.n_targets


def _forbid_repeats(splits: list, n: int) -> None:
    row, times = np.unique(np.concatenate([np.arange(n)[test] for _, test in splits]), return_counts=True)
    if times.max() > 1:
        raise ValueError(
            f"cv tests row {row[times.argmax()]} {times.max()} times; expected each row in one test set at most, as "
            "KFold does it. Repeated splits do not make more galaxies."
        )
