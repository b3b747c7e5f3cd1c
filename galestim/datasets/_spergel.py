"""Spergel (2010) profiles of bulges and disks: their light in apertures and their Fourier transforms.

One implementation for all simulated galaxies. Spergel's profiles stand in for Sérsic's because both their growth of
light and their Fourier transform have a closed form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, kv

# Spergel (2010) indices: 0.5 is the exponential profile exactly, -0.6 is close to de Vaucouleurs'.
BULGE, DISK = -0.6, 0.5


def flux_within(radius: NDArray, nu: float) -> NDArray:
    """Share of the light of a Spergel profile of scale 1 inside `radius` (Spergel 2010)."""
    return 1 - 2 * (1 + nu) * (radius / 2) ** (nu + 1) * kv(nu + 1, radius) / gamma(nu + 2)


def bisect(function: Callable[[NDArray], NDArray], low: NDArray, high: NDArray) -> NDArray:
    """Root of an increasing `function`, elementwise, to a relative precision of 1e-9 or better."""
    for _ in range(40):
        middle = np.sqrt(low * high)
        above = function(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.sqrt(low * high)


def _half_light(nu: float) -> float:
    """Half-light radius of a Spergel profile in units of its scale."""
    return float(bisect(lambda r: flux_within(r, nu) - 0.5, np.array(0.01), np.array(10.0)))


HALF_LIGHT = {nu: _half_light(nu) for nu in (BULGE, DISK)}


def joint_half_light_radius(bulge_to_total: NDArray, bulge_radius: NDArray, disk_radius: NDArray | float) -> NDArray:
    """Half-light radius of bulge and disk together, from theirs; all three of circles, or of equal ellipses."""

    def excess(radius):
        disk = flux_within(HALF_LIGHT[DISK] * radius / disk_radius, DISK)
        bulge = flux_within(HALF_LIGHT[BULGE] * radius / bulge_radius, BULGE)
        return bulge_to_total * bulge + (1 - bulge_to_total) * disk - 0.5

    # That of the sum lies between the two.
    return bisect(excess, 0.99 * np.minimum(bulge_radius, disk_radius), 1.01 * np.maximum(bulge_radius, disk_radius))


def spergel_spectrum(
    kx: NDArray, ky: NDArray, scale: NDArray, axis_ratio: NDArray, position_angle: NDArray, nu: float
) -> NDArray:
    """(1 + k² r₀²)^-(1+ν) with elliptical k (Spergel 2010), `scale` r₀ semi-major: ``(n, len(ky), len(kx))``."""
    angle = np.radians(position_angle)
    # North is against the rows, east against the columns: the major axis is along (x, y) = (sin, cos).
    major, minor = scale**2, (scale * axis_ratio) ** 2
    xx = major * np.sin(angle) ** 2 + minor * np.cos(angle) ** 2
    yy = major * np.cos(angle) ** 2 + minor * np.sin(angle) ** 2
    xy = (major - minor) * np.sin(2 * angle)
    xx, yy, xy = (v.astype(np.float32)[:, None, None] for v in (xx, yy, xy))
    base = (1 + yy * ky[:, None] ** 2) + (xx * kx + xy * ky[:, None]) * kx
    return 1 / (base * np.sqrt(base)) if nu == DISK else base ** np.float32(-1 - nu)
