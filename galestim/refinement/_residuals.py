"""Images less models of them, in units of the noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..simulation import render
from ._observed import observed


class Residuals(NamedTuple):
    """What `residuals` gives.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    image : ndarray of shape (n, h, w)
        NaN where a pixel is bad.
    model : ndarray of shape (n, h, w)
        With the level of the sky.
    residual : ndarray of shape (n, h, w)
        Their difference over the standard deviation of the noise of sky and the model's photons.
    chi2 : ndarray of shape (n,)
        Mean square of these: 1 for a model that is right.
    """

    image: NDArray
    model: NDArray
    residual: NDArray
    chi2: NDArray


def residuals(X, parameters: Mapping, *, band=None) -> Residuals:
    """Compare images with models of a bulge and a disk.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    X : Cutouts, or array-like of shape (n, H, W) with `band`
        Linear images of one band.
    parameters : mapping of str to array-like of shape (n,)
        As `galestim.simulation.render` takes them; others are ignored.
    band : Band, default=None
        The camera of images that are plain arrays.

    Returns
    -------
    residuals : Residuals
        Named tuple of ``image``, ``model`` and ``residual`` (n, h, w), and ``chi2`` (n,) per pixel. The level of the
        sky is the best one, as far as its error allows.

    Raises
    ------
    ValueError
        If the cutouts do not know their camera, are stretched or missing, or parameters are not as many or outside
        of their limits.

    Examples
    --------
    >>> from galestim.refinement import residuals
    >>> from galestim.datasets import SimulatedGalaxies
    >>> from galestim.simulation import hsc_like
    >>> galaxies = SimulatedGalaxies(2, random_state=0)
    >>> residuals(galaxies, galaxies.parameters, band=hsc_like("i")).chi2.round(1)
    array([1., 1.])
    """
    seen = observed(X, band)
    if seen.missing.any():
        raise ValueError(f"row {int(np.argmax(seen.missing))} of X is a missing cutout; expected images to compare.")
    n, height, width = np.shape(X)[:3]
    model = render(parameters, npix=seen.images.shape[1], pixel_scale=seen.pixel_scale, psf=seen.psf)
    if len(model) != n:
        raise ValueError(f"parameters are of {len(model)} galaxies; expected {n}, one for each image.")
    light = model.detach().numpy().astype(float) if isinstance(model, torch.Tensor) else model
    good = np.isfinite(seen.variance)
    variance = seen.variance + np.maximum(light, 0) / seen.gain[:, None, None]
    difference = np.where(good, seen.images - light, 0.0)
    weight = np.where(good, 1 / variance, 0.0)
    known = 1 / np.maximum(seen.level_error, 1e-15) ** 2
    level = (weight * difference).sum((1, 2)) / (weight.sum((1, 2)) + known)
    light, difference = light + level[:, None, None], difference - level[:, None, None]
    residual = np.where(good, difference / np.sqrt(variance), np.nan)
    part = (slice(None), slice(height), slice(width))
    image = np.where(good, seen.images, np.nan)
    return Residuals(image[part], light[part], residual[part], np.nanmean(residual**2, axis=(1, 2)))
