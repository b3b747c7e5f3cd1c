"""A fitted estimator in two: what fetches the images of a catalog, and what predicts from images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._descend import best_of, find
from ..cutouts import CutoutFetcher


@dataclass(frozen=True)
class Model:
    """What predicts from a catalog: `predictor` takes what `fetcher` makes of its rows.

    Parameters
    ----------
    fetcher : CutoutFetcher
    predictor : estimator
        With `predict_posterior`, or `predict` alone.
    knows_domain : bool
        Whether it can say which images are unlike those that it was trained on.
    """

    fetcher: CutoutFetcher
    predictor: Any
    knows_domain: bool

    @classmethod
    def of(cls, estimator) -> Model:
        """Take apart a pipeline, also within a search or a `RecalibratedRegressor`."""
        check_is_fitted(estimator)
        fetcher, predictor = _split(estimator)
        if fetcher is None or predictor is None:
            raise ValueError(
                f"{type(estimator).__name__} does not predict from a catalog; expected a fitted pipeline that begins "
                "with a CutoutFetcher, such as make_pipeline(CutoutFetcher(…), model), alone or in a search or a "
                "RecalibratedRegressor."
            )
        quiet = copy.copy(fetcher).set_params(verbose=0)
        told = hasattr(predictor, "domain") and find(predictor, "domain_")[0] is not None
        return cls(quiet, predictor, told)


def _split(estimator) -> tuple[CutoutFetcher | None, Any]:
    """The fetcher that an estimator begins with, or None, and a shallow copy of the estimator without it."""
    estimator = best_of(estimator)
    steps = getattr(estimator, "steps", None)
    if steps and isinstance(steps[0][1], CutoutFetcher):
        return steps[0][1], _without_first(estimator)
    if steps:
        return _split(steps[0][1]) if len(steps) == 1 else (None, None)
    if not hasattr(estimator, "estimator_"):
        return None, None
    fetcher, predictor = _split(estimator.estimator_)
    outer = copy.copy(estimator)
    outer.estimator_ = predictor
    return fetcher, outer


def _without_first(pipeline) -> Any:
    """The other steps of a pipeline: itself without the first one, its last step, or None."""
    rest = copy.copy(pipeline)
    rest.steps = list(pipeline.steps[1:])
    if len(rest.steps) > 1:
        return rest
    return best_of(rest.steps[0][1]) if rest.steps else None
