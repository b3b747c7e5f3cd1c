"""The Cramér–Rao bound: the least errors with which galaxies can be measured."""

from __future__ import annotations

import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ._galaxy_prior import LOGARITHMIC
from ._noise import noise_variance
from ._parameters import PARAMETERS, as_tensors
from ._radius import NAMES as RADIUS_NAMES
from ._radius import half_light_radius
from ._render import render_tensors

TARGETS = ("bulge_to_total", "ln_half_light_radius", "ln_flux")
KNOWN = 1e-12  # variance of what a prior knows exactly
GALAXIES = 64  # at a time: their Jacobians take 60 MB at 96 pixels


class CramerRaoBound(NamedTuple):
    """The least covariance that an unbiased estimate can have, of each galaxy.

    Attributes
    ----------
    target_names : tuple of str
        B/T, ln of the half-light radius of bulge and disk together, ln of the flux.
    std : ndarray of shape (n, 3)
        Least standard deviations of the targets.
    covariance : ndarray of shape (n, 3, 3)
        Least covariances of the targets.
    parameter_names : tuple of str
        The twelve parameters of the image.
    parameter_covariance : ndarray of shape (n, 12, 12)
        Least covariances of the parameters, of the logarithm of flux and radii.
    signal_to_noise : ndarray of shape (n,)
        Of the whole image, with the best weights.
    """

    target_names: tuple[str, ...]
    std: NDArray
    covariance: NDArray
    parameter_names: tuple[str, ...]
    parameter_covariance: NDArray
    signal_to_noise: NDArray


def cramer_rao_bound(parameters, band, *, npix=96, prior=None, device=None):
    r"""Compute how well the structure of galaxies can be measured from one image each.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    parameters : mapping of str to array-like or Tensor of shape (n,)
        As `render` takes them: where the bound is wanted.
    band : Band
        The camera; its entries may be one per galaxy.
    npix : int, default=96
        Height and width of the images.
    prior : GalaxyPrior or None, default=None
        What is known before: the inverse of its variances is added to the diagonal of the Fisher matrix. With None,
        a galaxy whose parameters its image does not constrain (B/T = 0, round disks) is an error.
    device : torch.device or str, default=None
        Where to compute, in float64; None: where the parameters are.

    Returns
    -------
    bound : CramerRaoBound
        Named tuple of ``target_names`` (B/T and the logarithms of half-light radius and flux), and the arrays ``std``
        (n, 3), ``covariance`` (n, 3, 3), ``parameter_covariance`` (n, 12, 12) with ``parameter_names``, and
        ``signal_to_noise`` (n,).

    Raises
    ------
    ValueError
        If the Fisher matrix is singular, or as in `render`.

    Notes
    -----
    With the model I(θ) of the pixels, their variances V and the variances σ² of the prior,

    .. math:: C = \left(\sum_{pixels} \frac{∂I}{∂θ} \frac{1}{V} \frac{∂I}{∂θ}^T + diag(σ^{-2})\right)^{-1}

    is the bound of the twelve parameters θ (flux and radii in logarithms), and J C Jᵀ that of the targets, with their
    derivatives J by θ [1]_. The images' derivatives are exact, by forward-mode differentiation. With a prior
    this is the covariance of a posterior only as far as both are Gaussian: averages over flat priors with hard limits
    are smaller by a few percent.

    References
    ----------
    .. [1] Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, sections 3.8 and 3.9.

    Examples
    --------
    >>> from galestim.simulation import cramer_rao_bound, hsc_like, sim_v1_prior
    >>> prior = sim_v1_prior()
    >>> bound = cramer_rao_bound(prior.draw(2, random_state=0), hsc_like("i"), prior=prior)
    >>> bound.std.shape
    (2, 3)
    """
    tensors = as_tensors(parameters, device=device, dtype=torch.float64)
    precision = np.zeros(len(PARAMETERS))
    if prior is not None:
        variance = prior.variance()
        precision = np.array([1 / max(variance[name], KNOWN) for name in PARAMETERS])
    batches = [
        _bound({name: v[rows].detach() for name, v in tensors.items()}, band.of_rows(rows), npix, precision)
        for rows in (slice(start, start + GALAXIES) for start in range(0, max(len(tensors["flux"]), 1), GALAXIES))
    ]
    parameter_covariance, covariance, signal_to_noise = (np.concatenate(arrays) for arrays in zip(*batches))
    std = np.sqrt(covariance.diagonal(axis1=1, axis2=2))
    return CramerRaoBound(TARGETS, std, covariance, tuple(PARAMETERS), parameter_covariance, signal_to_noise)


def _bound(tensors: dict[str, torch.Tensor], band, npix: int, precision: NDArray):
    """Covariances of the parameters and the targets, and signal to noise."""
    images, slopes = _jacobian(tensors, band, npix)
    variance = noise_variance(images, band.sky_noise, band.gain)
    fisher = torch.einsum("inyx,jnyx->nij", slopes / variance, slopes) + torch.as_tensor(precision).to(images).diag()
    covariance = _inverse(fisher)
    by_parameter = _target_slopes(tensors)
    signal_to_noise = (images**2 / variance).sum((1, 2)).sqrt()
    targets = by_parameter @ covariance @ by_parameter.mT
    return tuple(result.cpu().numpy() for result in (covariance, targets, signal_to_noise))


def _jacobian(tensors: dict[str, torch.Tensor], band, npix: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, h, w), and their derivatives by the twelve parameters (12, n, h, w)."""

    def draw(name, changed):
        return render_tensors(tensors | {name: changed}, npix, band.pixel_scale, band.psf)

    slopes = []
    with warnings.catch_warnings():  # torch's forward mode uses what torch deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in PARAMETERS:
            tangent = tensors[name] if name in LOGARITHMIC else torch.ones_like(tensors[name])  # dθ = θ d(ln θ)
            images, slope = torch.func.jvp(partial(draw, name), (tensors[name],), (tangent,))[:2]
            slopes.append(slope)
    return images, torch.stack(slopes)


def _inverse(fisher: torch.Tensor) -> torch.Tensor:
    """Inverse, scaled to a unit diagonal on the way, as degrees and logarithms are of different sizes."""
    scale = fisher.diagonal(dim1=1, dim2=2).sqrt()
    scaled = fisher / (scale[:, :, None] * scale[:, None, :])
    factor, failed = torch.linalg.cholesky_ex(torch.nan_to_num(scaled))
    if failed.any() or not bool((scale > 0).all()):
        row = int((failed.bool() | (scale <= 0).any(1)).nonzero()[0, 0])
        raise ValueError(f"the image of galaxy {row} does not constrain all of its parameters; pass a prior.")
    return torch.cholesky_inverse(factor) / (scale[:, :, None] * scale[:, None, :])


def _target_slopes(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Derivatives of the targets by the parameters: (n, 3, 12)."""
    inputs = {name: tensors[name].clone().requires_grad_() for name in RADIUS_NAMES}
    with torch.enable_grad():
        log_radius = half_light_radius(inputs).log().sum()
    gradients = dict(zip(inputs, torch.autograd.grad(log_radius, list(inputs.values()))))
    names = list(PARAMETERS)
    slopes = torch.zeros(len(tensors["flux"]), 3, len(names)).to(tensors["flux"])
    slopes[:, 0, names.index("bulge_to_total")] = 1
    slopes[:, 2, names.index("flux")] = 1
    for name, gradient in gradients.items():
        slopes[:, 1, names.index(name)] = gradient * tensors[name] if name in LOGARITHMIC else gradient
    return slopes
