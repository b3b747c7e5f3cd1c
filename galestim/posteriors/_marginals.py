"""Gaussian mixtures of one target, seen in physical units: cdf, quantiles, mode and intervals of many galaxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from ..targets import IdentityTransform
from . import _scattered as scattered
from ._blocks import blocks
from ._moments import Shape, gaussian_moments, mixture_moments, shape_of

_SQRT_2PI = np.sqrt(2 * np.pi)
_GRID_POINTS = 257  # of a table, at least
_NODES_PER_COMPONENT = 9  # at least, so that no component is overlooked
_MAX_GRID_POINTS = 384
_TOLERANCE = 1e-13  # of the probability of quantiles
_LEAST_SHARE = 1e-12  # of the probability, on either side of an interval
_MAX_STEPS = 120
_MODE_STEPS = 18  # each makes the bracket 0.618 times as long
_HDI_STEPS = 3
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
        self.unit = _unit(np.maximum(np.abs(mean), std).max(axis=1, keepdims=True))
        self.mean, self.std, self.weight = mean / self.unit, std / self.unit, weight
        self.transform = transform

    def shape(self) -> Shape:
        """Mean to kurtosis, each ``(n,)``."""
        linear = isinstance(self.transform, IdentityTransform)
        unit = 1.0 if linear else self.unit
        parts = gaussian_moments(self.mean * unit, self.std * unit, self.transform)
        return shape_of(mixture_moments(self.weight, parts), self.unit[:, 0] if linear else 1.0)

    def cdf(self, y: NDArray) -> NDArray:
        """Probability of less than `y` ``(n, q)``."""
        with np.errstate(all="ignore"):
            return self._latent_cdf(self.transform.forward(y) / self.unit)

    def pdf(self, y: NDArray) -> NDArray:
        """Density at `y` ``(n, q)``; 0 outside the support."""
        with np.errstate(all="ignore"):
            z = self.transform.forward(y) / self.unit
        density = self._physical(self._latent_pdf(np.where(np.isfinite(z), z, 0.0)) / self.unit, y)
        return np.where(np.isnan(y), np.nan, np.where(np.isfinite(z), density, 0.0))

    def quantile(self, q: NDArray) -> NDArray:
        """Values ``(n, q)`` below which the probabilities `q`, ``(q,)`` or ``(n, q)``, lie."""
        return self._inverse(self._latent_quantile(np.broadcast_to(q, (len(self.mean), q.shape[-1]))))

    def mode(self) -> NDArray:
        """Place of the highest density ``(n,)``."""
        return self._inverse(self._or_scattered(self._highest(), scattered.highest)[:, None])[:, 0]

    def _highest(self) -> NDArray:
        """The best point of the table, and golden sections around it; latent."""
        z, _, _, density = self._table
        low, _, high = _around(z, density.argmax(axis=1)).T[:, :, None]
        for _ in range(_MODE_STEPS):
            left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
            density = self._density(np.hstack([left, right]))
            leftwards = density[:, :1] > density[:, 1:]
            low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        return (low + high)[:, 0] / 2

    def intervals(self, levels: Sequence[float], kind: str) -> NDArray:
        """Ends of the intervals that hold `levels`, ``(n, levels, 2)``; `kind` is "equal_tailed" or "hdi"."""
        if kind == "hdi":
            return np.stack([self._narrowest(level) for level in levels], axis=1)
        tail = (1 - np.asarray(levels)) / 2
        return self.quantile(np.column_stack([tail, 1 - tail]).ravel()).reshape(len(self.mean), len(tail), 2)

    def _narrowest(self, level: float) -> NDArray:
        """Ends ``(n, 2)``: the best split of what is left out between both sides, by the table and then exactly."""
        ends = self._ends(self._balanced(*self._split_around_best(level), level), level)
        return self._inverse(self._or_scattered(ends, lambda rows: scattered.narrowest(rows, level)))

    def _or_scattered(self, values: NDArray, of_scattered: Callable[[MixtureMarginal], NDArray]) -> NDArray:
        """`values` by the table, replaced in those rows whose components it does not resolve."""
        if self._scattered.any():
            values[self._scattered] = of_scattered(self._take(self._scattered))
        return values

    @cached_property
    def _scattered(self) -> NDArray[np.bool_]:
        return scattered.is_scattered(self, self._table.z)

    def _split_around_best(self, level: float) -> tuple[NDArray, NDArray]:
        """Log odds ``(n, 1)`` of less and of more on the lower side than is best.

        Intervals that begin and those that end at a point of the table are compared, as one of the ends may lie where
        there is little probability and the other where there is much.
        """
        _, y, cdf, _ = self._table
        with np.errstate(all="ignore"):
            begin = np.where(cdf + level < 1, _interpolated(cdf + level, cdf, y) - y, np.inf)
            end = np.where(cdf > level, y - _interpolated(cdf - level, cdf, y), np.inf)
            width = np.hstack([begin, end])
            best = np.where(np.isnan(width), np.inf, width).argmin(axis=1)
            below = _around(cdf, best % cdf.shape[1], distance=2) - level * (best >= cdf.shape[1])[:, None]
            below = np.clip(below, _LEAST_SHARE, 1 - level - _LEAST_SHARE)
            left, _, right = np.log(below / (1 - level - below)).T[..., None]
        return left, right

    def _balanced(self, left: NDArray, right: NDArray, level: float) -> NDArray:
        """Split between `left` and `right` ``(n, 1)`` at which the density is the same at both ends."""
        at_left, at_right = self._tilt(left, level), self._tilt(right, level)
        for step in range(_HDI_STEPS):
            middle = _secant(left, right, at_left, at_right)
            if step == 1:  # as secants may stay on one side
                middle = (left + right) / 2
            at_middle = self._tilt(middle, level)
            beyond = at_middle > 0
            left, at_left = np.where(beyond, left, middle), np.where(beyond, at_left, at_middle)
            right, at_right = np.where(beyond, middle, right), np.where(beyond, at_middle, at_right)
        return _secant(left, right, at_left, at_right)

    def _tilt(self, split: NDArray, level: float) -> NDArray:
        """Logarithm of the densities' ratio at both ends: positive if the interval has to move to smaller values."""
        with np.errstate(all="ignore"):
            low, high = np.log(self._density(self._ends(split, level, tolerance=1e-8))).T[..., None]
            return low - high

    def _ends(self, split: NDArray, level: float, tolerance: float = _TOLERANCE) -> NDArray:
        """Latent ends ``(n, 2)`` of intervals that hold `level` and leave out the rest by the log odds `split`."""
        below, above = (1 - level) * expit(split), (1 - level) * expit(-split)
        return self._latent_quantile(np.hstack([below, 1 - above]), tolerance)

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
        z = np.sort((self.mean[..., None] + self.std[..., None] * t).reshape(n, m * per_component), axis=1)
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
            return self.transform.inverse(z * self.unit)

    def _latent_cdf(self, z: NDArray) -> NDArray:
        return self._mixed(z, self.weight, ndtr)

    def _latent_pdf(self, z: NDArray) -> NDArray:
        return self._mixed(z, self._height, _bell)

    @property
    def _height(self) -> NDArray:
        """Weighted densities of the components at their means."""
        return self.weight / (self.std * _SQRT_2PI)

    def _mixed(self, z: NDArray, weight: NDArray, kernel) -> NDArray:
        """Sum over components of ``weight · kernel((z - mean) / std)`` at `z` ``(n, q)``."""
        out = np.empty(z.shape)
        for block, rows, t in self._scaled(z):
            out[block] = _summed(kernel(t), weight[rows])
        return out

    def _latent_cdf_and_pdf(self, z: NDArray) -> tuple[NDArray, NDArray]:
        cdf, pdf = np.empty((2, *z.shape))
        height = self._height
        for block, rows, t in self._scaled(z):
            cdf[block], pdf[block] = _summed(ndtr(t), self.weight[rows]), _summed(_bell(t), height[rows])
        return cdf, pdf

    def _latent_pdf_and_slope(self, z: NDArray) -> tuple[NDArray, NDArray]:
        pdf, slope = np.empty((2, *z.shape))
        height = self._height
        for block, rows, t in self._scaled(z):
            bell = _bell(t)
            pdf[block] = _summed(bell, height[rows])
            bell *= t
            slope[block] = _summed(bell, -height[rows] / self.std[rows])
        return pdf, slope

    def _scaled(self, z: NDArray) -> Iterator[tuple[tuple[slice, slice], slice, NDArray]]:
        """In blocks, their rows, and `z` ``(n, q)`` in standard deviations from each component, components last."""
        for block in blocks(z.shape, self.mean.shape[1]):
            rows = block[0]
            t = z[block][..., None] - self.mean[rows, None]
            t /= self.std[rows, None]
            yield block, rows, t

    def _take(self, rows: NDArray) -> MixtureMarginal:
        unit = self.unit[rows]
        return MixtureMarginal(self.mean[rows] * unit, self.std[rows] * unit, self.weight[rows], self.transform)

    def _latent_quantile(
        self, q: NDArray, tolerance: float = _TOLERANCE, within: tuple[NDArray, NDArray] | None = None
    ) -> NDArray:
        """By Newton's method on ``Φ⁻¹(cdf)``, which is nearly linear, held between the components' own quantiles.

        Or `within` lower and upper bounds that are known, each of the shape of `q`.
        """
        shape, score = q.shape, ndtri(q)
        low, high = (ends.flatten() for ends in (within or self._outermost(score)))
        mean, std = self._latent_mean_and_std
        start = mean[:, None] + std[:, None] * score
        z = np.clip(start.ravel(), low, high)
        q, score = q.ravel(), score.ravel()
        active = np.flatnonzero(np.isfinite(z) & (low < high))
        for _ in range(_MAX_STEPS):
            if len(active) == 0:
                break
            here = z[active]
            error, step = self._take(active // shape[1])._newton(here, q[active], score[active])
            low[active] = np.where(error < 0, here, low[active])
            high[active] = np.where(error > 0, here, high[active])
            there = here + step
            inside = (there > low[active]) & (there < high[active])
            there = np.where(inside, there, (low[active] + high[active]) / 2)
            open_ = np.abs(error) > tolerance
            z[active] = np.where(open_, there, here)
            active = active[open_ & (there != here)]
        return z.reshape(shape)

    def _outermost(self, score: NDArray) -> tuple[NDArray, NDArray]:
        """The least and the greatest of the components' own quantiles."""
        ends = [self.mean + self.std * column[:, None] for column in score.T]
        lowest, highest = zip(*((end.min(axis=1), end.max(axis=1)) for end in ends))
        return np.stack(lowest, axis=1), np.stack(highest, axis=1)

    @cached_property
    def _latent_mean_and_std(self) -> tuple[NDArray, NDArray]:
        mean = (self.weight * self.mean).sum(axis=1)
        return mean, np.sqrt((self.weight * (self.std**2 + (self.mean - mean[:, None]) ** 2)).sum(axis=1))

    def _newton(self, z: NDArray, q: NDArray, score: NDArray) -> tuple[NDArray, NDArray]:
        """Error in probability of `z` as quantiles, and the step that mends it."""
        cdf, pdf = (values[:, 0] for values in self._latent_cdf_and_pdf(z[:, None]))
        with np.errstate(all="ignore"):
            reached = ndtri(cdf)
            return cdf - q, (score - reached) * _bell(reached) / (pdf * _SQRT_2PI)


def lengths(rows: NDArray) -> NDArray[np.float64]:
    """Euclidean lengths along the last axis: standard deviations, of rows of Cholesky factors."""
    unit = _unit(np.abs(rows).max(axis=-1, keepdims=True))
    return np.linalg.norm(rows / unit, axis=-1) * unit[..., 0]


def _unit(size: NDArray) -> NDArray:
    """Unit of latent values of this size: a power of 2 if squares were beyond floats, else 1."""
    extreme = ((size > 0) & (size < 1e-100)) | (size > 1e100)
    return np.where(extreme, np.ldexp(1.0, np.frexp(size)[1] - 1), 1.0)


def _summed(values: NDArray, weight: NDArray) -> NDArray:
    return (values @ weight[..., None])[..., 0]


def _bell(t: NDArray) -> NDArray:
    square = t * t
    square *= -0.5
    return np.exp(square, out=square)


def _around(rows: NDArray, column: NDArray, distance: int = 1) -> NDArray:
    """The values of each row at its `column` and at a distance on both sides of it, ``(n, 3)``."""
    middle = np.clip(column, distance, rows.shape[1] - 1 - distance)[:, None]
    return np.take_along_axis(rows, middle + distance * np.array([-1, 0, 1]), axis=1)


def _secant(left: NDArray, right: NDArray, at_left: NDArray, at_right: NDArray) -> NDArray:
    """Place where the line through two values passes 0, or the middle if that is not between them."""
    with np.errstate(all="ignore"):
        secant = (left * at_right - right * at_left) / (at_right - at_left)
    return np.where((secant > left) & (secant < right), secant, (left + right) / 2)


def _interpolated(x: NDArray, xs: NDArray, ys: NDArray) -> NDArray:
    """Linear interpolation in each row, of `ys` over increasing `xs` from 0 to 1."""
    if len(xs) == 0:
        return x
    shift = 2.0 * np.arange(len(xs))[:, None]  # one long increasing sequence
    return np.interp((np.clip(x, 0.0, 1.0) + shift).ravel(), (xs + shift).ravel(), ys.ravel()).reshape(x.shape)
