"""The estimator inside a search or a pipeline, which forward only the methods that scikit-learn knows."""

from __future__ import annotations

from typing import Any


def best_of(estimator):
    """The estimator that a search found best, or `estimator` itself if it is no fitted search."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def transformed(pipeline, X):
    """`X` as it reaches the last step of a fitted pipeline."""
    return pipeline[:-1].transform(X) if len(pipeline.steps) > 1 else X


def descend(estimator, X, method: str | None = None) -> tuple[Any, Any]:
    """The innermost estimator of searches and pipelines, which must have `method`, and `X` as it reaches it."""
    estimator = best_of(estimator)
    while hasattr(estimator, "steps"):
        X = transformed(estimator, X)
        estimator = best_of(estimator.steps[-1][1])
    if method is not None and not hasattr(estimator, method):
        raise ValueError(
            f"{type(estimator).__name__} has no {method}; expected an estimator that has, such as "
            "STNPosteriorRegressor, or a pipeline or search (with refit) that ends in one."
        )
    return estimator, X


def find(estimator, attribute: str) -> tuple[Any, Any]:
    """The first value of `attribute` that is not None, from the outside in, and the estimator where the way ends.

    The way leads through searches, pipelines and what recalibrates or wraps a fitted ``estimator_``. The value is
    None if no estimator on it has one.
    """
    while getattr(estimator, attribute, None) is None:
        steps = getattr(estimator, "steps", None)
        inner = steps[-1][1] if steps else None
        for name in ("best_estimator_", "estimator_"):
            inner = getattr(estimator, name, None) if inner is None else inner
        if inner is None:
            return None, estimator
        estimator = inner
    return getattr(estimator, attribute), estimator
