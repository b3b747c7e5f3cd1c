"""Densities of one galaxy's posterior on grids, of single targets and of pairs.

Those of a Gaussian mixture are exact: in latent space any two of its targets are a Gaussian mixture again. Those of
weighted draws are smoothed histograms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._kernel import bandwidth, smoothed
from ..posteriors import DrawsPosterior, MixturePosterior, Posterior

VIEW = 0.002, 0.998
"""The quantiles that bound what is shown: ±2.9 σ of a Gaussian, beyond the contour of 95 %."""

_BEYOND = 1e-5, 1 - 1e-5  # the quantiles that bound what is computed, so that no mass is missed
_N_CELLS = {1: 400, 2: 160}


class Density(NamedTuple):
    """A density per cell of a grid: `axes` (d arrays of cell centers), `values` and `mass`, each (n_1, …, n_d)."""

    axes: list[NDArray[np.float64]]
    values: NDArray[np.float64]
    mass: NDArray[np.float64]


def density(posterior: Posterior, targets: list[int]) -> Density:
    """Marginal density of one or two `targets` of a posterior of length 1, in physical units."""
    if isinstance(posterior, MixturePosterior):
        return _mixture_density(posterior, targets)
    assert isinstance(posterior, DrawsPosterior)
    return _draws_density(posterior, targets)


def highest_density(grid: Density, levels) -> NDArray[np.float64]:
    """The density above which lie the shares `levels` of the mass: edges of the highest-density regions.

    The regions are those of Hyndman (1996, The American Statistician 50, 120).
    """
    order = np.argsort(grid.values, axis=None)[::-1]
    held = np.cumsum(grid.mass.ravel()[order])
    return grid.values.ravel()[order][np.searchsorted(held, np.asarray(levels) * held[-1])]


def latent_marginal(posterior: MixturePosterior, targets: list[int]) -> MixturePosterior:
    """The latent posterior of some targets alone, as a posterior whose units are the latent ones."""
    some = posterior[[posterior.target_names[target] for target in targets]]
    return MixturePosterior(some.means, some.scale_trils, some.weights)


def _mixture_density(posterior: MixturePosterior, targets: list[int]) -> Density:
    """Cells are equal in latent space, so that a spike next to a bound is resolved as well as the rest."""
    latent = latent_marginal(posterior, targets)
    low, high = latent.quantile(_BEYOND)[0]
    edges = np.linspace(low, high, _N_CELLS[len(targets)] + 1).T
    centers = (edges[:, 1:] + edges[:, :-1]) / 2
    points = np.stack(np.meshgrid(*centers, indexing="ij"), axis=-1)
    mass = np.exp(latent.log_prob(points.reshape(1, -1, len(targets)))).reshape(points.shape[:-1])
    transforms = [posterior.transforms[target] for target in targets]
    widths = [_widths(transform.inverse(edge)) for transform, edge in zip(transforms, edges)]
    axes = [transform.inverse(center) for transform, center in zip(transforms, centers)]
    return Density(axes, mass / _outer(widths) / mass.sum(), mass / mass.sum())


def _draws_density(posterior: DrawsPosterior, targets: list[int]) -> Density:
    """A fine histogram, smoothed along each axis."""
    d, draws, weights = len(targets), posterior.draws[0][:, targets], posterior.weights[0]
    low, high = _apart(*posterior.quantile(_BEYOND)[0][:, targets])
    edges = list(np.linspace(low, high, _N_CELLS[d] + 1).T)
    mass, _ = np.histogramdd(draws, bins=edges, weights=weights)
    std, quartiles = posterior.std()[0, targets], posterior.quantile((0.25, 0.75))[0][:, targets]
    widths = bandwidth(std / (high - low), quartiles / (high - low), weights, d)
    for axis, width in enumerate(widths * _N_CELLS[d]):
        mass = smoothed(mass.swapaxes(axis, -1), width).swapaxes(axis, -1)
    return Density([(edge[1:] + edge[:-1]) / 2 for edge in edges], mass / _outer([*map(_widths, edges)]), mass)


def _apart(low: NDArray, high: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds that differ, where all draws are one."""
    margin = np.where(high > low, 0.0, np.where(high == 0, 1.0, np.abs(high) * 0.01))
    return low - margin, high + margin


def _widths(edges: NDArray) -> NDArray[np.float64]:
    """Width of each cell; never zero, where the physical value has reached its bound to the last digit."""
    return np.maximum(np.diff(edges), 1e-9 * np.ptp(edges))


def _outer(widths: list[NDArray]) -> NDArray[np.float64]:
    """Size of each cell; of pairs with huge or tiny widths relative, as their product would be beyond floats."""
    if len(widths) == 2 and not all(1e-100 < width.max() < 1e100 for width in widths):
        widths = [width / width.max() for width in widths]
    return widths[0] if len(widths) == 1 else np.outer(*widths)
