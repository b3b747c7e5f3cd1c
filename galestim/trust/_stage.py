"""Stage of a pipeline at which there are images, and the estimator that takes them."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts
from .._descend import best_of, descend, find
from .._images import input_ndim
from .._masked import without_mask
from ..posteriors import Posterior

SOME = 0.05  # of a bad pixel in one that is resampled


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
        """Images of some rows, with an axis for channels; bad pixels of `Cutouts` are guessed."""
        some = self.X[rows]
        images = np.asarray(without_mask(some))
        images = images if images.ndim == 4 else images[..., None]
        return without_bad_pixels(images) if isinstance(some, Cutouts) else images

    def stars(self, rows: NDArray[np.intp]) -> NDArray | None:
        """Point-spread functions of some rows as images ``(n, h, w, C)``, where there are stamps, one for each."""
        psf = getattr(self.X, "psf", None)
        if not isinstance(psf, np.ndarray):
            return None
        psf = np.broadcast_to(psf, (len(self.X), *psf.shape)) if psf.ndim == 2 else psf
        return psf[rows] if psf.ndim == 4 else psf[rows][..., None]

    def bad(self, rows: NDArray[np.intp]) -> NDArray | None:
        """Bad pixels of some rows as images ``(n, H, W, 1)``, 1 where they are, if there are any."""
        bad = self.X[rows].bad_pixels() if isinstance(self.X, Cutouts) else None
        if bad is None:
            return None
        return (bad.any(axis=3, keepdims=True) if bad.ndim == 4 else bad[..., None]).astype(np.float32)

    def changed(self, images: NDArray, rows: NDArray[np.intp], stars=None, bad=None, noise: float = 1.0):
        """Images with an axis for channels in the layout, of the kind, and with the camera of those of `rows`.

        `stars` take the place of the point-spread functions, images `bad` that of the bad pixels, and the noise is
        `noise` times as large.
        """
        dtype = np.dtype(self.X.dtype)
        if dtype.kind in "ui":
            images = np.clip(np.rint(images), np.iinfo(dtype).min, np.iinfo(dtype).max)
        images = (images if input_ndim(self.X) == 4 else images[..., 0]).astype(dtype)
        if not isinstance(self.X, Cutouts):
            return images
        bad = self.bad(rows) if bad is None else bad
        known: dict[str, Any] = {"mask": None if bad is None else bad[..., 0] > SOME, "wcs": None}
        if stars is not None:
            known["psf"] = stars if self.X.psf.ndim == 4 else stars[..., 0]
        if self.X.noise is not None:
            known["noise"] = noise * _finite_noise(self.X[rows])
        return self.X[rows].replace(images, **known)

    @property
    def knows_domain(self) -> bool:
        """Whether the estimator says itself which images it knows."""
        found = find(self.estimator, "domain_")[0]
        return isinstance(self.X, Cutouts) and found is not None

    def domain_decision(self, X) -> NDArray[np.float64]:
        """How far within the domain of the estimator images are: negative for those that are flagged."""
        inner, X = self.innermost(X, "domain")
        return 1 - np.asarray(inner.domain(X)["score"])


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


def without_bad_pixels(images: NDArray) -> NDArray:
    """Images ``(n, H, W, C)`` whose bad pixels (NaN) are the mean of their neighbors, else those opposite."""
    bad = np.isnan(images)
    bad[bad.all(axis=(1, 2, 3))] = False
    if not bad.any():
        return images
    near = np.stack([np.roll(images, step, axis) for step in (-1, 1) for axis in (1, 2)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # none of the neighbors is good
        guess = np.nanmean(near, axis=0)
    guess = np.where(np.isnan(guess), np.nan_to_num(images[:, ::-1, ::-1]), guess)
    return np.where(bad, guess, images)


def _finite_noise(cutouts: Cutouts):
    """Noise of `cutouts`; of images of it, the median where a pixel has none, as it is no longer masked."""
    noise = cutouts.noise
    if np.ndim(noise) < 3 or np.isfinite(noise).all():
        return noise
    each = np.where(np.isfinite(noise), noise, np.nan)
    axes = tuple(range(1, each.ndim))
    return np.where(np.isnan(each), np.nan_to_num(np.nanmedian(each, axis=axes, keepdims=True), nan=1.0), each)


def in_units_of_noise(cutouts: Cutouts) -> NDArray:
    """Images in units of their noise, if it is known; bad pixels are NaN."""
    images = np.asarray(cutouts)
    if cutouts.noise is None:
        return images
    noise = np.asarray(_finite_noise(cutouts))
    noise = noise if noise.ndim in (0, images.ndim) else noise.reshape(*noise.shape, *(1,) * (3 - noise.ndim))
    noise = noise.reshape(len(images), 1, 1, -1) if noise.ndim == 3 and images.ndim == 4 else noise
    return images / noise
