"""Priors of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray


class Prior(Protocol):
    """Of one parameter; any class with `draw` and `variance` will do."""

    def draw(self, n, rng, drawn=None) -> NDArray[np.float64]:
        """Draw values.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        drawn : mapping of str to ndarray of shape (n,), default=None
            What has been drawn of the same galaxies before, for priors that depend on it.

        Returns
        -------
        ndarray of shape (n,)
        """

    def variance(self, logarithm=False) -> float:
        """Variance of the parameter, with those that it depends on known.

        Parameters
        ----------
        logarithm : bool, default=False
            Whether that of the logarithm, for which no value may be negative.

        Returns
        -------
        float
        """


class _Density(Prior, Protocol):
    """A prior that knows its density."""

    def log_density(self, values, drawn=None) -> NDArray[np.float64]:
        """Log density at values.

        Parameters
        ----------
        values : array-like
        drawn : mapping, default=None
            Values of the parameters that it depends on.

        Returns
        -------
        ndarray of the shape of `values`
            -inf outside of the limits. A prior of a single value counts as one of width 1, in the logarithm for
            `LogUniform`, at this value.
        """


@dataclass(frozen=True)
class _Limited(_Density):
    """Between two limits, which may be the same."""

    low: float
    high: float
    _least: ClassVar[float] = -np.inf

    def __post_init__(self):
        if not (np.isfinite([self.low, self.high]).all() and self._least < self.low <= self.high):
            expected = f"finite {'0 < ' if self._least == 0 else ''}low <= high"
            raise ValueError(f"{type(self).__name__}({self.low!r}, {self.high!r}); expected {expected}.")


@dataclass(frozen=True)
class Uniform(_Limited):
    """All values between two limits are as probable.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    low, high : float
        The limits, in the units of the parameter; they may be the same.

    Raises
    ------
    ValueError
        If `low` is above `high`.

    Examples
    --------
    >>> from galestim.simulation import Uniform
    >>> Uniform(2.5, 5.0).variance()
    0.5208333333333334
    """

    def draw(self, n, rng, drawn=None):
        return rng.uniform(self.low, self.high, n)

    def variance(self, logarithm=False):
        if not logarithm or self.low == self.high:
            return (self.high - self.low) ** 2 / 12
        limits = np.array([max(self.low, 1e-300), self.high])
        logs = np.log(limits)
        mean, square = (np.diff(limits * power)[0] for power in (logs - 1, logs**2 - 2 * logs + 2))
        return float(square / (self.high - self.low) - (mean / (self.high - self.low)) ** 2)

    def log_density(self, values, drawn=None):
        values = np.asarray(values, dtype=float)
        inside = (values >= self.low) & (values <= self.high)
        return np.where(inside, -np.log(self.high - self.low) if self.high > self.low else 0.0, -np.inf)


@dataclass(frozen=True)
class LogUniform(_Limited):
    """The logarithm is uniform: as many galaxies in every octave.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    low, high : float
        The limits, in the units of the parameter; they may be the same.

    Raises
    ------
    ValueError
        If not 0 < `low` <= `high`.

    Examples
    --------
    >>> from galestim.simulation import LogUniform
    >>> LogUniform(0.15, 1.5).variance(logarithm=True)
    0.4418...
    """

    _least = 0.0

    def draw(self, n, rng, drawn=None):
        return np.exp(rng.uniform(np.log(self.low), np.log(self.high), n))

    def variance(self, logarithm=False):
        width = np.log(self.high / self.low)
        if logarithm or width == 0:
            return float(width**2 / 12)
        return float((self.high**2 - self.low**2) / (2 * width) - ((self.high - self.low) / width) ** 2)

    def log_density(self, values, drawn=None):
        values = np.asarray(values, dtype=float)
        inside = (values >= self.low) & (values <= self.high)
        width = np.log(self.high / self.low) or 1.0
        return np.where(inside, -np.log(width * np.where(inside, values, 1.0)), -np.inf)


@dataclass(frozen=True)
class Near(_Density):
    """Uniform around another parameter of the same galaxy.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    name : str
        The other parameter, which comes before this one in the `GalaxyPrior`.
    half_width : float
        How far the two may be apart.

    Examples
    --------
    >>> from galestim.simulation import Near
    >>> Near("disk_position_angle", 15.0).variance()
    75.0
    """

    name: str
    half_width: float

    def draw(self, n, rng, drawn=None):
        return (drawn or {})[self.name] + rng.uniform(-self.half_width, self.half_width, n)

    def variance(self, logarithm=False):
        if logarithm:
            raise ValueError(
                "Near has no variance of the logarithm; expected Uniform or LogUniform for this parameter."
            )
        return self.half_width**2 / 3

    def log_density(self, values, drawn=None):
        apart = np.asarray(values, dtype=float) - np.asarray((drawn or {})[self.name])
        if self.name.endswith("angle"):  # of which 180 degrees are one turn
            apart = (apart + 90) % 180 - 90
        return np.where(np.abs(apart) <= self.half_width, -np.log(2 * self.half_width), -np.inf)


@dataclass(frozen=True)
class Mixture(_Density):
    """One of several priors, each for a share of the galaxies.

    Its variance is that of 100 000 draws, to about one percent.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    priors : sequence of Uniform, LogUniform or other priors
        ``Uniform(1.0, 1.0)`` is the value 1.
    shares : sequence of float
        Of each, with a sum of 1.

    Raises
    ------
    ValueError
        If there are not as many shares as priors, or they do not sum to 1.

    Examples
    --------
    Bulge-to-total ratios of which a tenth is 0, and a tenth 1:

    >>> import numpy as np
    >>> from galestim.simulation import Mixture, Uniform
    >>> prior = Mixture([Uniform(0.0, 1.0), Uniform(0.0, 0.0), Uniform(1.0, 1.0)], [0.8, 0.1, 0.1])
    >>> bool(0.05 < (prior.draw(1000, np.random.default_rng(0)) == 1).mean() < 0.15)
    True
    """

    priors: Sequence[Prior]
    shares: Sequence[float]

    def __post_init__(self):
        shares = np.asarray(self.shares, dtype=float)
        if shares.shape != (len(self.priors),) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-9:
            raise ValueError(
                f"shares={self.shares!r}; expected one for each of {len(self.priors)} priors, and a sum of 1."
            )
        object.__setattr__(self, "priors", tuple(self.priors))
        object.__setattr__(self, "shares", tuple(shares.tolist()))

    @property
    def low(self) -> float:
        """Least value."""
        return min(prior.low for prior in self.priors)  # type: ignore[attr-defined]

    @property
    def high(self) -> float:
        """Largest value."""
        return max(prior.high for prior in self.priors)  # type: ignore[attr-defined]

    def draw(self, n, rng, drawn=None):
        which = rng.choice(len(self.priors), size=n, p=self.shares)
        return np.stack([prior.draw(n, rng, drawn) for prior in self.priors])[which, np.arange(n)]

    def variance(self, logarithm=False):
        values = self.draw(100_000, np.random.default_rng(0))
        return float(np.var(np.log(values) if logarithm else values))

    def log_density(self, values, drawn=None):
        shares: Any = zip(self.shares, self.priors)
        parts = [np.log(share) + prior.log_density(values, drawn) for share, prior in shares if share]
        return np.logaddexp.reduce(parts)


def values_of(entry: Prior | float, n: int, rng: np.random.Generator) -> NDArray:
    """Values (n,) of a prior or of a number."""
    if hasattr(entry, "draw"):
        return np.array(entry.draw(n, rng, {}), dtype=float)
    return np.full(n, entry, dtype=float)
