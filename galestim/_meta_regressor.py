"""Regressors that hold another one with posteriors: its tags, its names of columns and its domain."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._estimates import PosteriorEstimates
from ._tables import is_table, named_columns


def _estimator_has(method: str):
    """Whether the estimator, fitted if it is, has a method."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class MetaRegressor(PosteriorEstimates, MetaEstimatorMixin, BaseEstimator):
    """Base of estimators that change the posteriors of their `estimator`."""

    estimator: Any
    _one_dimensional_y = False

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("input_tags", "target_tags", "regressor_tags"):
            setattr(tags, name, getattr(inner, name))
        return tags

    @property
    def _fitted(self):
        """The fitted estimator; `estimator` itself, if that is fitted and no `fit` was needed."""
        check_is_fitted(self)
        return getattr(self, "estimator_", self.estimator)

    def _refuse_no_y(self, y) -> None:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")

    def _adopt(self, estimator, y) -> None:
        """Take over a fitted estimator, and the shape of the labels of the fit."""
        self.estimator_ = estimator
        self._one_dimensional_y = not is_table(y) and named_columns(y).one_dimensional
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))

    @available_if(_estimator_has("in_domain"))
    def in_domain(self, X):
        """Say of each galaxy whether its image and camera are like those of the estimator's training.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.

        Returns
        -------
        ndarray of bool, shape (n,)
            That of `PosteriorRegressor.in_domain`.
        """
        return self._fitted.in_domain(X)

    @available_if(_estimator_has("domain"))
    def domain(self, X):
        """Say how far each galaxy's image and camera are from those of the estimator's training, and why.

        Parameters
        ----------
        X : array-like with n rows
            What the estimator takes.

        Returns
        -------
        astropy.table.Table of n rows
            That of `PosteriorRegressor.domain`.
        """
        return self._fitted.domain(X)
