"""Estimates: point estimates of regressors, from posteriors where they have them, and their score."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from ._descend import descend, find
from ._images import input_ndim
from ._sklearn import check_sample_weight
from ._tables import column_names, refuse_unknown, target_values


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
            -inf if an image that is not missing has no finite estimate, or one that is too far off to be squared.

        Raises
        ------
        ValueError
            If all images are missing, or `y` has another shape than the estimates or is not finite.
        """
        predicted = self.predict(X)
        weight = check_sample_weight(sample_weight, predicted)
        finite = np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1)
        if len(lost_rows(self, X, ~finite & (weight > 0))):
            return -np.inf
        if not finite.any():
            raise ValueError(f"All {len(finite)} images are NaN (missing cutouts); expected one to score at least.")
        truth = target_values(y, find(self, "target_names_")[0], find(self, "target_units_")[0])
        expected = predicted.shape if predicted.ndim == 2 else (len(predicted), 1)
        if truth.shape != expected:
            raise ValueError(
                f"y has shape {truth.shape}; expected {expected}: a row for each image, a column for each target."
            )
        refuse_unknown(np.where(finite[:, None], truth, 0.0))
        if column_names(y) is None:
            warn_of_swapped(truth[finite], predicted[finite])
        counted = finite & (weight != 0)
        with np.errstate(over="ignore"):
            return r2_score(truth[counted], predicted[counted], sample_weight=weight[counted])


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

        Warns
        -----
        RuntimeWarning
            If the estimate of an image that is not missing is infinite or NaN.
        """
        if return_std and return_cov:
            raise RuntimeError("At most one of return_std or return_cov can be requested.")
        posterior = self.predict_posterior(X)
        estimate = getattr(posterior, self.point_estimate)()
        lost = ~np.isnan(posterior.weights[:, 0]) & ~np.isfinite(estimate).all(axis=1)
        if lost.any():
            rows = row_numbers(np.flatnonzero(lost))
            warnings.warn(
                f"The posterior {self.point_estimate} of {rows} is not finite: {_UNLIKE}",
                RuntimeWarning,
                stacklevel=2,
            )
        estimate = self._like_y(estimate)
        if return_std:
            return estimate, self._like_y(posterior.std())
        return (estimate, posterior.cov()) if return_cov else estimate

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from each image's posterior.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        n_samples : int, default=1
            Number of draws per image.
        random_state : int, RandomState instance or None, default=0
            Determines the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, n_targets)
        """
        return self.predict_posterior(X).sample(n_samples, random_state=random_state)


# --- images without a finite estimate -------------------------------------------------------------------------

_UNLIKE = "the images are unlike those of the fit. Look for other units, and for saturated or masked pixels."


def forget_lost(images, *outputs: NDArray) -> None:
    """Make rows NaN, in place, that are not finite in all `outputs`; warn of those whose image is not missing."""
    lost = ~np.logical_and.reduce([np.isfinite(one).reshape(len(one), -1).all(axis=1) for one in outputs])
    for one in outputs:
        one[lost] = np.nan
    rows = _with_image(images, np.flatnonzero(lost))
    if len(rows):
        warnings.warn(
            f"The prediction of {row_numbers(rows)} is NaN, and not because the cutout is missing: {_UNLIKE}",
            RuntimeWarning,
            stacklevel=3,
        )


def lost_rows(estimator, X, unknown: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Of the rows of `X` for which `estimator` has no finite estimate, those that have an image all the same."""
    rows = np.flatnonzero(unknown)
    if not len(rows):
        return rows
    estimator, X = descend(estimator, X)
    while hasattr(estimator, "estimator_"):
        estimator, X = descend(estimator.estimator_, X)
    if hasattr(estimator, "_fitted_images"):
        return _with_image(estimator._fitted_images(X), rows)
    return _with_image(np.asarray(X), rows) if input_ndim(X) in (3, 4) else rows[:0]


def _with_image(images, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.array([row for row in rows if not _is_missing(images[row : row + 1])], dtype=np.intp)


def _is_missing(image) -> bool:
    """Whether one row is a missing cutout; that of images that know their camera knows it."""
    return bool(image.missing()[0] if hasattr(image, "missing") else np.isnan(image).all())


def row_numbers(rows: NDArray[np.intp]) -> str:
    more = f", … ({len(rows)} rows)" if len(rows) > 10 else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:10]))}{more}"


# --- columns in another order ---------------------------------------------------------------------------------


def warn_of_swapped(truth: NDArray, estimates: NDArray, stacklevel: int = 3) -> None:
    """Warn if two columns of `truth` ``(n, k)`` are a factor of 10 off their `estimates`, and near each other's."""
    if truth.ndim == 1 or truth.shape != estimates.shape:
        return
    medians = np.nanmedian([truth, estimates], axis=1)
    with np.errstate(all="ignore"):
        logs = np.log10(medians)  # NaN, which is near to nothing, for a target that may be negative
        apart = np.abs(logs[0][:, None] - logs[1])
        own, swapped = np.diagonal(apart)[:, None] + np.diagonal(apart), apart + apart.T
    if ((swapped < own / 2) & (own > 2)).any():
        given, expected = (", ".join(f"{value:.3g}" for value in row) for row in medians)
        warnings.warn(
            f"The columns of y have the medians {given}, their estimates {expected}: swapped? Expected the order of "
            "the fit; a table with the names of the fit may have any.",
            stacklevel=stacklevel,
        )
