"""What both forms of a posterior share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from ._blocks import row_chunks


class Posterior(ABC):
    """Joint posterior distributions of the k parameters of n galaxies, as a `MixturePosterior` or `DrawsPosterior`.

    All values are in physical units. A galaxy that is a missing cutout has NaN everywhere, without warnings.

    Attributes
    ----------
    target_names : list of str
        Names of the k targets.
    units : list of astropy.units.Unit or None
        Unit of each target; None where it has none or none was given.
    n_targets : int
        k.

    Notes
    -----
    ``len(posterior)`` is the number of galaxies. ``posterior[index]`` is a posterior of the galaxies that an int, a
    slice, an index array or a boolean mask selects, of length 1 for an int; iteration gives posteriors of length 1.
    """

    target_names: list[str]
    units: list

    def _set_targets(self, k: int, target_names, units) -> None:
        self.target_names = _checked_names(target_names, k)
        self.units = _checked_units(units, self.target_names)

    @property
    @abstractmethod
    def _arrays(self) -> tuple[str, ...]:
        """Names of the attributes that have a row per galaxy."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _marginal(self, rows, target: int) -> Any:
        """One target of some galaxies: an object with moments, cdf, quantile, mode and intervals."""

    @property
    @abstractmethod
    def _row_cost(self) -> int:
        """Numbers of memory that the marginal of a galaxy needs."""

    @abstractmethod
    def _unknown(self) -> NDArray[np.bool_]:
        """Where a target of a galaxy has no summary, ``(n, k)``."""

    @property
    def n_targets(self) -> int:
        """Number of targets, k."""
        return len(self.target_names)

    def __getitem__(self, index):
        if not isinstance(index, slice):
            index = np.atleast_1d(np.arange(len(self))[index])
            if index.ndim != 1:
                raise IndexError(
                    f"an index of {index.ndim} dimensions; expected an int, a slice, or a one-dimensional index "
                    "array or mask of galaxies."
                )
        selected = copy.copy(self)
        for name in self._arrays:
            setattr(selected, name, getattr(self, name)[index])
        return selected

    def __iter__(self) -> Iterator[Posterior]:
        return (self[row] for row in range(len(self)))

    def __repr__(self):
        targets = ", ".join(
            name if unit is None else f"{name} [{unit}]" for name, unit in zip(self.target_names, self.units)
        )
        galaxies = "1 galaxy" if len(self) == 1 else f"{len(self)} galaxies"
        return f"{type(self).__name__}({galaxies}; targets: {targets})"

    @abstractmethod
    def sample(self, n_samples=1000, random_state=None) -> NDArray[np.float64]:
        """Draw from the joint posteriors.

        Parameters
        ----------
        n_samples : int, default=1000
            Number of draws of each galaxy.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, k)
            In physical units.
        """

    @abstractmethod
    def log_prob(self, y: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the joint density in physical units.

        Parameters
        ----------
        y : array-like of shape (n, k) or (n, q, k)
            One point for each galaxy or q of them, in physical units.

        Returns
        -------
        ndarray of shape (n,) or (n, q)

        Raises
        ------
        TypeError
            By a `DrawsPosterior`, which has no density.
        """

    @abstractmethod
    def pdf(self, y: ArrayLike) -> NDArray[np.float64]:
        """Density of each target by itself, in physical units.

        Parameters
        ----------
        y : array-like of shape (n, k) or (n, q, k)
            One value per galaxy and target or q of them, in physical units.

        Returns
        -------
        ndarray of the shape of `y`

        Raises
        ------
        TypeError
            By a `DrawsPosterior`, which has no density.
        """

    @abstractmethod
    def cov(self) -> NDArray[np.float64]:
        """Covariance matrix of the targets in physical units; ``(n, k, k)``."""

    def mean(self) -> NDArray[np.float64]:
        """Mean of each target; ``(n, k)``, in its unit."""
        return self._each_marginal(lambda marginal: marginal.moments().mean)

    def var(self) -> NDArray[np.float64]:
        """Variance of each target; ``(n, k)``, in its unit squared."""
        return self._each_marginal(lambda marginal: marginal.moments().variance)

    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each target; ``(n, k)``, in its unit."""
        return np.sqrt(self.var())

    def skew(self) -> NDArray[np.float64]:
        """Skewness of each target, the third standardized moment; ``(n, k)``."""
        return self._each_marginal(lambda marginal: _shape(marginal.moments())[0])

    def kurtosis(self) -> NDArray[np.float64]:
        """Excess kurtosis of each target, 0 for a Gaussian; ``(n, k)``."""
        return self._each_marginal(lambda marginal: _shape(marginal.moments())[1])

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
        ends = self._each_marginal(lambda marginal: marginal.intervals([level], kind)[:, 0])
        return np.swapaxes(ends, 1, 2)

    def derive(self, function, name, unit=None, n_samples=1000, random_state=None):
        """Append a quantity computed from joint draws of the targets.

        Parameters
        ----------
        function : callable
            Given a dict from target name to draws, ndarray of shape (n, s) in physical units, it returns the draws
            of the new quantity, of the same shape: `bulge_flux`, `disk_flux`, a `Magnitude`, or your own.
        name : str
            Name of the new target.
        unit : str, astropy unit or None, default=None
            Its unit.
        n_samples : int, default=1000
            Number of draws s. Of no effect on a `DrawsPosterior`, which keeps the draws it has.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        DrawsPosterior
            The targets, followed by the new one.

        Raises
        ------
        ValueError
            If the targets have that name already, or `function` returns another shape.
        """
        from ._draws import DrawsPosterior

        draws, weights = self._weighted_draws(n_samples, random_state)
        derived = np.asarray(function({name: draws[..., j] for j, name in enumerate(self.target_names)}), dtype=float)
        if derived.shape != draws.shape[:2]:
            raise ValueError(
                f"{name}: the function returned shape {derived.shape}; expected {draws.shape[:2]}, a value per draw."
            )
        return DrawsPosterior(
            np.concatenate([draws, derived[..., None]], axis=2),
            weights,
            target_names=[*self.target_names, name],
            units=[*self.units, unit],
        )

    def _weighted_draws(self, n_samples, random_state) -> tuple[NDArray, NDArray | None]:
        return self.sample(n_samples, random_state), None

    def summary(self, levels=(0.6827, 0.9545, 0.9973), *, kind="equal_tailed") -> QTable:
        """Table of one row per galaxy; ``.to_pandas()`` makes it a data frame.

        Parameters
        ----------
        levels : sequence of float, default=(0.6827, 0.9545, 0.9973)
            Probabilities of the credible intervals: 1, 2 and 3 standard deviations of a Gaussian.
        kind : {"equal_tailed", "hdi"}, default="equal_tailed"
            Kind of the intervals, as in `credible_interval`.

        Returns
        -------
        astropy.table.QTable
            For each target ``<name>_mean``, ``_median``, ``_mode``, ``_std``, ``_skew``, ``_kurtosis``, and
            ``_lower_68``, ``_upper_68``… for each level, by its whole percent. In the unit of the target, except
            the skewness and kurtosis, which have none.

        Raises
        ------
        ValueError
            If a level is not between 0 and 1, two have the same whole percent, or `kind` is unknown.
        """
        levels = list(levels)
        _check_interval(levels, kind)
        columns = ["mean", "median", "mode", "std", "skew", "kurtosis", *_interval_columns(levels)]
        values = self._each_marginal(lambda marginal: _described(marginal, levels, kind))
        table = QTable()
        for j, (name, unit) in enumerate(zip(self.target_names, self.units)):
            for column, numbers in zip(columns, np.moveaxis(values[..., j], 1, 0)):
                plain = unit is None or column in ("skew", "kurtosis")
                table[f"{name}_{column}"] = numbers.copy() if plain else numbers * unit
        return table

    def to_arviz(self, n_samples=1000, random_state=None):
        """Draws as an arviz data set, to plot and compare with its functions.

        Parameters
        ----------
        n_samples : int, default=1000
            Number of draws of each galaxy.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        arviz.InferenceData
            One chain; a variable per target with a dimension for the galaxies.
        """
        from ._io import to_arviz

        return to_arviz(self, n_samples, random_state)

    def write(self, path, overwrite=False) -> None:
        """Write all of the posterior to a file, to the last bit.

        Parameters
        ----------
        path : str or path-like
            Where to; the suffix says the format: ``.fits``, ``.parquet``, ``.h5`` or ``.hdf5``.
        overwrite : bool, default=False
            Whether an existing file is replaced.
        """
        from ._io import write_posterior

        write_posterior(self, path, overwrite)

    @staticmethod
    def read(path) -> Posterior:
        """Read what `write` wrote.

        Parameters
        ----------
        path : str or path-like
            A file written by `write`.

        Returns
        -------
        MixturePosterior or DrawsPosterior
        """
        from ._io import read_posterior

        return read_posterior(path)

    @staticmethod
    def from_draws(draws, weights=None, *, target_names=None, units=None) -> Posterior:
        """Posterior of draws in physical units.

        Parameters
        ----------
        draws : array-like of shape (n, s, k)
            As of `DrawsPosterior`, which see for all arguments.
        weights : array-like of shape (n, s) or None, default=None
            Weight of each draw.
        target_names : sequence of str or None, default=None
            Names of the targets.
        units : sequence of str, astropy units or None, default=None
            Unit of each target.

        Returns
        -------
        DrawsPosterior
        """
        from ._draws import DrawsPosterior

        return DrawsPosterior(draws, weights, target_names=target_names, units=units)

    def _points(self, y: ArrayLike) -> NDArray[np.float64]:
        """`y` checked, ``(n, k)`` or ``(n, q, k)``."""
        y = np.asarray(y, dtype=float)
        if y.ndim == 1 and self.n_targets == 1:
            y = y[:, None]
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
            for chunk in row_chunks(max(1, len(known)), self._row_cost):  # an empty one says the shape
                rows = known[chunk]
                more = () if y is None else (y[rows, ..., target].reshape(len(rows), *y.shape[1:-1] or (1,)),)
                parts.append(measure(self._marginal(rows, target), *more))
            column = np.full((len(self), *parts[0].shape[1:]), np.nan)
            column[known] = np.concatenate(parts)
            columns.append(column if y is None or y.ndim == 3 else column[:, 0])
        return np.stack(columns, axis=-1)


def _described(marginal, levels: Sequence[float], kind: str) -> NDArray[np.float64]:
    """The columns of a summary, ``(n, 6 + 2 · levels)``."""
    moments = marginal.moments()
    median = marginal.quantile(np.array([0.5]))[:, 0]
    ends = marginal.intervals(levels, kind).reshape(len(median), 2 * len(levels))
    columns = [moments.mean, median, marginal.mode(), np.sqrt(moments.variance), *_shape(moments)]
    return np.column_stack([*columns, ends])


def _shape(moments) -> tuple[NDArray, NDArray]:
    """Skewness and excess kurtosis."""
    with np.errstate(all="ignore"):  # all draws may be one
        return moments.third / moments.variance**1.5, moments.fourth / moments.variance**2 - 3


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


def check_n_samples(n_samples) -> int:
    """`n_samples` as an int, or an error."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r}; expected a positive int.")
    return int(n_samples)


def checked_weights(weights, shape: tuple[int, int], missing: NDArray[np.bool_], of: str) -> NDArray[np.float64]:
    """`weights` that sum to 1 in each row, NaN for `missing` galaxies; those that do already are kept to the bit."""
    if weights is None:
        weights = np.full(shape, 1 / shape[1])
    weights = np.asarray(weights, dtype=float)
    if weights.shape != shape:
        raise ValueError(f"weights has shape {weights.shape}; expected {shape}, one for each {of}.")
    total = weights.sum(axis=1)
    bad = ~missing & ~(np.isfinite(weights).all(axis=1) & (weights >= 0).all(axis=1) & (total > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"row {row}: weights {weights[row]}; expected finite ones, not negative and not all 0.")
    uneven = ~missing & (np.abs(total - 1) > 1e-12)
    if uneven.any() or missing.any():
        weights = np.where(uneven[:, None], weights / np.where(uneven, total, 1.0)[:, None], weights)
        weights[missing] = np.nan
    return weights


def _checked_names(target_names, k: int) -> list[str]:
    if target_names is None:
        return ["y"] if k == 1 else [f"y{j}" for j in range(k)]
    names = [target_names] if isinstance(target_names, str) else list(target_names)
    if len(names) != k or len(set(names)) < k or not all(isinstance(name, str) for name in names):
        raise ValueError(f"target_names={names}; expected {k} different names, one for each target.")
    return [str(name) for name in names]


def _checked_units(units, target_names: list[str]) -> list:
    if units is None:
        return [None] * len(target_names)
    units = [units] if isinstance(units, str | u.UnitBase) else list(units)
    if len(units) != len(target_names):
        raise ValueError(
            f"{len(units)} units; expected {len(target_names)}, one (or None) for each of {target_names}."
        )
    return [_unit(unit, name) for unit, name in zip(units, target_names)]


def _unit(unit, name: str):
    try:
        return None if unit is None else u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: unit {unit!r}; expected an astropy unit, its name, or None. {error}") from None
