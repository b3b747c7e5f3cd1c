"""Gaussian mixtures of one target, seen in physical units: cdf, quantiles, mode and intervals of many galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ._blocks import blocks, row_searchsorted
from ._moments import Moments, gaussian_moments, mixture_moments

_SQRT_2PI = np.sqrt(2 * np.pi)
_GRID_POINTS = 257  # of a table, at least
_NODES_PER_COMPONENT = 9  # at least, so that no component is overlooked
_MAX_GRID_POINTS = 384
_PROBABILITY_TOLERANCE = 1e-13
_MAX_STEPS = 120
_MODE_STEPS = 22  # each makes the bracket 0.618 times as long
_GOLDEN = (np.sqrt(5) - 1) / 2


class _Table(NamedTuple):
    """Latent points, physical values, cdf and physical density, each ``(n, points)``."""

    z: NDArray
    y: NDArray
    cdf: NDArray
    density: NDArray


class MixtureMarginal:
    """One target of n galaxies: mixtures of m latent Gaussians, `mean`, `std` and `weight` ``(n, m)``.

    All values taken and returned are physical, except where a name says latent.
    """

    def __init__(self, mean: NDArray, std: NDArray, weight: NDArray, transform):
        self.mean, self.std, self.weight = mean, std, weight
        self.transform = transform

    def moments(self) -> Moments:
        """Mean and central moments, each ``(n,)``."""
        return mixture_moments(self.weight, gaussian_moments(self.mean, self.std, self.transform))

    def cdf(self, y: NDArray) -> NDArray:
        """Probability of less than `y` ``(n, q)``."""
        with np.errstate(all="ignore"):
            return self._latent_cdf(self.transform.forward(y))

    def pdf(self, y: NDArray) -> NDArray:
        """Density at `y` ``(n, q)``; 0 outside the support."""
        with np.errstate(all="ignore"):
            z = self.transform.forward(y)
        density = self._physical(self._latent_pdf(np.where(np.isfinite(z), z, 0.0)), y)
        return np.where(np.isnan(y), np.nan, np.where(np.isfinite(z), density, 0.0))

    def quantile(self, q: NDArray) -> NDArray:
        """Values ``(n, q)`` below which the probabilities `q`, ``(q,)`` or ``(n, q)``, lie."""
        return self._inverse(self._latent_quantile(np.broadcast_to(q, (len(self.mean), q.shape[-1]))))

    def mode(self) -> NDArray:
        """Where the density is highest ``(n,)``: the best point of the table, and golden sections around it."""
        z, _, _, density = self._table
        low, _, high = _neighbors(z, density.argmax(axis=1)).T[:, :, None]
        for _ in range(_MODE_STEPS):
            left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
            density = self._density(np.hstack([left, right]))
            leftwards = density[:, :1] > density[:, 1:]
            low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        return self._inverse((low + high) / 2)[:, 0]

    def intervals(self, levels: Sequence[float], kind: str) -> NDArray:
        """Ends of the intervals that hold `levels`, ``(n, levels, 2)``; `kind` is "equal_tailed" or "hdi"."""
        if kind == "hdi":
            return np.stack([self._narrowest(level) for level in levels], axis=1)
        tail = (1 - np.asarray(levels)) / 2
        return self.quantile(np.column_stack([tail, 1 - tail]).ravel()).reshape(-1, len(tail), 2)

    def _narrowest(self, level: float) -> NDArray:
        """Ends ``(n, 2)``: the best lower end of the table, moved until the density is the same at both ends."""
        z, y, cdf, _ = self._table
        reached = cdf + level
        with np.errstate(all="ignore"):
            width = np.where(reached < cdf[:, -1:], _interpolated(reached, cdf, y) - y, np.inf)
        low = _neighbors(z, np.where(np.isnan(width), np.inf, width).argmin(axis=1))
        with np.errstate(all="ignore"):
            tilt = np.log(self._density(low)) - np.log(self._density(self._upper_end(low, level)))
        low = _root(low, tilt)[:, None]
        return self._inverse(np.hstack([low, self._upper_end(low, level)]))

    def _upper_end(self, low: NDArray, level: float) -> NDArray:
        """Latent upper ends of intervals that hold `level`, of the shape of their latent lower ends."""
        return self._latent_quantile(np.minimum(self._latent_cdf(low) + level, 1.0))

    @cached_property
    def _table(self) -> _Table:
        """Made of densities alone, which cost a tenth of the cdf: it finds the neighborhood of what is sought."""
        z = self._grid()
        pdf, slope = self._latent_pdf_and_slope(z)
        step = np.diff(z, axis=1)
        # the trapezoidal rule with its end correction, of fourth order
        share = step / 2 * (pdf[:, 1:] + pdf[:, :-1]) - step**2 / 12 * np.diff(slope, axis=1)
        cdf = np.pad(np.cumsum(np.maximum(share, 0.0), axis=1), ((0, 0), (1, 0)))
        y = self._inverse(z)
        return _Table(z, y, cdf / cdf[:, -1:], self._physical(pdf, y))

    def _grid(self) -> NDArray:
        """Latent points: as many around each component, staggered so that those of equal ones interleave."""
        n, m = self.mean.shape
        per_component = max(_NODES_PER_COMPONENT, -(-_GRID_POINTS // m))
        place = 2 * (np.arange(m * per_component) + 0.5) / (m * per_component) - 1
        t = 9 * np.sinh(3 * place.reshape(per_component, m).T) / np.sinh(3)
        z = np.sort((self.mean[..., None] + self.std[..., None] * t).reshape(n, -1), axis=1)
        kept = np.linspace(0, z.shape[1] - 1, min(z.shape[1], _MAX_GRID_POINTS)).round().astype(int)
        return z[:, kept]

    def _density(self, z: NDArray) -> NDArray:
        """Physical density at latent `z`."""
        return self._physical(self._latent_pdf(z), self._inverse(z))

    def _physical(self, pdf: NDArray, y: NDArray) -> NDArray:
        """Physical density of a latent one at `y`; 0 where it is beyond what floating-point numbers resolve."""
        with np.errstate(all="ignore"):
            density = pdf * np.exp(self.transform.log_abs_det_jacobian(y))
        return np.where(np.isfinite(density), density, 0.0)

    def _inverse(self, z: NDArray) -> NDArray:
        with np.errstate(all="ignore"):
            return self.transform.inverse(z)

    def _latent_cdf(self, z: NDArray) -> NDArray:
        return self._mixed(z, self.weight, ndtr)

    def _latent_pdf(self, z: NDArray) -> NDArray:
        return self._mixed(z, self.weight / (self.std * _SQRT_2PI), _bell)

    def _mixed(self, z: NDArray, weight: NDArray, kernel) -> NDArray:
        """Sum over components of ``weight · kernel((z - mean) / std)`` at `z` ``(n, q)``."""
        out = np.empty(z.shape)
        for rows, columns in blocks(z.shape, self.mean.shape[1]):
            t = (z[rows, columns, None] - self.mean[rows, None]) / self.std[rows, None]
            out[rows, columns] = (kernel(t) @ weight[rows, :, None])[..., 0]
        return out

    def _latent_pdf_and_slope(self, z: NDArray) -> tuple[NDArray, NDArray]:
        """As `_latent_pdf`, with its derivative."""
        pdf, slope = np.empty((2, *z.shape))
        weight = self.weight / (self.std * _SQRT_2PI)
        for rows, columns in blocks(z.shape, self.mean.shape[1]):
            t = (z[rows, columns, None] - self.mean[rows, None]) / self.std[rows, None]
            bell = _bell(t)
            pdf[rows, columns] = (bell @ weight[rows, :, None])[..., 0]
            bell *= t
            slope[rows, columns] = -(bell @ (weight / self.std)[rows, :, None])[..., 0]
        return pdf, slope

    def _take(self, rows: NDArray) -> MixtureMarginal:
        return MixtureMarginal(self.mean[rows], self.std[rows], self.weight[rows], self.transform)

    def _latent_quantile(self, q: NDArray) -> NDArray:
        """By Newton's method on ``Φ⁻¹(cdf)``, which is nearly linear, held between the components' own quantiles."""
        score = ndtri(q)
        ends = [self.mean + self.std * column[:, None] for column in score.T]
        low = np.stack([end.min(axis=1) for end in ends], axis=1).ravel()
        high = np.stack([end.max(axis=1) for end in ends], axis=1).ravel()
        mean, std = self._latent_mean_and_std
        start = mean[:, None] + std[:, None] * score
        z = np.clip(start.ravel(), low, high)
        q, score = q.ravel(), score.ravel()
        active = np.flatnonzero(np.isfinite(z) & (low < high))
        for _ in range(_MAX_STEPS):
            if len(active) == 0:
                break
            here = z[active]
            error, step = self._take(active // (len(z) // len(self.mean)))._newton(here, q[active], score[active])
            low[active] = np.where(error < 0, here, low[active])
            high[active] = np.where(error > 0, here, high[active])
            there = here + step
            inside = (there > low[active]) & (there < high[active])
            there = np.where(inside, there, (low[active] + high[active]) / 2)
            open_ = np.abs(error) > _PROBABILITY_TOLERANCE
            z[active] = np.where(open_, there, here)
            active = active[open_ & (there != here)]
        return z.reshape(len(self.mean), -1)

    @cached_property
    def _latent_mean_and_std(self) -> tuple[NDArray, NDArray]:
        mean = (self.weight * self.mean).sum(axis=1)
        return mean, np.sqrt((self.weight * (self.std**2 + (self.mean - mean[:, None]) ** 2)).sum(axis=1))

    def _newton(self, z: NDArray, q: NDArray, score: NDArray) -> tuple[NDArray, NDArray]:
        """Error in probability of `z` as quantiles, and the step that mends it."""
        cdf, pdf = self._latent_cdf(z[:, None])[:, 0], self._latent_pdf(z[:, None])[:, 0]
        with np.errstate(all="ignore"):
            reached = ndtri(cdf)
            return cdf - q, (score - reached) * _bell(reached) / (pdf * _SQRT_2PI)


def _bell(t: NDArray) -> NDArray:
    square = t * t
    square *= -0.5
    return np.exp(square, out=square)


def _neighbors(rows: NDArray, column: NDArray) -> NDArray:
    """The values of each row at its `column` and on both sides of it, ``(n, 3)``."""
    middle = np.clip(column, 1, rows.shape[1] - 2)[:, None]
    return np.take_along_axis(rows, middle + np.array([-1, 0, 1]), axis=1)


def _interpolated(x: NDArray, xs: NDArray, ys: NDArray) -> NDArray:
    """Linear interpolation in each row, of `ys` over increasing `xs` from 0 to 1."""
    right = np.clip(row_searchsorted(xs, np.minimum(x, 1.0)), 1, xs.shape[1] - 1)
    (x0, x1), (y0, y1) = ([np.take_along_axis(v, right - 1, 1), np.take_along_axis(v, right, 1)] for v in (xs, ys))
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)


def _root(x: NDArray, values: NDArray) -> NDArray:
    """Where `values` at three points `x` ``(n, 3)`` pass 0 upwards, by inverse quadratic interpolation.

    The middle point where they do not.
    """
    (a, b, c), (fa, fb, fc) = x.T, values.T
    with np.errstate(all="ignore"):
        root = (
            a * fb * fc / ((fa - fb) * (fa - fc))
            + b * fa * fc / ((fb - fa) * (fb - fc))
            + c * fa * fb / ((fc - fa) * (fc - fb))
        )
    return np.where((fa < fb) & (fb < fc) & (root > a) & (root < c), root, b)
