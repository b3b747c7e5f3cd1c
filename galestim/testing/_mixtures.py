"""Exponential and de Vaucouleurs profiles as sums of Gaussians, which a Gaussian PSF only widens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Shares and variances (in half-light radii squared) of Gaussians whose sum has total 1 and half-light radius 1. They
# are least-squares fits to the growth of light, and to the surface brightness weighted by the light per ln r, between
# 0.01 and 8 (exponential) or 30 (de Vaucouleurs) half-light radii. The form is that of Hogg & Lang (2013, PASP 125,
# 719), the numbers are ours. The light within any radius is the profile's to 0.02 % and 0.3 % of the total; the
# surface brightness is the profile's to 1 % from 0.05 to 4 half-light radii (exponential), to 5 % from 0.1 to 8 (the
# other).
EXPONENTIAL = np.array(
    [
        [0.005351, 0.051701, 0.213669, 0.404891, 0.281956, 0.042432],
        [0.01117, 0.073638, 0.2755, 0.77746, 1.84, 3.9701],
    ]
)
DE_VAUCOULEURS = np.array(
    [
        [0.015673, 0.056978, 0.12992, 0.208498, 0.242268, 0.20001, 0.11044, 0.036213],
        [0.00049298, 0.0055067, 0.038961, 0.21859, 1.0816, 5.0448, 23.567, 125.26],
    ]
)


def disk_radius(bulge_to_total: NDArray, radius_ratio: NDArray) -> NDArray:
    """Half-light radius of the disk for which bulge and disk together have half-light radius 1, face-on."""

    def excess(radius):
        disk = flux_within(1 / radius, EXPONENTIAL)
        bulge = flux_within(1 / (radius * radius_ratio), DE_VAUCOULEURS)
        return 0.5 - bulge_to_total * bulge - (1 - bulge_to_total) * disk

    bounds = np.stack([np.ones_like(radius_ratio), 1 / radius_ratio])
    return _bisect(excess, 0.9 * bounds.min(axis=0), 1.1 * bounds.max(axis=0))


def flux_within(radius: NDArray, mixture: NDArray) -> NDArray:
    """Share of a mixture's light within `radius`, in half-light radii."""
    shares, variances = mixture
    return 1 - np.exp(-0.5 * radius[..., None] ** 2 / variances) @ (shares / shares.sum())


def _bisect(function: Callable[[NDArray], NDArray], low: NDArray, high: NDArray) -> NDArray:
    """Root of an increasing `function`, elementwise, to a relative precision of 1e-9 or better."""
    for _ in range(40):
        middle = np.sqrt(low * high)
        above = function(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.sqrt(low * high)
