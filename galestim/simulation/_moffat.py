"""Fourier transforms of Moffat profiles, from one table for all exponents."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import gamma, kv

ORDERS = 0.1, 11.0  # of the Bessel function, β - 1, in the table
N_ORDERS = 32  # of Chebyshev's polynomials in the logarithm of the order: to 5e-10
END, N_NODES = 6.2, 600  # of the root of the argument, where the transform is as smooth at small as at large ones


def moffat_transform(x: NDArray, beta: float) -> NDArray:
    """Transform at `x`, the wave number times α: 2/Γ(β-1) (x/2)^(β-1) K_{β-1}(x), interpolated to 1e-7."""
    root = np.minimum(np.sqrt(x), END * (1 - 1e-12)) * (N_NODES / END)
    cell = root.astype(np.intp)
    step = root - cell
    third, second, first, value = _spline(float(beta))
    result = third[cell]
    for coefficient in (second, first, value):
        result *= step
        result += coefficient[cell]
    return result


@lru_cache(maxsize=1024)
def _spline(beta: float) -> NDArray:
    """Coefficients of the cubic in each cell, highest power first: ``(4, N_NODES)``."""
    low, high = np.log(ORDERS)
    position = 2 * (np.log(beta - 1) - low) / (high - low) - 1
    if abs(position) > 1:
        return _cells(_exact(beta - 1))
    return np.ascontiguousarray(_table() @ chebyshev.chebvander(np.array([position]), N_ORDERS - 1)[0])


@lru_cache(maxsize=1)
def _table() -> NDArray:
    """Chebyshev's coefficients, in the order, of the coefficients of the cubics: ``(4, N_NODES, N_ORDERS)``."""
    nodes = np.cos(np.pi * (np.arange(N_ORDERS) + 0.5) / N_ORDERS)
    low, high = np.log(ORDERS)
    values = np.array([_exact(order) for order in np.exp(low + (high - low) * (nodes + 1) / 2)])
    return _cells(np.linalg.solve(chebyshev.chebvander(nodes, N_ORDERS - 1), values).T)


def _exact(order: float) -> NDArray:
    """The transform at the nodes."""
    x = np.maximum(np.linspace(0, END, N_NODES + 1) ** 2, 1e-6)
    return 2 / gamma(order) * (x / 2) ** order * kv(order, x)


def _cells(values: NDArray) -> NDArray:
    """Coefficients of the spline through `values` ``(N_NODES + 1, …)`` in steps of one cell."""
    return CubicSpline(np.arange(N_NODES + 1), values).c
