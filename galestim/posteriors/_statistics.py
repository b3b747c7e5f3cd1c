"""Statistics of each target by itself, from the marginals of a posterior."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import gen_batches

from .._images import input_ndim
from .._masked import without_mask
from .._tables import target_values
from ._blocks import CHUNK
from ._tails import Tails, warn_beyond


class TargetStatistics(ABC):
    """Moments, quantiles, modes and intervals of each of k targets of n galaxies; all in physical units.

    A form of posterior gives the marginal distributions; targets without one have NaN.
    """

    target_names: list[str]
    units: list
    ids: Any
    weights: NDArray[np.float64]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _marginal(self, rows, target: int) -> Any:
        """One target of some galaxies: an object with shape, cdf, quantile, mode and intervals."""

    @property
    @abstractmethod
    def _row_cost(self) -> int:
        """Number of floats that one galaxy's marginal takes."""

    @abstractmethod
    def _unknown(self) -> NDArray[np.bool_]:
        """Where a target of a galaxy has no summary, ``(n, k)``."""

    @property
    def n_targets(self) -> int:
        """Number of targets, k."""
        return len(self.target_names)

    def mean(self) -> NDArray[np.float64]:
        """Mean of each target; ``(n, k)``, in its unit."""
        return self._each_marginal(lambda marginal: marginal.shape().mean)

    def var(self) -> NDArray[np.float64]:
        """Variance of each target; ``(n, k)``, in its unit squared."""
        return self._each_marginal(lambda marginal: marginal.shape().variance)

    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each target; ``(n, k)``, in its unit."""
        return self._each_marginal(lambda marginal: marginal.shape().std)

    def _mean_and_std(self) -> NDArray[np.float64]:
        """Both, ``(2, n, k)``, in the time of one: they come from the same integrals."""
        both = self._each_marginal(lambda marginal: np.stack(marginal.shape()[:3:2], axis=1))
        return np.moveaxis(both, 1, 0)

    def skew(self) -> NDArray[np.float64]:
        """Skewness of each target, the third standardized moment; ``(n, k)``."""
        return self._each_marginal(lambda marginal: marginal.shape().skew)

    def kurtosis(self) -> NDArray[np.float64]:
        """Excess kurtosis of each target, 0 for a Gaussian; ``(n, k)``."""
        return self._each_marginal(lambda marginal: marginal.shape().kurtosis)

    def median(self) -> NDArray[np.float64]:
        """Median of each target; ``(n, k)``, in its unit."""
        return self.quantile(0.5)

    def mode(self) -> NDArray[np.float64]:
        """Where the physical density of each target by itself is highest; ``(n, k)``, in its unit."""
        return self._each_marginal(lambda marginal: marginal.mode())

    def cdf(self, y: ArrayLike) -> NDArray[np.float64]:
        """Probability that a target is at most `y`.

        Parameters
        ----------
        y : array-like of shape (n, k) or (n, q, k)
            One value per galaxy and target or q of them, in physical units; also ``(n,)`` if k is 1.

        Returns
        -------
        ndarray of the shape of `y`
        """
        y = self._points(y)
        return self._each_marginal(lambda marginal, y: marginal.cdf(y), y)

    def quantile(self, q) -> NDArray[np.float64]:
        """Values below which each target lies with probability `q`.

        Parameters
        ----------
        q : float or sequence of float
            Probabilities, from 0 to 1.

        Returns
        -------
        ndarray of shape (n, k), or (n, len(q), k) for a sequence
            In the unit of each target. Those of 0 and 1 are the ends of the support.

        Raises
        ------
        ValueError
            If a probability is less than 0 or greater than 1.
        """
        probabilities = np.asarray(q, dtype=float)
        if probabilities.ndim > 1 or not np.all((probabilities >= 0) & (probabilities <= 1)):
            raise ValueError(f"q={q!r}; expected a probability from 0 to 1, or a sequence of them.")
        warn_beyond(
            self._tails, self.target_names, np.abs(2 * np.atleast_1d(probabilities) - 1).tolist(), stacklevel=3
        )
        values = self._each_marginal(lambda marginal: marginal.quantile(np.atleast_1d(probabilities)))
        return values[:, 0] if probabilities.ndim == 0 else values

    def credible_interval(self, level=0.6827, kind="equal_tailed") -> NDArray[np.float64]:
        """Interval that holds each target with probability `level`.

        Parameters
        ----------
        level : float, default=0.6827
            Probability, between 0 and 1.
        kind : {"equal_tailed", "hdi"}, default="equal_tailed"
            "equal_tailed" leaves the same probability on either side; "hdi" is the narrowest interval in physical
            units (Chen & Shao 1999, J. Comput. Graph. Stat. 8, 69): of highest density, if there is one mode.

        Returns
        -------
        ndarray of shape (n, k, 2)
            Lower and upper ends, in the unit of each target.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, or `kind` is unknown.
        """
        _check_interval([level], kind)
        warn_beyond(self._tails, self.target_names, [level], stacklevel=3)
        ends = self._each_marginal(lambda marginal: marginal.intervals([level], kind)[:, 0])
        return np.swapaxes(ends, 1, 2)

    def summary(self, levels=(0.6827, 0.9545, 0.9973), *, kind="equal_tailed") -> QTable:
        """Table of one row per galaxy; ``.to_pandas()`` makes it a data frame.

        Parameters
        ----------
        levels : float or sequence of float, default=(0.6827, 0.9545, 0.9973)
            Probabilities of the credible intervals: 1, 2 and 3 standard deviations of a Gaussian.
        kind : {"equal_tailed", "hdi"}, default="equal_tailed"
            Kind of the intervals, as in `credible_interval`.

        Returns
        -------
        astropy.table.QTable
            ``object_id``, if the posterior has `ids`. For each target ``<name>_mean``, ``_median``, ``_mode``,
            ``_std``, ``_skew``, ``_kurtosis``, and ``_lower_68``, ``_upper_68``… for each level, by its whole
            percent. In the unit of the target, except the skewness and kurtosis, which have none.

        Raises
        ------
        ValueError
            If a level is not between 0 and 1, two have the same whole percent, or `kind` is unknown.

        Warns
        -----
        UserWarning
            If galaxies that are no missing cutouts have no finite mean, median or standard deviation of a target.
        """
        levels = [levels] if isinstance(levels, Real) else list(levels)
        _check_interval(levels, kind)
        warn_beyond(self._tails, self.target_names, levels, stacklevel=3)
        columns = ["mean", "median", "mode", "std", "skew", "kurtosis", *_interval_columns(levels)]
        values = self._each_marginal(lambda marginal: _described(marginal, levels, kind))
        self._warn_of_lost(values[:, [columns.index(column) for column in ("mean", "median", "std")]])
        table = QTable() if self.ids is None else QTable({"object_id": self.ids})
        for j, (name, unit) in enumerate(zip(self.target_names, self.units)):
            for column, numbers in zip(columns, np.moveaxis(values[..., j], 1, 0)):
                plain = unit is None or column in ("skew", "kurtosis")
                table[f"{name}_{column}"] = numbers.copy() if plain else numbers * unit
        return table

    def _warn_of_lost(self, values: NDArray) -> None:
        """Warn of galaxies that have a posterior and no finite `values` ``(n, q, k)``, which are not missing."""
        lost = ~np.isnan(self.weights[:, :1]) & ~np.isfinite(values).all(axis=1)
        for name, rows in zip(self.target_names, lost.T):
            if rows.any():
                warnings.warn(
                    f"{name}: {rows.sum()} of {len(self)} galaxies, first row {int(np.argmax(rows))}, have an image "
                    "but no finite mean and standard deviation. Look at their images, which may be unlike those of "
                    "the fit, or at the draws of a derived quantity. NaN everywhere is a missing cutout.",
                    stacklevel=3,
                )

    @property
    def _tails(self) -> list[Tails | None]:
        """Of each target, the tails of its distribution that are not known."""
        return [None] * self.n_targets

    def _points(self, y: ArrayLike) -> NDArray[np.float64]:
        """`y` checked, ``(n, k)`` or ``(n, q, k)``; columns of a table by the names of the targets."""
        of_each = input_ndim(y) == 3  # some points of each galaxy
        y = np.asarray(without_mask(y), float) if of_each else target_values(y, self.target_names, self.units)
        n, k = len(self), self.n_targets
        if y.ndim not in (2, 3) or y.shape[0] != n or y.shape[-1] != k:
            raise ValueError(f"y has shape {y.shape}; expected ({n}, {k}) or ({n}, q, {k}), a row per galaxy.")
        return y

    def _each_marginal(self, measure, y: NDArray | None = None) -> NDArray[np.float64]:
        """`measure` of the marginals ``(n, k)`` in chunks of galaxies, targets last; NaN where there is none.

        `measure` is given the marginal of some galaxies, and their part of `y` ``(n, q)`` if that is given.
        """
        unknown = self._unknown()
        columns = []
        for target in range(self.n_targets):
            known = np.flatnonzero(~unknown[:, target])
            parts = []
            for chunk in gen_batches(len(known) or 1, max(1, CHUNK // self._row_cost)):  # none too, for the shape
                rows = known[chunk]
                more = () if y is None else (y[rows, ..., target].reshape(len(rows), *y.shape[1:-1] or (1,)),)
                with np.errstate(all="ignore"):  # what is too large for a float64 becomes infinite
                    parts.append(measure(self._marginal(rows, target), *more))
            column = np.full((len(self), *parts[0].shape[1:]), np.nan)
            column[known] = np.concatenate(parts)
            columns.append(column if y is None or y.ndim == 3 else column[:, 0])
        return np.stack(columns, axis=-1)


def _described(marginal, levels: Sequence[float], kind: str) -> NDArray[np.float64]:
    """The columns of a summary, ``(n, 6 + 2 · levels)``."""
    shape = marginal.shape()
    median = marginal.quantile(np.array([0.5]))[:, 0]
    ends = marginal.intervals(levels, kind).reshape(len(median), 2 * len(levels))
    columns = [shape.mean, median, marginal.mode(), shape.std, shape.skew, shape.kurtosis]
    return np.column_stack([*columns, ends])


def _interval_columns(levels: Sequence[float]) -> list[str]:
    percents = [int(100 * level + 1e-9) for level in levels]
    if len(set(percents)) < len(percents):
        raise ValueError(f"levels={levels}; columns are named by whole percents {percents}, and two are the same.")
    return [f"{end}_{percent}" for percent in percents for end in ("lower", "upper")]


def _check_interval(levels: Sequence[float], kind: str) -> None:
    for level in levels:
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ValueError(f"level={level!r}; expected a probability between 0 and 1, as 0.6827.")
    if kind not in ("equal_tailed", "hdi"):
        raise ValueError(f"kind={kind!r}; expected 'equal_tailed' or 'hdi'.")
