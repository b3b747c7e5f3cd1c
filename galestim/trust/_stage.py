"""Stage of a pipeline at which there are images, and the estimator that takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._descend import best_of, descend
from .._images import input_ndim
from .._masked import without_mask
from ..posteriors import Posterior


class Stage(NamedTuple):
    """`X` as far along a pipeline as the first images, or as given; and the part of the estimator that takes it."""

    estimator: Any
    X: Any

    @property
    def has_images(self) -> bool:
        """True if `X` are images (n, H, W) or (n, H, W, C)."""
        return input_ndim(self.X) > 2

    def predict(self, X) -> Posterior:
        """Posteriors of what is like `X`, past pipelines and searches that hide their last step's."""
        inner, X = descend(self.estimator, X, "predict_posterior")
        return inner.predict_posterior(X)

    def innermost(self, X, method: str):
        """The last estimator, which must have `method`, and what it is given of `X`; ValueError if there is none."""
        return descend(self.estimator, X, method)

    def images(self, rows: NDArray[np.intp]) -> NDArray:
        """Images of some rows, with an axis for channels."""
        images = np.asarray(without_mask(self.X[rows]))
        return images if images.ndim == 4 else images[..., None]

    def predict_images(self, images: NDArray) -> Posterior:
        """Posteriors of images with an axis for channels, in the layout and of the kind of those given."""
        dtype = np.dtype(self.X.dtype)
        if dtype.kind in "ui":
            images = np.clip(np.rint(images), np.iinfo(dtype).min, np.iinfo(dtype).max)
        return self.predict((images if input_ndim(self.X) == 4 else images[..., 0]).astype(dtype))


def image_stage(estimator, X) -> Stage:
    """Send `X` through the steps that come before images, such as a CutoutFetcher."""
    estimator = best_of(estimator)
    n_steps = len(getattr(estimator, "steps", ()))
    for step in range(n_steps - 1):
        if input_ndim(X) > 2:
            return Stage(estimator[step:], X)
        X = estimator.steps[step][1].transform(X)
    if n_steps:
        return Stage(estimator.steps[-1][1], X)
    return Stage(estimator, X if hasattr(X, "dtype") or input_ndim(X) <= 2 else np.asarray(without_mask(X)))
