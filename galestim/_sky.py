"""The sky of an image: where nothing shines, its level, its noise, and how noise correlates from pixel to pixel.

It is blind to galaxies: what rises above the noise is masked with a margin, and what is left is measured robustly.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ._light import rim, robust_sigma

SMOOTHING = 1.5  # pixels, standard deviation of the Gaussian that faint sources are looked for with
THRESHOLD = 3.0  # σ of the smoothed sky
MARGIN = 4  # pixels around sources, and as many around them as a third of their own radius
MAX_LAG = 10  # pixels, up to which noise is taken to correlate
BLOCK = 256  # pixels, side of the blocks whose correlations are averaged
LEAST = 100  # pixels of sky, below which nothing can be said of it


class Sky(NamedTuple):
    """An image without its sky, and what the sky is like."""

    image: NDArray  # (h, w), the level subtracted
    free: NDArray[np.bool_]  # where nothing shines and no pixel is bad
    noise: float


def require_photutils(what: str) -> None:
    """Raise an ImportError that says how to get photutils, if it is not there."""
    if find_spec("photutils") is None:
        raise ImportError(f"{what} needs photutils, which is not installed; run: pip install 'galestim[psf]'")


def subtract_sky(image: NDArray, bad: NDArray[np.bool_], box: int | None = None) -> Sky:
    """Subtract the level of the sky: one number, or what varies over `box` pixels and more (by photutils).

    Raises
    ------
    ValueError
        If nearly no pixel is sky.
    """
    free = ~bad if box is not None else ~bad & rim(*image.shape)
    level: NDArray | float
    for _ in range(3):
        if free.sum() < LEAST:
            raise ValueError(
                f"{free.sum()} of {image.size} pixels are sky, neither bad nor of a source; expected {LEAST} or more."
                " Give larger images, or a mask with fewer bad pixels."
            )
        level = np.median(image[free]) if box is None or min(image.shape) < 2 * box else _level(image, free, box)
        residual = np.where(bad, 0, image - level)
        free = ~bad & ~sources(residual, free)
    faintest = 1e-7 * float(abs(residual).max())  # images may be free of noise
    return Sky(residual, free, max(float(robust_sigma(residual[free])), faintest, np.finfo(float).tiny))


def sources(image: NDArray, sky: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark what rises above the noise that `image` has in the pixels `sky`, and a margin around it."""
    smooth = ndimage.gaussian_filter(image, SMOOTHING)
    labels, n = ndimage.label(smooth > THRESHOLD * robust_sigma(smooth[sky]))
    radius = np.sqrt(np.bincount(labels.ravel(), minlength=n + 1) / np.pi)
    radius[0] = 0
    found = labels > 0
    marked = np.zeros_like(found)
    for least, most in ((0, 3), (3, 10), (10, 30), (30, np.inf)):
        of_size = found & (radius >= least)[labels] & (radius < most)[labels]
        if of_size.any():
            margin = MARGIN + radius[np.unique(labels[of_size])].max() / 3
            marked |= ndimage.distance_transform_edt(~of_size) <= margin
    return marked


def autocorrelation(images: list[NDArray]) -> tuple[NDArray, float]:
    """Correlation of pixels at lags of -MAX_LAG to MAX_LAG along rows and columns, and from how many pairs.

    NaN is left out.
    """
    covariance, pairs = np.zeros((2, 2 * MAX_LAG + 1, 2 * MAX_LAG + 1))
    for image in images:
        for block in _blocks(image - np.nanmean(image)):
            known = np.isfinite(block)
            covariance += _sums_of_products(np.where(known, block, 0))
            pairs += _sums_of_products(known.astype(float))
    mean = covariance / np.maximum(pairs, 1)
    return mean / mean[MAX_LAG, MAX_LAG], float(pairs.max())


def _sums_of_products(block: NDArray) -> NDArray:
    shape = [side + MAX_LAG for side in block.shape]
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    return fft.irfft2(abs(fft.rfft2(block, shape)) ** 2, shape)[np.ix_(lags, lags)]


def _blocks(image: NDArray):
    height, width = image.shape
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            block = image[row : row + BLOCK, column : column + BLOCK]
            if min(block.shape) > MAX_LAG:
                yield block


def _level(image: NDArray, free: NDArray[np.bool_], box: int) -> NDArray:
    from photutils.background import Background2D, MedianBackground

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NaN in masked pixels
        found = Background2D(
            np.where(free, image, 0), box, mask=~free, filter_size=3, bkg_estimator=MedianBackground(),
            exclude_percentile=90,
        )  # fmt: skip
    return found.background
