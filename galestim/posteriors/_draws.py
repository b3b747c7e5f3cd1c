"""Posteriors as weighted draws."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._kernel import bandwidth, smoothed
from .._masked import without_mask
from ._base import Posterior
from ._blocks import CHUNK, row_searchsorted
from ._checks import check_n_samples, checked_weights, filled_where
from ._content import Content
from ._drawing import numbers
from ._moments import Moments, Shape, shape_of
from ._tails import Tails

_ROUNDING = 1e-12  # of a sum of weights
_N_BINS = 512
_HUGE = 1e100  # or NaN: draws of weight 0 that would not be harmless
_NO_DENSITY = (
    "a DrawsPosterior has no {method}: draws say where the probability is, not its density. "
    "Use the MixturePosterior they came from."
)


class DrawsPosterior(Posterior):
    """Posterior of each galaxy as weighted draws, in physical units.

    The form of what is computed from draws: derived quantities, or the output of a flow or a sampler.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    draws : array-like of shape (n, s, k)
        For each of n galaxies s draws of the k targets, in physical units. A galaxy that is NaN everywhere is a
        missing cutout.
    weights : array-like of shape (n, s) or None, default=None
        Weight of each draw, not negative; normalized to sum to 1 over the draws of a galaxy. None: equal ones. A draw
        of weight 0 counts for nothing, and may be NaN or infinite.
    target_names : sequence of str or None, default=None
        Names of the targets. None: ``y0``, ``y1``…, or ``y`` if there is one.
    units : sequence of str, astropy units or None, default=None
        Unit of each target, or None for each or all.
    ids : sequence of str of length n or None, default=None
        Names of the galaxies, as the `object_id` of a catalog.

    Attributes
    ----------
    draws : ndarray of shape (n, s, k)
        The draws, float64.
    weights : ndarray of shape (n, s)
        Their weights, which sum to 1; NaN for a missing cutout.
    target_names : list of str
        Names of the targets.
    units : list of astropy.units.Unit or None
        Unit of each target.
    n_targets : int
        k.
    ids : ndarray of str of shape (n,) or None
        Names of the galaxies.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, weights are negative, or names or units do not fit the targets.

    Notes
    -----
    Moments are those of the weighted draws, without corrections for their number. The cdf is the step function of
    the draws, and quantiles are its inverse: the smallest draw up to which the weights reach the probability. The
    narrowest interval is that of Chen & Shao (1999, J. Comput. Graph. Stat. 8, 69). The mode is that of a Gaussian
    kernel density estimate with Silverman's bandwidth (1986, Density Estimation for Statistics and Data Analysis,
    equation 3.31), within the central 99 % of the draws.

    A target with a draw that is NaN or infinite has NaN for all its summaries: its distribution is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.posteriors import DrawsPosterior
    >>> draws = np.random.default_rng(0).normal([2.0, 10.0], [0.1, 0.3], size=(5, 1000, 2))
    >>> posterior = DrawsPosterior(draws, target_names=["half_light_radius", "flux"], units=["arcsec", None])
    >>> posterior
    DrawsPosterior(5 galaxies; targets: half_light_radius [arcsec], flux)
    >>> posterior[0].mean().round(1)
    array([[ 2., 10.]])
    """

    _form = "draws"

    def __init__(self, draws, weights=None, *, target_names=None, units=None, ids=None):
        draws = np.asarray(without_mask(draws), dtype=float)
        if draws.ndim != 3 or 0 in draws.shape[1:]:
            raise ValueError(
                f"draws has shape {draws.shape}; expected (n, s, k), s draws of k targets for each of n galaxies."
            )
        self.weights = checked_weights(weights, draws.shape[:2], np.isnan(draws).all(axis=(1, 2)), "draw")
        idle = (self.weights == 0) & ~(np.abs(draws) < _HUGE).all(axis=2)
        (self.draws,) = filled_where(idle, self.weights, draws)
        self._set_targets(draws.shape[2], target_names, units)
        self.ids = ids
        self._known_tails: list[Tails | None] = [None] * self.n_targets

    @property
    def _tails(self):
        return self._known_tails

    def _with_tails(self, tails: Sequence[Tails | None]) -> DrawsPosterior:
        """The same draws, which do not vouch for the tails."""
        posterior = copy.copy(self)
        posterior._known_tails = list(tails)
        return posterior

    def __len__(self) -> int:
        return len(self.draws)

    @classmethod
    def _from_content(cls, content: Content) -> DrawsPosterior:
        posterior = cls(content.columns["draws"], content.weights_like("draws"), ids=content.ids, **content.named)
        tails = [target.get("tails") for target in content.targets]
        return posterior._with_tails([None if tail is None else Tails.of(tail) for tail in tails])

    def _of_targets(self, targets):
        names, units = ([values[target] for target in targets] for values in (self.target_names, self.units))
        draws = DrawsPosterior(self.draws[..., targets], self.weights, target_names=names, units=units, ids=self.ids)
        return draws._with_tails([self._tails[target] for target in targets])

    def _as_drawn(self) -> DrawsPosterior:
        """The same draws, taken at their word in the tails too."""
        return self._with_tails([None] * self.n_targets)

    @property
    def _row_cost(self) -> int:
        return 8 * self.draws.shape[1]

    def _unknown(self) -> NDArray[np.bool_]:
        return ~np.isfinite(self.draws).all(axis=1)

    def _marginal(self, rows, target):
        return DrawsMarginal(self.draws[rows, :, target], self.weights[rows], self._tails[target])

    def _weighted_draws(self, n_samples, random_state):
        return self.draws, self.weights

    def sample(self, n_samples=1000, random_state=None) -> NDArray[np.float64]:
        drawn = np.empty((len(self), check_n_samples(n_samples), self.n_targets))
        for rows, chosen in numbers(len(self), n_samples, random_state):
            counts, order = chosen.choices(self.weights[rows])
            drawn[rows] = np.repeat(self.draws[rows].reshape(len(counts), -1), counts, axis=0)[order]
        return drawn

    def cov(self) -> NDArray[np.float64]:
        out = np.empty((len(self), self.n_targets, self.n_targets))
        unknown = self._unknown()
        for rows in gen_batches(len(self) or 1, max(1, CHUNK // (self._row_cost * self.n_targets))):
            draws, weights = np.where(unknown[rows, None], np.nan, self.draws[rows]), self.weights[rows, :, None]
            unit = _unit(draws)
            _, d = _deviations(draws / unit, weights)
            with np.errstate(over="ignore"):
                out[rows] = np.swapaxes(d * weights, 1, 2) @ d * np.swapaxes(unit, 1, 2) * unit
        return out

    def log_prob(self, y):
        raise TypeError(_NO_DENSITY.format(method="log_prob"))

    def pdf(self, y):
        raise TypeError(_NO_DENSITY.format(method="pdf"))


class DrawsMarginal:
    """One target of n galaxies: s `draws` and their `weights`, ``(n, s)``, and the tails that they do not tell."""

    def __init__(self, draws: NDArray, weights: NDArray, tails: Tails | None = None):
        self.tails = tails
        order = np.argsort(draws, axis=1)
        self.draws = np.take_along_axis(draws, order, axis=1)
        self.weights = np.take_along_axis(weights, order, axis=1)
        self.cumulative = np.cumsum(self.weights, axis=1)
        self.cumulative /= self.cumulative[:, -1:]
        self.unit = _unit(self.draws)
        self.scaled = self.draws / self.unit

    def shape(self) -> Shape:
        """Mean to kurtosis, each ``(n,)``."""
        return shape_of(self._moments(), self.unit[:, 0])

    def _moments(self) -> Moments:
        """Mean and central moments in powers of the unit, each ``(n,)``."""
        mean, d = _deviations(self.scaled, self.weights)
        return Moments(mean[:, 0], *((self.weights * d**power).sum(axis=1) for power in (2, 3, 4)))

    def cdf(self, y: NDArray) -> NDArray:
        """Weight of the draws that are at most `y` ``(n, q)``."""
        steps = np.pad(self.cumulative, ((0, 0), (1, 0)))
        n_below = np.empty(y.shape, dtype=np.intp)
        for row, points, place in zip(self.draws, y, n_below):
            place[:] = np.searchsorted(row, points, side="right")
        return np.where(np.isnan(y), np.nan, np.take_along_axis(steps, n_below, axis=1))

    def quantile(self, q: NDArray) -> NDArray:
        """Smallest draws up to which the weights reach `q`, ``(q,)`` or ``(n, q)``; ``(n, q)``."""
        values = self._drawn_quantile(q)
        return values if self.tails is None else self.tails.cut(values, q)

    def _drawn_quantile(self, q: NDArray) -> NDArray:
        return np.take_along_axis(
            self.draws, self._reaching(np.broadcast_to(q, (len(self.draws), q.shape[-1]))), axis=1
        )

    def _reaching(self, q: NDArray) -> NDArray[np.intp]:
        """Columns at which the cumulative weight reaches `q` ``(n, q)``, but for its rounding."""
        return row_searchsorted(self.cumulative, np.clip(q, 2 * _ROUNDING, 1.0) - _ROUNDING)

    def intervals(self, levels: Sequence[float], kind: str) -> NDArray:
        """Ends of the intervals that hold `levels`, ``(n, levels, 2)``; `kind` is "equal_tailed" or "hdi"."""
        if kind == "hdi":
            return np.stack([self._narrowest(level) for level in levels], axis=1)
        tail = (1 - np.asarray(levels)) / 2
        return self.quantile(np.column_stack([tail, 1 - tail]).ravel()).reshape(len(self.draws), len(tail), 2)

    def _narrowest(self, level: float) -> NDArray:
        """Ends ``(n, 2)`` of the narrowest interval from one draw to another that holds `level`."""
        reached = self.cumulative - self.weights + level
        last = self._reaching(reached)
        width = np.where(reached < 1 + _ROUNDING, np.take_along_axis(self.scaled, last, axis=1) - self.scaled, np.inf)
        best = width.argmin(axis=1)[:, None]
        ends = np.take_along_axis(self.draws, np.hstack([best, np.take_along_axis(last, best, axis=1)]), axis=1)
        return ends if self.tails is None else self.tails.cut(ends, np.array([1 - level, 1 + level]) / 2)

    def mode(self) -> NDArray:
        """Highest point of a Gaussian kernel density estimate ``(n,)``, which is a smoothed histogram here."""
        low, lower, upper, high = (self._drawn_quantile(np.array([0.005, 0.25, 0.75, 0.995])) / self.unit).T
        width = bandwidth(np.sqrt(self._moments().variance), np.stack([lower, upper]), self.weights)
        bin_width = np.where(high > low, (high - low) / _N_BINS, 1.0)
        smooth = smoothed(self._histogram(low, bin_width), width / bin_width)
        return self.unit[:, 0] * (low + bin_width * np.where(high > low, _peak(smooth) + 0.5, 0.0))

    def _histogram(self, low: NDArray, bin_width: NDArray) -> NDArray:
        """Weight in each of N_BINS bins upwards from `low`; ``(n, N_BINS)``."""
        n = len(self.draws)
        place = np.floor((self.scaled - low[:, None]) / bin_width[:, None])
        inside = (place >= 0) & (place < _N_BINS)
        place += _N_BINS * np.arange(n)[:, None]
        counts = np.bincount(place[inside].astype(np.intp), self.weights[inside], minlength=n * _N_BINS)
        return counts.reshape(n, _N_BINS)


def _unit(draws: NDArray) -> NDArray:
    """Power of 2 next to the largest of the draws along the second axis, which is kept; NaN if one is NaN.

    In this unit no moment of theirs is too large or too small for a float64, and to go over to it rounds nothing.
    """
    largest = np.abs(draws).max(axis=1, keepdims=True)
    return np.where(np.isnan(largest), np.nan, np.ldexp(1.0, np.frexp(largest)[1] - 1))


def _deviations(draws: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Mean along the second axis, which is kept, and what draws deviate from it: nothing, if all are the same."""
    d = draws - draws[:, :1]
    step = (weights * d).sum(axis=1, keepdims=True)
    return draws[:, :1] + step, d - step


def _peak(rows: NDArray) -> NDArray:
    """Place of the highest value of each row, by a parabola through it and its neighbors."""
    middle = np.clip(rows.argmax(axis=1), 1, rows.shape[1] - 2)
    left, top, right = np.take_along_axis(rows, middle[:, None] + np.array([-1, 0, 1]), axis=1).T
    bend = left - 2 * top + right
    shift = np.divide(0.5 * (left - right), bend, out=np.zeros_like(top), where=bend < 0)
    return middle + np.clip(shift, -1, 1)
