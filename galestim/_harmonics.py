"""Gaussian-weighted circular harmonics: linear measurements of a galaxy that behave simply when it turns.

A filter is a Gaussian of some scale times the m-th power of the position as a complex number. What it measures of a
galaxy that is turned by φ about the center is what it measured before, times exp(imφ): its modulus does not notice.
m = 0 are fluxes in Gaussian apertures, m = 1 dipoles, m = 2 the quadrupoles that weak-lensing shapes are made of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_scales(height: int, width: int, n_scales: int) -> NDArray[np.float64]:
    """Scales [pixels] of the Gaussians, evenly spaced in the logarithm, from a star's to that of the whole image."""
    return np.geomspace(0.9, max(0.23 * min(height, width), 1.0), n_scales)


def circular_harmonics(height: int, width: int, scales, order: int) -> NDArray[np.complex128]:
    """Filters ``(n_scales, height, width)`` of one order about the center of the image, each of norm 1.

    Their sums with white noise have the variance of a pixel, half of it in each of real and imaginary part.

    Parameters
    ----------
    height, width : int
    scales : array-like of shape (n_scales,)
        Of the Gaussians [pixels].
    order : int
        m ≥ 0: how many times a filter repeats around the circle. m = 0 is real.

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
