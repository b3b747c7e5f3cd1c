"""Quadrature nodes in wave number that sum an image from its Fourier transform without periodic copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROWTH = 0.3  # spacing over wave number, where nodes are graded
FINEST = 0.05  # spacing at zero, times the reach
GRADED = 15.0  # wave number, times the reach, up to which nodes are graded


def graded_nodes(limit: float, reach: float) -> tuple[NDArray, NDArray]:
    """Positive wave numbers up to `limit` and their weights, for images that extend to ±`reach`.

    Evenly spaced ones repeat the image with a period of 2π over their spacing. The light that comes in from the
    copies is that of the wings, which is at low wave numbers; there the nodes are ever denser. Their density is a
    smooth function of the wave number, so the sum keeps the spectral accuracy of the trapezoidal rule.
    """
    k = np.r_[0, np.geomspace(1e-4 / reach, 1.1 * limit, 20000)]
    density = reach / np.pi + np.exp(-((k * reach / GRADED) ** 2)) / np.hypot(FINEST / reach, GROWTH * k)
    count = np.r_[0, np.cumsum(np.diff(k) * (density[1:] + density[:-1]) / 2)]
    last = np.interp(limit, k, count)
    cell = last / np.ceil(last)  # so that cells end at the limit, where a measured transform may not be zero yet
    nodes = np.interp((np.arange(np.ceil(last)) + 0.5) * cell, count, k)
    return nodes, cell / np.interp(nodes, k, density)
