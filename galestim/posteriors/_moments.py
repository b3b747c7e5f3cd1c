"""Moments in physical units of targets whose latent values are Gaussian: closed forms, or quadrature; never draws."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from ..targets import IdentityTransform, LogTransform

N_NODES = 64
"""Of the quadrature: 1e-6 of each moment up to the kurtosis, for latent standard deviations up to 2."""


class Moments(NamedTuple):
    """Mean and the second to fourth moments about it, of one shape."""

    mean: NDArray
    variance: NDArray
    third: NDArray
    fourth: NDArray


class Shape(NamedTuple):
    """Mean, variance, standard deviation, skewness and excess kurtosis, of one shape."""

    mean: NDArray
    variance: NDArray
    std: NDArray
    skew: NDArray
    kurtosis: NDArray


def shape_of(moments: Moments, unit: NDArray | float = 1.0) -> Shape:
    """Shape of distributions whose `moments` are those of values in units of `unit`; NaN where nothing varies."""
    mean, variance, third, fourth = moments
    std = np.sqrt(variance)
    with np.errstate(all="ignore"):  # all draws may be one, and a variance too large for a float64
        skew, kurtosis = third / variance**1.5, fourth / variance**2 - 3
        return Shape(unit * mean, unit * (unit * variance), unit * std, skew, kurtosis)


def gaussian_moments(mean: NDArray, std: NDArray, transform) -> Moments:
    """Moments in physical units of ``inverse(z)`` for Gaussian z of latent `mean` and `std`, of any one shape."""
    with np.errstate(all="ignore"):
        if isinstance(transform, IdentityTransform):
            return Moments(mean, std**2, np.zeros_like(mean), 3 * std**4)
        if isinstance(transform, LogTransform):
            return _lognormal_moments(mean, std)
        return _quadrature_moments(mean, std, transform)


def mixture_moments(weight: NDArray, parts: Moments) -> Moments:
    """Moments of mixtures of the parts along the last axis, about the common mean: nothing cancels."""
    with np.errstate(all="ignore"):
        mean = (weight * parts.mean).sum(axis=-1)
        d = parts.mean - mean[..., None]
        second = parts.variance + d * d
        third = parts.third + d * (3 * parts.variance + d * d)
        fourth = parts.fourth + d * (4 * parts.third + d * (6 * parts.variance + d * d))
        return Moments(mean, *((weight * moment).sum(axis=-1) for moment in (second, third, fourth)))


def gaussian_covariance(first: NDArray, second: NDArray, correlation: NDArray) -> NDArray:
    """Covariance in physical units of two targets whose latent values are jointly Gaussian, of one `correlation`.

    With the Hermite coefficients a and b of both, it is ``Σ_i correlation^i a_i b_i`` (Mehler's formula): as exact as
    the product Gauss-Hermite rule at the cost of two rules in one dimension.
    """
    covariance = np.zeros_like(correlation)
    for order in reversed(range(first.shape[-1])):  # Horner's scheme
        covariance += first[..., order] * second[..., order]
        covariance *= correlation
    return covariance


def hermite_coefficients(mean: NDArray, std: NDArray, transform) -> NDArray:
    """Of ``inverse(mean + std·t)`` in the orthonormal Hermite polynomials of t, orders 1, 2, … along a last axis."""
    with np.errstate(all="ignore"):
        if isinstance(transform, LogTransform):
            steps = std[..., None] / np.sqrt(np.arange(1, N_NODES))
            return np.exp(mean + std**2 / 2)[..., None] * np.multiply.accumulate(steps, axis=-1)
        nodes, weights = _gauss_hermite()
        y = transform.inverse(mean[..., None] + std[..., None] * nodes)
        y -= (y @ weights)[..., None]
        return y @ (weights[:, None] * _hermite_polynomials(nodes))


def _lognormal_moments(mean: NDArray, std: NDArray) -> Moments:
    """Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions 1, section 14.3."""
    first = np.exp(mean + std**2 / 2)
    w, w_less_1 = np.exp(std**2), np.expm1(std**2)
    variance = first**2 * w_less_1
    third = first**3 * w_less_1**2 * (w + 2)
    return Moments(first, variance, third, variance**2 * (w**4 + 2 * w**3 + 3 * w**2 - 3))


def _quadrature_moments(mean: NDArray, std: NDArray, transform) -> Moments:
    nodes, weights = _gauss_hermite()
    y = transform.inverse(mean[..., None] + std[..., None] * nodes)
    first = y @ weights
    y -= first[..., None]
    square = y**2
    return Moments(first, square @ weights, (square * y) @ weights, (square * square) @ weights)


@cache
def _gauss_hermite() -> tuple[NDArray, NDArray]:
    nodes, weights = hermegauss(N_NODES)
    return nodes, weights / weights.sum()


def _hermite_polynomials(t: NDArray) -> NDArray:
    """Orthonormal under the standard normal, orders 1 to N_NODES - 1; ``(len(t), N_NODES - 1)``."""
    polynomials = [np.ones_like(t), t]
    for i in range(1, N_NODES - 1):
        polynomials.append((t * polynomials[i] - np.sqrt(i) * polynomials[i - 1]) / np.sqrt(i + 1))
    return np.stack(polynomials[1:], axis=-1)
