"""Measurements of light: the noise of the sky, what lies in a crop, and Gaussian-weighted circular harmonics.

A filter of the harmonics is a Gaussian of some scale times the m-th power of the position as a complex number. What
it measures of a galaxy that is turned by φ about the center is what it measured before, times exp(imφ): its modulus
does not notice. m = 0 are fluxes in Gaussian apertures, m = 1 dipoles, m = 2 the quadrupoles that weak-lensing shapes
are made of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_scales(height: int, width: int, n_scales: int) -> NDArray[np.float64]:
    """Scales [pixels] of the Gaussians, evenly spaced in the logarithm, from a star's to that of the whole image."""
    return np.geomspace(0.9, max(0.23 * min(height, width), 1.0), n_scales)


def circular_harmonics(height: int, width: int, scales, order: int) -> NDArray[np.complex128]:
    """Filters ``(n_scales, height, width)`` of norm 1 about the center of the image: Gaussians of `scales` [pixels].

    They repeat `order` times around the circle; those of order 0 are real. Their sums with white noise have the
    variance of a pixel, half of it in each of real and imaginary part.

    Examples
    --------
    >>> filters = circular_harmonics(8, 8, [1.0, 2.0], order=2)
    >>> bool(np.allclose(np.rot90(filters, axes=(1, 2)), -filters))
    True
    """
    y, x = np.ogrid[:height, :width]
    z = (x - (width - 1) / 2) - 1j * (y - (height - 1) / 2)
    scale = np.asarray(scales, dtype=float)[:, None, None]
    filters = (z / scale) ** order * np.exp(-0.5 * np.abs(z / scale) ** 2)
    norm = np.sqrt((np.abs(filters) ** 2).sum(axis=(1, 2), keepdims=True))
    return filters / np.maximum(norm, np.finfo(float).tiny)


def median_deviation(values: NDArray, axis=None, *, about=None, ignore_nan: bool = False) -> NDArray:
    """Median absolute deviation along `axis` from `about`, or from the median where that is None."""
    median = np.nanmedian if ignore_nan else np.median
    center = median(values, axis=axis, keepdims=True) if about is None else about
    return median(np.abs(values - center), axis=axis)


def robust_sigma(values: NDArray, axis=None, *, about=None) -> NDArray:
    """Standard deviation along `axis` by the `median_deviation`; of normal values, and blind to a few others.

    Examples
    --------
    >>> float(robust_sigma(np.array([-1.0, 0.0, 1.0, 1000.0]), about=0))
    1.4826
    """
    return 1.4826 * median_deviation(values, axis, about=about)


def rim(height: int, width: int) -> NDArray[np.bool_]:
    """Mask of the pixels within a tenth of the image of its edge, one at least: what has least of the galaxy."""
    rim = np.ones((height, width), dtype=bool)
    top, left = -(-height // 10), -(-width // 10)
    rim[top : height - top, left : width - left] = False
    return rim


def sky_noise(images: NDArray) -> NDArray[np.float64]:
    """Standard deviation of white noise ``(n, C)`` in images ``(n, H, W, C)``, robust to the galaxy.

    Second differences along both axes leave next to nothing of a smooth light (Immerkær 1996, CVIU 64, 300); their
    median is that of the sky. Correlated noise comes out too low, and alike in images that are alike.
    """
    differences = images.astype(np.result_type(images.dtype, np.float32))
    for axis in (1, 2):
        if images.shape[axis] > 2:
            rest = np.moveaxis(differences, axis, 0)
            second = (rest[:-2] - 2 * rest[1:-1] + rest[2:]) * 6**-0.5
            differences = np.moveaxis(second, 0, axis)
    brightest = np.abs(images).max(axis=(1, 2)).astype(np.float64)
    robust = robust_sigma(differences.reshape(len(images), -1, images.shape[3]), axis=1, about=0)
    return np.maximum(robust, 1e-6 * brightest + np.finfo(np.float32).tiny)  # images may be free of noise


def light_inside(light: NDArray, matrices: NDArray, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Sum ``(n,)`` of the light of images that lies within the outlines of their crops.

    A pixel that an outline cuts counts in part.

    Parameters
    ----------
    light : ndarray of shape (n, H, W) or (n, H, W, C)
    matrices : ndarray of shape (n, 2, 3)
        Position (x, y) in the image, in pixels, is ``matrix @ (x_crop, y_crop, 1)``.
    shape : tuple of int (h, w)
        That of the crops.

    Examples
    --------
    >>> central_half = np.array([[[1, 0, 8], [0, 1, 8]]])
    >>> light_inside(np.ones((1, 32, 32)), central_half, (16, 16))
    array([256.])
    """
    (a, b, x0), (c, d, y0) = np.moveaxis(matrices, 0, 2)[..., None, None]
    y, x = np.indices(light.shape[1:3])
    area = a * d - b * c
    inside = np.ones(light.shape[:3])
    for side, across, down in ((shape[1], d / area, -b / area), (shape[0], -c / area, a / area)):
        place = across * (x - x0) + down * (y - y0)  # in the crop
        depth = (side / 2 - np.abs(place - (side - 1) / 2)) / np.hypot(across, down)  # behind the outline [pixels]
        inside *= np.clip(depth + 0.5, 0, 1)
    return (inside * light.reshape(*light.shape[:3], -1).sum(axis=3)).sum(axis=(1, 2))
