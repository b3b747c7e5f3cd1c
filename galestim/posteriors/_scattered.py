"""Mode and narrowest interval of mixtures with narrow components far from each other, which no common grid resolves.

Each component has its own nodes. The density there, and the widths of the intervals that begin or end there, say
where the best may be; a golden section search around each of the best few finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._blocks import row_searchsorted

_LEAST_NODES = 24  # of a common grid, within 2 standard deviations of each component that it resolves
_REACH = 4  # standard deviations within which components overlap
_T = 9 * np.sinh(3 * np.linspace(-1, 1, 17)) / np.sinh(3)  # nodes of a component: its mean, and denser around it
_N_BEST = 6
_STEPS = 18  # of a golden section search, each of which makes the bracket 0.618 times as long
_GOLDEN = (np.sqrt(5) - 1) / 2
_SLACK = 1e-9  # of the level: an interval need not cross a gap for the last bit of it


Marginal = Any  # a MixtureMarginal, whose file imports this one


def is_scattered(marginal: Marginal, grid: NDArray) -> NDArray[np.bool_]:
    """Rows with a gap between components, or one with few of the points of `grid` ``(n, points)`` around it."""
    low, span = grid[:, :1], np.ptp(grid, axis=1)[:, None]
    with np.errstate(all="ignore"):
        ends = [np.clip((marginal.mean + side * marginal.std - low) / span, 0, 1) for side in (-2, 2)]
        first, last = (row_searchsorted((grid - low) / span, np.nan_to_num(end)) for end in ends)
    return np.asarray((last - first < _LEAST_NODES).any(axis=1)) | _has_gap(marginal)


def _has_gap(marginal: Marginal) -> NDArray[np.bool_]:
    low, high = (marginal.mean + side * marginal.std for side in (-_REACH, _REACH))
    order = np.argsort(low, axis=1)
    reached = np.maximum.accumulate(np.take_along_axis(high, order, axis=1), axis=1)
    return np.asarray((np.take_along_axis(low, order, axis=1)[:, 1:] > reached[:, :-1]).any(axis=1))


def highest(marginal: Marginal) -> NDArray[np.float64]:
    """Latent place of the highest physical density ``(n,)``."""
    z = _nodes(marginal)
    near = _neighbors(z, _lowest_minima(-marginal._density(z)))
    z = _golden(lambda z: -marginal._density(z), *near)
    return z[np.arange(len(z)), marginal._density(z).argmax(axis=1)]


def narrowest(marginal: Marginal, level: float) -> NDArray[np.float64]:
    """Latent ends ``(n, 2)`` of the interval that holds `level` and is the narrowest in physical units."""
    level *= 1 - _SLACK
    z = _nodes(marginal)
    cdf, y = marginal._latent_cdf(z), marginal._inverse(z)
    begin, end = (_lowest_minima(_widths(cdf, y, side * level)) for side in (1, -1))
    near = _neighbors(z, np.hstack([begin, end]))
    step = level * np.repeat([1, -1], [begin.shape[1], end.shape[1]])
    within = _brackets(z, cdf, [marginal._latent_cdf(ends) + step for ends in near])

    def other_end(z: NDArray) -> NDArray:
        p = marginal._latent_cdf(z) + step
        return np.where((p > 0) & (p < 1), marginal._latent_quantile(np.clip(p, 0, 1), within=within), np.nan)

    def width(z: NDArray) -> NDArray:
        values = np.sign(step) * (marginal._inverse(other_end(z)) - marginal._inverse(z))
        return np.where(np.isnan(values), np.inf, values)

    z = _golden(width, *near)
    best = np.arange(len(z)), width(z).argmin(axis=1)
    return np.sort(np.stack([z[best], other_end(z)[best]], axis=1), axis=1)


def _widths(cdf: NDArray, y: NDArray, step: float) -> NDArray[np.float64]:
    """Widths of the intervals that begin at each node, or end there if `step` is negative; infinite without one."""
    other = np.stack([np.interp(*row) for row in zip(cdf + step, cdf, y)]) if len(y) else y
    inside = (cdf + step > 0) & (cdf + step < 1)
    return np.where(inside, np.sign(step) * (other - y), np.inf)


def _brackets(z: NDArray, cdf: NDArray, probabilities: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
    """Nodes between which the quantiles of all `probabilities` from the first to the last lie."""
    low, high = (row_searchsorted(np.clip(cdf, 0, 1), np.clip(np.nan_to_num(p), 0, 1)) for p in probabilities)
    columns = np.maximum(low - 2, 0), np.minimum(high + 1, z.shape[1] - 1)
    return np.take_along_axis(z, columns[0], axis=1), np.take_along_axis(z, columns[1], axis=1)


def _nodes(marginal: Marginal) -> NDArray[np.float64]:
    """Latent nodes of all components, in order; ``(n, nodes)``."""
    z = marginal.mean[..., None] + marginal.std[..., None] * _T
    return np.sort(z.reshape(len(z), -1), axis=1)


def _lowest_minima(values: NDArray) -> NDArray[np.intp]:
    """Columns of the lowest local minima of each row, `_N_BEST` of them or all; ``(n, best)``."""
    padded = np.pad(np.where(np.isnan(values), np.inf, values), ((0, 0), (1, 1)), constant_values=np.inf)
    middle = padded[:, 1:-1]
    ranked = np.where((middle <= padded[:, :-2]) & (middle <= padded[:, 2:]), middle, np.inf)
    return np.argsort(ranked, axis=1)[:, :_N_BEST]


def _neighbors(z: NDArray, places: NDArray) -> tuple[NDArray, NDArray]:
    """Nodes before and after those at `places`: not the next, as widths are known between nodes only roughly."""
    last = z.shape[1] - 1
    before, after = (np.take_along_axis(z, np.clip(places + step, 0, last), axis=1) for step in (-2, 2))
    return before, after


def _golden(function: Callable[[NDArray], NDArray], low: NDArray, high: NDArray) -> NDArray[np.float64]:
    """Place between `low` and `high` where `function` is least, by golden sections."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        leftwards = at_left < at_right
        low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        new = np.where(leftwards, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = function(new)
        left, right = np.where(leftwards, new, right), np.where(leftwards, left, new)
        at_left, at_right = np.where(leftwards, at_new, at_right), np.where(leftwards, at_left, at_new)
    return np.where(at_left < at_right, left, right)
