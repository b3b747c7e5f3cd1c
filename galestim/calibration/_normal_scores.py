"""Normal scores: targets on a scale on which every posterior is a standard normal, if it is calibrated.

The normal score of a value is ``Φ⁻¹(F(value))``, with the posterior's own cdf F: 1 is one σ above its median,
whatever its form. On this scale what is wrong with posteriors is a curve: a shift is a bias, a slope above 1 too
narrow posteriors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri
from sklearn.utils import gen_batches

from ..posteriors import DrawsPosterior, MixturePosterior, Posterior

_FAR = 1e4  # scores end here; tails are straight lines from the last knot to there
_LAST = 4.5  # score of the last knot of a posterior that has no end
_N_OUTSIDE = 3  # draws, or galaxies, beyond the last knot: with fewer it would be chance
_SPACING = 0.3  # of the knots of a learned curve, in scores
_N_FINE = 16  # straight pieces between two of them
_CHUNK = 2**21  # numbers held at a time: 16 MB
_ROUNDING = 1e-9


class ScoreTable:
    """Latent values of each galaxy and target at a grid of normal scores, and straight lines between and beyond."""

    def __init__(self, posterior: Posterior):
        self.latent = latent_posterior(posterior)
        inner = _grid(_n_draws(posterior))
        self.grid, values = _with_tails(inner, self.latent.quantile(ndtr(inner)).swapaxes(0, 1))
        self.values = values.swapaxes(0, 1)  # (n, grid, k)

    def score(self, latent: NDArray) -> NDArray[np.float64]:
        """Normal scores of latent values ``(n, k)``."""
        cell = np.clip((self.values <= latent[:, None]).sum(axis=1) - 1, 0, len(self.grid) - 2)
        low, high = self._ends(slice(None), cell[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip((latent - low[:, 0]) / (high - low)[:, 0], 0.0, 1.0)
        share = np.where((high > low)[:, 0], share, 0.5)
        score = self.grid[cell] + share * np.diff(self.grid)[cell]
        return np.where(np.isnan(self.values[:, 0]), np.nan, score)

    def value(self, score: NDArray, rows: slice = slice(None)) -> NDArray[np.float64]:
        """Latent values of normal scores ``(rows, s, k)`` of some galaxies."""
        cell = self._cell(score)
        low, high = self._ends(rows, cell)
        return low + (score - self.grid[cell]) / np.diff(self.grid)[cell] * (high - low)

    def log_slope(self, score: NDArray) -> NDArray[np.float64]:
        """Logarithm of the change of the latent value with the score, at scores ``(n, k)``."""
        cell = self._cell(score)[:, None]
        low, high = self._ends(slice(None), cell)
        with np.errstate(divide="ignore"):
            return np.log((high - low)[:, 0]) - np.log(np.diff(self.grid)[cell[:, 0]])

    def features(self) -> NDArray[np.float64]:
        """Median and logarithmic half-width of each target, what the local curve depends on; ``(n, 2k)``."""
        ones = np.ones((len(self.values), 1, self.values.shape[2]))
        low, median, high = (self.value(score * ones)[:, 0] for score in (-1.0, 0.0, 1.0))
        return np.hstack([median, np.log(np.maximum((high - low) / 2, np.finfo(float).tiny))])

    def _cell(self, score: NDArray) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(self.grid, score, side="right") - 1, 0, len(self.grid) - 2)

    def _ends(self, rows: slice, cell: NDArray) -> tuple[NDArray, NDArray]:
        values = self.values[rows]
        return np.take_along_axis(values, cell, axis=1), np.take_along_axis(values, cell + 1, axis=1)


def latent_posterior(posterior: Posterior) -> Posterior:
    """The posterior of the latent values, where tails may be straight lines and no bound is near."""
    if isinstance(posterior, MixturePosterior):
        return MixturePosterior(posterior.means, posterior.scale_trils, posterior.weights)
    return posterior._as_drawn() if isinstance(posterior, DrawsPosterior) else posterior


def coupled_draws(
    table: ScoreTable, curves, shift: NDArray, stretch: NDArray, n_samples: int, random_state, outward: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Joint latent draws ``(n, s, k)`` and their weights: each keeps its rank, and gets the value of the curve there.

    That is ensemble copula coupling (Schefzik et al. 2013): ranks are all that the dependence of targets consists of.
    """
    draws, weights = table.latent._weighted_draws(n_samples, random_state)
    n, s, k = draws.shape
    out = np.empty(draws.shape)
    for rows in gen_batches(n, max(1, _CHUNK // (s * k))):
        order = np.argsort(draws[rows], axis=1)
        if weights is None:
            own = np.full((1, s, k), 1 / s)  # the same for all galaxies
        else:
            own = np.take_along_axis(np.broadcast_to(weights[rows, :, None], order.shape), order, axis=1)
        score = ndtri(_levels(own, outward))
        moved = np.stack([follow(curve, score[..., j], outward) for j, curve in enumerate(curves)], axis=-1)
        values = table.value(shift[rows, None] + stretch[rows, None] * moved, rows)
        np.put_along_axis(out[rows], order, values, axis=1)
    return out, weights


def moved_log_prob(
    table: ScoreTable, curves, shift: NDArray, stretch: NDArray, score: NDArray
) -> NDArray[np.float64]:
    """Log density at normal scores ``(n, k)`` of latent values that were moved along the curves; ``(n,)``.

    It is the density where draws that land there come from, by how much their neighborhood is stretched on the way.
    """
    pulls = zip(curves, ((score - shift) / stretch).T)
    back, log_slope = (np.stack(parts, axis=1) for parts in zip(*(unfollow(*pull) for pull in pulls)))
    log_prob = table.latent.log_prob(table.value(back[:, None])[:, 0])
    return log_prob + (table.log_slope(back) - table.log_slope(score) - np.log(stretch) - log_slope).sum(axis=1)


def _levels(weights: NDArray, outward: bool) -> NDArray[np.float64]:
    """Probability up to the middle, or to the outer end, of each sorted draw's share; between 0 and 1."""
    up_to = np.cumsum(weights, axis=1)
    middle = np.clip(up_to - weights / 2, _ROUNDING, 1 - _ROUNDING)
    if not outward:
        return middle
    outer = np.where(middle < 0.5, up_to - weights, up_to)
    return np.where((outer > _ROUNDING) & (outer < 1 - _ROUNDING), outer, middle)


def smooth_curve(scores: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Scores that truths have ``(2, points)``, over those that they should have; increasing, ends in straight lines.

    Quantiles of the `scores` ``(n,)`` at a few levels, and between them a monotone cubic (Fritsch & Butland 1984):
    smooth enough to have a density.
    """
    found, level = _empirical(scores, weights)
    last = -ndtri(min(_N_OUTSIDE / (len(found) + 1), 0.25))
    knots = np.linspace(-last, last, 2 * int(np.ceil(last / _SPACING)) + 1)
    heights = np.interp(ndtr(knots), level, found)
    heights = np.maximum.accumulate(heights) + _ROUNDING * np.arange(len(knots))  # increasing, where scores are ties
    fine = np.linspace(-last, last, _N_FINE * (len(knots) - 1) + 1)
    return np.stack(_with_tails(fine, PchipInterpolator(knots, heights)(fine)))


def conformal_curve(scores: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """All `scores` ``(n,)`` in order, over those that they should have at least; ``(2, n + 2)``."""
    found, level = _empirical(scores, weights)
    return np.stack(_with_tails(ndtri(level), found))


def follow(curve: NDArray, score: NDArray, outward: bool = False) -> NDArray[np.float64]:
    """`curve` at scores of any shape; `outward`: at the next of its points away from the median."""
    x, y = curve
    on_line = np.interp(score, x, y)
    if not outward:
        return on_line
    above = np.searchsorted(x, score - _ROUNDING, side="left")
    below = np.searchsorted(x, score + _ROUNDING, side="right") - 1
    step = y[np.where(score >= 0, above, below).clip(1, len(x) - 2)]
    return np.where((score > x[-2]) | (score < x[1]), on_line, step)


def unfollow(curve: NDArray, score: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places where `curve` has the values `score`, and the logarithm of its slope there."""
    x, y = curve
    piece = np.clip(np.searchsorted(y, score, side="right") - 1, 0, len(y) - 2)
    return np.interp(score, y, x), np.log((np.diff(y) / np.diff(x))[piece])


def local_pulls(
    known: NDArray, scores: NDArray, weights: NDArray, features: NDArray | None, n_neighbors: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and half-width ``(n, k)`` of the `scores` of the galaxies nearest in `features` ``(n, f)``.

    Without `features` those of the `known` ones themselves, each left out of its own neighborhood.
    """
    scale = np.std(known, axis=0)
    scale[scale == 0] = 1.0
    tree = cKDTree(known / scale)
    points = known if features is None else np.nan_to_num(features)
    shift, stretch = np.empty((2, len(points), scores.shape[1]))
    for rows in gen_batches(len(points), max(1, _CHUNK // (n_neighbors * scores.shape[1]))):
        _, near = tree.query(points[rows] / scale, k=n_neighbors + (features is None))
        if features is None:
            itself = near == np.arange(len(points))[rows, None]
            near = np.take_along_axis(near, np.argsort(itself, axis=1, kind="stable"), axis=1)[:, :-1]
        low, middle, high = _quantiles(scores[near], weights[near], ndtr([-1.0, 0.0, 1.0]))
        shift[rows], stretch[rows] = middle, np.maximum((high - low) / 2, 1e-3)
    return shift, stretch


def _quantiles(values: NDArray, weights: NDArray, levels: NDArray) -> list[NDArray]:
    """Weighted quantiles along the second axis of `values` ``(n, m, k)``."""
    order = np.argsort(values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    up_to = np.cumsum(np.take_along_axis(np.broadcast_to(weights[..., None], order.shape), order, axis=1), axis=1)
    places = [(up_to < level * up_to[:, -1:]).sum(axis=1, keepdims=True) for level in levels]
    return [np.take_along_axis(values, place, axis=1)[:, 0] for place in places]


def _empirical(scores: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Sorted scores and their levels; the i-th of n has i / (n + 1), which is what new ones keep to on average."""
    order = np.argsort(scores)
    up_to = np.cumsum(weights[order])
    return scores[order], up_to / (up_to[-1] + weights.mean())


def _grid(n_draws: float) -> NDArray[np.float64]:
    """Scores: each percent, and a few in either tail."""
    last = min(_LAST, float(-ndtri(min(_N_OUTSIDE / n_draws, 0.25))))
    score = np.concatenate([ndtri(np.arange(50, 100) / 100), np.linspace(2.5, _LAST, 11)])
    score = np.append(score[score < last], last)
    return np.concatenate([-score[:0:-1], score])


def _n_draws(posterior: Posterior) -> float:
    """Number of draws that a posterior consists of; of weighted ones, the effective one."""
    if not isinstance(posterior, DrawsPosterior) or np.isnan(posterior.weights[:, 0]).all():
        return np.inf
    return float(np.nanmedian(1 / (posterior.weights**2).sum(axis=1)))


def _with_tails(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Add a far point at either end, along the chord over the last unit of `x` ``(q,)``; `y` is ``(q, …)``."""
    i = min(int(np.searchsorted(x, x[0] + 1.0)), len(x) - 1)
    left = y[0] - (y[i] - y[0]) / (x[i] - x[0]) * (x[0] + _FAR)
    right = y[-1] + (y[-1] - y[-1 - i]) / (x[-1] - x[-1 - i]) * (_FAR - x[-1])
    return np.concatenate([[-_FAR], x, [_FAR]]), np.concatenate([left[None], y, right[None]])
