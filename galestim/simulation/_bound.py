"""The Cramér–Rao bound: the least errors with which galaxies can be measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import block_diag

from ._correlation import whitened
from ._galaxy_prior import KNOWN, LOGARITHMIC
from ._near import near
from ._noise import noise_variance
from ._nuisance import lost_to_neighbors, without_masked
from ._parameters import PARAMETERS, as_tensors
from ._psf import Widened
from ._radius import NAMES as RADIUS_NAMES
from ._radius import half_light_radius
from ._render import Crowd, render_tensors

TARGETS = ("bulge_to_total", "ln_half_light_radius", "ln_flux")
WIDTH_STEP = 1e-3  # in the logarithm of the width
GALAXIES = 64  # at a time: their Jacobians take 60 MB at 96 pixels; half as many if they have neighbors


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
        Of all light of the galaxy in the image, with the best weights.
    """

    target_names: tuple[str, ...]
    std: NDArray
    covariance: NDArray
    parameter_names: tuple[str, ...]
    parameter_covariance: NDArray
    signal_to_noise: NDArray


def cramer_rao_bound(
    parameters,
    band,
    *,
    npix=96,
    prior=None,
    neighbors=None,
    neighbor_prior=None,
    mask=None,
    sky_error=None,
    psf_error=None,
    device=None,
):
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
        What is known before: its ``precision``, or the inverse of its ``variance`` on the diagonal, is added to the
        Fisher matrix. With None, a galaxy whose parameters its image does not constrain (B/T = 0, round disks) is an
        error.
    neighbors : mapping of str to array-like of shape (m,) or None, default=None
        What else is in the images, as `render` takes it. All of their parameters are marginalized.
    neighbor_prior : object with a method ``precision`` or None, default=None
        What is known of them before: ``NeighborPrior.given(…)``. Needed if there are neighbors.
    mask : array-like of bool of shape (n, npix, npix) or None, default=None
        Bad pixels, True, which tell nothing.
    sky_error : float or array-like of shape (n,) or None, default=None
        Standard deviation of the error of the sky's level, in units of the band's ``sky_noise``; infinite where
        nothing is known of it. None: the band's.
    psf_error : float or array-like of shape (n,) or None, default=None
        Standard deviation of the error of the point-spread function's width, as a share of it. None: the band's.
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
        If the Fisher matrix is singular, `sky_error` or `psf_error` is not one number or n, none negative, neighbors
        have no prior, `mask` is no mask of the images, or as in `render`.

    Notes
    -----
    With the model I(θ) of the pixels, their variances V and the variances σ² of the prior,

    .. math:: C = \left(\sum_{pixels} \frac{∂I}{∂θ} \frac{1}{V} \frac{∂I}{∂θ}^T + diag(σ^{-2})\right)^{-1}

    is the bound of the twelve parameters θ (flux and radii in logarithms), and J C Jᵀ that of the targets, with their
    derivatives J by θ [1]_. The images' derivatives are exact, by forward-mode differentiation. What is not known of
    the camera, the level of the sky and the logarithm of the point-spread function's width, are two more parameters
    with Gaussian priors; the covariances are those of the others with these marginalized. In place of V, correlated
    noise (`Band.correlation`) has the covariance matrix that `add_noise` gives it in an image of this size, which is
    inverted exactly. A prior of other coordinates, such as the half-light radius, adds the inverse of its covariance,
    linear around each galaxy, in place of a diagonal. Neighbors add twelve parameters each, known as their prior
    says, and their photons to V. Bad pixels are left out of the sum; where noise is correlated, out of the covariance
    matrix before it is inverted. With a prior this is the covariance of a posterior only as far
    as both are Gaussian: averages over flat priors with hard limits are smaller by a few percent.

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
    n = len(tensors["flux"])
    precision = _precision(prior, tensors)
    crowd = Crowd.of(neighbors, tensors["flux"])
    known = _neighbor_precision(neighbor_prior, crowd)
    masked = _checked_mask(mask, (n, npix, npix))
    errors = _camera_errors(
        n,
        band,
        sky_error=band.sky_error if sky_error is None else sky_error,
        psf_error=band.psf_error if psf_error is None else psf_error,
    )
    size = GALAXIES if crowd is None else GALAXIES // 2
    batches = [
        _bound(
            {name: values[rows].detach() for name, values in tensors.items()},
            band.of_rows(rows),
            npix,
            precision[rows],
            errors[rows],
            *_some(crowd, known, np.arange(n)[rows]),
            None if masked is None else masked[rows].to(tensors["flux"].device),
        )
        for rows in (slice(start, start + size) for start in range(0, max(n, 1), size))
    ]
    parameter_covariance, covariance, signal_to_noise = (np.concatenate(arrays) for arrays in zip(*batches))
    std = np.sqrt(covariance.diagonal(axis1=1, axis2=2))
    return CramerRaoBound(TARGETS, std, covariance, tuple(PARAMETERS), parameter_covariance, signal_to_noise)


def _precision(prior, tensors: dict[str, torch.Tensor]) -> NDArray:
    """Inverse covariances of the parameters (n, 12, 12), by what is known before."""
    n, names = len(tensors["flux"]), list(PARAMETERS)
    if prior is None:
        return np.zeros((n, len(names), len(names)))
    if hasattr(prior, "precision"):
        return prior.precision({name: values.detach().cpu() for name, values in tensors.items()})
    variance = prior.variance()
    precision = np.array([1 / max(variance[name], KNOWN) for name in names])
    return np.tile(np.diag(precision), (n, 1, 1))


def _camera_errors(n: int, band, **errors) -> NDArray[np.float64]:
    """Standard deviations of the level of the sky and of the logarithm of the width: ``(n, 2)``."""
    for name, error in errors.items():
        if np.shape(error) not in ((), (n,)) or not (np.asarray(error) >= 0).all():
            raise ValueError(f"{name}={error!r}; expected a number or ({n},), at least 0.")
    errors["sky_error"] = errors["sky_error"] * np.asarray(band.sky_noise)
    return np.stack([np.broadcast_to(np.asarray(error, dtype=float), n) for error in errors.values()], axis=1)


def _neighbor_precision(prior, crowd: Crowd | None) -> NDArray:
    """Inverse covariances of the parameters of neighbors (m, 12, 12), by what is known before."""
    if crowd is None:
        return np.zeros((0, len(PARAMETERS), len(PARAMETERS)))
    if not hasattr(prior, "precision"):
        raise ValueError(f"neighbor_prior={prior!r} with neighbors; expected that of NeighborPrior.given(…).")
    return prior.precision({name: v.detach().cpu() for name, v in crowd.tensors.items()} | {"galaxy": crowd.galaxy})


def _checked_mask(mask, shape: tuple[int, ...]) -> torch.Tensor | None:
    if mask is None:
        return None
    bad = torch.as_tensor(np.asarray(mask))
    if bad.shape != shape or bad.dtype != torch.bool:
        raise ValueError(
            f"mask has shape {tuple(bad.shape)} and dtype {bad.dtype}; expected {shape} and bool, True for bad ones."
        )
    return bad


def _some(crowd: Crowd | None, known: NDArray, rows: NDArray) -> tuple[Crowd | None, NDArray]:
    """Neighbors of some galaxies, and what is known of them."""
    if crowd is None:
        return None, known
    which, whose = near(crowd.galaxy, rows)
    return Crowd({name: values[which].detach() for name, values in crowd.tensors.items()}, whose), known[which]


def _bound(
    tensors: dict[str, torch.Tensor],
    band,
    npix: int,
    precision: NDArray,
    errors: NDArray,
    crowd: Crowd | None,
    known_of_crowd: NDArray,
    mask: torch.Tensor | None,
):
    """Covariances of the parameters and the targets, and signal to noise."""
    images, slopes = _jacobian(tensors, band, npix)
    scene = images
    if crowd is not None:
        owner = torch.as_tensor(crowd.galaxy, device=images.device)
        others, of_neighbors = _jacobian(crowd.tensors, band.of_rows(crowd.galaxy), npix)
        scene = images.index_add(0, owner, others)
    variance = noise_variance(scene, band.sky_noise, band.gain)
    if errors.any():
        slopes = torch.cat([slopes, _camera_slopes(tensors, band, npix, images, crowd)])
        known = 1 / np.maximum(errors**2, KNOWN * np.median(variance))
        precision = np.stack([block_diag(*both) for both in zip(precision, known[:, None] * np.eye(2))])
    weighted = _whitened(torch.cat([slopes, images[None]]) / variance.sqrt(), band, mask)
    slopes, images = weighted[:-1], weighted[-1]
    fisher = torch.einsum("inyx,jnyx->nij", slopes, slopes)
    if crowd is not None:
        its = None if mask is None else mask[owner]
        seen = _whitened(of_neighbors / variance[owner].sqrt(), band.of_rows(crowd.galaxy), its)
        fisher = fisher - lost_to_neighbors(slopes, seen, crowd.galaxy, torch.as_tensor(known_of_crowd).to(images))
    covariance = _inverse(fisher + torch.as_tensor(precision).to(images))
    covariance = covariance[:, : len(PARAMETERS), : len(PARAMETERS)]
    by_parameter = _target_slopes(tensors)
    signal_to_noise = images.square().sum((1, 2)).sqrt()
    targets = by_parameter @ covariance @ by_parameter.mT
    return tuple(result.cpu().numpy() for result in (covariance, targets, signal_to_noise))


def _whitened(pixels: torch.Tensor, band, mask: torch.Tensor | None) -> torch.Tensor:
    """Images (m, n, h, w) in units of the noise, as they would be with independent noise and without bad pixels."""
    lengths = np.broadcast_to(0.0 if band.correlation is None else band.correlation, pixels.shape[1])
    return without_masked(pixels if band.correlation is None else whitened(pixels, lengths), mask, lengths)


def _jacobian(tensors: Mapping[str, torch.Tensor], band, npix: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, h, w), and their derivatives by the twelve parameters (12, n, h, w)."""

    def draw(name, changed):
        return render_tensors({**tensors, name: changed}, npix, band.pixel_scale, band.psf)

    slopes = []
    with warnings.catch_warnings():  # torch's forward mode uses what torch deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in PARAMETERS:
            tangent = tensors[name] if name in LOGARITHMIC else torch.ones_like(tensors[name])  # dθ = θ d(ln θ)
            images, slope = torch.func.jvp(partial(draw, name), (tensors[name],), (tangent,))[:2]
            slopes.append(slope)
    return images, torch.stack(slopes)


def _camera_slopes(
    tensors: dict[str, torch.Tensor], band, npix: int, images: torch.Tensor, crowd: Crowd | None = None
) -> torch.Tensor:
    """Derivatives by the level of the sky and the logarithm of the width: (2, n, h, w)."""
    psfs = [band.psf] if hasattr(band.psf, "transform") else band.psf

    def draw(factor):
        widened = [Widened(psf, factor) for psf in psfs]
        return render_tensors(tensors, npix, band.pixel_scale, widened if len(widened) > 1 else widened[0], crowd)

    by_width = (draw(1 + WIDTH_STEP) - draw(1 - WIDTH_STEP)) / (2 * WIDTH_STEP)
    return torch.stack([torch.ones_like(images), by_width])


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
