"""The half-light radius of bulge and disk together, and its derivatives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ._parameters import PARAMETERS, as_tensors
from ._sersic import enclosed_light

NAMES = ("bulge_to_total", "bulge_radius", "disk_radius", "bulge_sersic_index", "disk_sersic_index")
STEP = 1e-5  # of the differences, relative; their error is about its square


def half_light_radius(parameters):
    r"""Compute the radius that holds half of the light of bulge and disk together.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    parameters : mapping of str to array-like or Tensor of shape (n,)
        As `render` takes them; ``bulge_to_total``, and the radii and Sérsic indices of both are used.

    Returns
    -------
    radius : ndarray or Tensor of shape (n,)
        In the units of the radii, and like them circularized; a tensor, through which gradients flow, if
        ``bulge_to_total`` is one.

    Raises
    ------
    ValueError
        If a parameter is missing, has another shape, or is outside its limits.

    Notes
    -----
    R solves

    .. math:: B/T \, L_{bulge}(R) + (1 - B/T) \, L_{disk}(R) = 1/2

    with the shares of light L of Sérsic profiles within a circle, which are incomplete gamma functions (Graham &
    Driver 2005, PASA 22, 118, equation 2), by bisection; its derivatives are those of an implicit function.

    Examples
    --------
    >>> from galestim.simulation import half_light_radius
    >>> galaxy = {"bulge_to_total": [0.5], "bulge_radius": [0.5], "disk_radius": [2.0]}
    >>> galaxy |= {"bulge_sersic_index": [4.0], "disk_sersic_index": [1.0]}
    >>> half_light_radius(galaxy).round(4)
    array([1.1944])
    """
    differentiable = isinstance(parameters.get("bulge_to_total"), torch.Tensor)
    tensors = as_tensors(parameters, NAMES, dtype=None if differentiable else torch.float64)
    radius, _ = HalfLightRadius.apply(*tensors.values())
    return radius if differentiable else radius.numpy()


class HalfLightRadius(torch.autograd.Function):
    """The solution in numpy, (n,), with its first derivatives for torch, (5, n)."""

    @staticmethod
    def forward(*tensors):
        """Solve."""
        galaxies = [tensor.detach().cpu().double().numpy() for tensor in tensors]
        radius = _solve(*galaxies)
        slopes = np.stack(_slopes(radius, galaxies))
        return torch.as_tensor(radius).to(tensors[0]), torch.as_tensor(slopes).to(tensors[0])

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep the derivatives."""
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    def backward(ctx, gradient, _):
        """Pull a gradient back."""
        return tuple(gradient * ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx, *tangents):
        """Push tangents forward."""
        slopes = ctx.saved_tensors[0]
        pushed = sum(slope * tangent for slope, tangent in zip(slopes, tangents) if tangent is not None)
        return pushed, None


def _light(radius, bulge_to_total, bulge_radius, disk_radius, bulge_index, disk_index) -> NDArray:
    """Share of the light inside `radius`."""
    bulge, disk = enclosed_light(radius / bulge_radius, bulge_index), enclosed_light(radius / disk_radius, disk_index)
    return bulge_to_total * bulge + (1 - bulge_to_total) * disk


def _solve(*galaxies: NDArray) -> NDArray:
    """Bisect the logarithm of the radius, which lies between those of the components, to 1e-12."""
    low, high = (np.log(extreme(galaxies[1], galaxies[2])) for extreme in (np.minimum, np.maximum))
    for _ in range(45):
        middle = (low + high) / 2
        inside = _light(np.exp(middle), *galaxies) < 0.5
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.exp((low + high) / 2)


def _slopes(radius: NDArray, galaxies: list[NDArray]) -> list[NDArray]:
    """Derivatives of the solution: minus those of the light, over that by the radius."""

    def slope(i):
        values = [radius, *galaxies]
        step = STEP * np.maximum(abs(values[i]), 0.1)
        up, down = ([*values[:i], values[i] + side * step, *values[i + 1 :]] for side in (1, -1))
        return (_light(*up) - _light(*down)) / (2 * step)

    by_radius = slope(0)
    return [-slope(i) / by_radius for i in range(1, 6)]


def component_radii(drawn: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Radii of bulge and disk of galaxies whose ``half_light_radius`` and ``radius_ratio`` are known."""
    ratio = drawn["radius_ratio"]
    shape = (
        drawn["bulge_to_total"],
        ratio,
        np.ones_like(ratio),
        drawn["bulge_sersic_index"],
        drawn["disk_sersic_index"],
    )
    disk = drawn["half_light_radius"] / _solve(*shape)
    return {"bulge_radius": ratio * disk, "disk_radius": disk}


def log_radius_slopes(parameters: Mapping) -> NDArray:
    """Derivatives of the logarithm of the radius by the twelve parameters (n, 12), by the logarithm of radii."""
    tensors = as_tensors(parameters, NAMES, dtype=torch.float64, device="cpu")
    galaxies = [tensor.detach().numpy() for tensor in tensors.values()]
    radius = _solve(*galaxies)
    slopes = np.zeros((len(radius), len(PARAMETERS)))
    for name, value, slope in zip(NAMES, galaxies, _slopes(radius, galaxies)):
        by_log = value if name.endswith("_radius") else 1
        slopes[:, list(PARAMETERS).index(name)] = slope * by_log / radius
    return slopes
