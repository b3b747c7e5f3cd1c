"""To the estimator at the end of a search or a pipeline, which forward only the methods that scikit-learn knows."""

from __future__ import annotations


def descend(estimator, X, method: str):
    """The last estimator inside `estimator`, which must have `method`, and `X` as it reaches it."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
            continue
        X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
        estimator = estimator.steps[-1][1]
    if not hasattr(estimator, method):
        raise ValueError(
            f"{type(estimator).__name__} has no {method}; expected an estimator that has, such as "
            "STNPosteriorRegressor, or a pipeline or search (with refit) that ends in one."
        )
    return estimator, X
