"""Estimates: point estimates of regressors, from posteriors where they have them, and their score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from ._descend import find
from ._masked import without_mask
from ._sklearn import check_sample_weight
from ._tables import target_values


class Estimates(RegressorMixin):
    """Score and shape of estimates; missing cutouts are NaN in these."""

    _one_dimensional_y: bool
    predict: Any

    def _like_y(self, values: NDArray) -> NDArray:
        """Values ``(n, n_targets)`` in the shape of the `y` of the fit."""
        return values[:, 0] if self._one_dimensional_y else values

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R² of `predict`; missing cutouts are left out.

        Parameters
        ----------
        X : array-like with n rows
            As for `predict`.
        y : array-like or table of shape (n,) or (n, n_targets)
            Targets. Columns of a table are found by the names of those of `fit`, and converted to their units; all
            else is taken in the units and order of `fit`.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        float
        """
        predicted = self.predict(X)
        present = np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1)
        weight = check_sample_weight(without_mask(sample_weight), predicted, dtype=np.float64)
        truth = target_values(y, find(self, "target_names_")[0], find(self, "target_units_")[0])
        return r2_score(truth[present], predicted[present], sample_weight=weight[present])


class PosteriorEstimates(Estimates):
    """Estimates that are moments of the posteriors of `predict_posterior`."""

    point_estimate = "mean"  # a parameter of some
    predict_posterior: Any

    def predict(self, X, return_std=False, return_cov=False):
        """Predict the targets: point estimates of the posteriors.

        Parameters
        ----------
        X : array-like with n rows
            As for `predict_posterior`.
        return_std : bool, default=False
            Whether to return the posterior's standard deviations too.
        return_cov : bool, default=False
            Whether to return the posterior's covariances too.

        Returns
        -------
        estimate : ndarray of shape (n,) or (n, n_targets)
            Posterior mean, or the point estimate that was asked for, in the units of `y`; NaN for missing cutouts.
        std : ndarray of the shape of estimate
            If `return_std` is True.
        cov : ndarray of shape (n, n_targets, n_targets)
            If `return_cov` is True.
        """
        if return_std and return_cov:
            raise RuntimeError("At most one of return_std or return_cov can be requested.")
        posterior = self.predict_posterior(X)
        estimate = self._like_y(getattr(posterior, self.point_estimate)())
        if return_std:
            return estimate, self._like_y(posterior.std())
        return (estimate, posterior.cov()) if return_cov else estimate
