"""Distributions of skpro, a column per target, and those of its regressors as posteriors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ._checks import check_n_samples
from ._content import FORMS
from ._optional import optional_import


def to_skpro(posterior):
    """`posterior` as a distribution of skpro with the galaxies in rows and the targets in columns."""
    pandas = optional_import("pandas", "to_skpro", extra="skpro")
    index = pandas.RangeIndex(len(posterior)) if posterior.ids is None else pandas.Index(posterior.ids)
    return _distribution_class()(posterior, index=index, columns=pandas.Index(posterior.target_names))


def from_skpro(distribution, units=None, n_samples: int = 1000, random_state=None):
    """A distribution of skpro, one row per galaxy and one column per target, as a posterior."""
    if isinstance(distribution, _distribution_class()):
        return distribution.posterior
    if getattr(distribution, "ndim", 0) == 0:
        raise ValueError(
            f"got {type(distribution).__name__} without rows; expected a distribution of skpro with a row per galaxy "
            "and a column per target."
        )
    given = {
        "target_names": [str(name) for name in distribution.columns],
        "units": units,
        "ids": _names(distribution.index),
    }
    if type(distribution).__name__ in _GAUSSIAN:
        means, stds, weights = _GAUSSIAN[type(distribution).__name__](distribution)
        return FORMS["mixture"](means, stds[..., None] * np.eye(means.shape[2]), weights, **given)
    return FORMS["draws"](_spread_draws(distribution, check_n_samples(n_samples), random_state), **given)


def _normal(distribution) -> tuple[NDArray, NDArray, None]:
    frames = distribution.get_params_df()
    means, stds = (frames[name].to_numpy(dtype=float)[:, None] for name in ("mu", "sigma"))
    return means, stds, None


def _normal_mixture(distribution) -> tuple[NDArray, NDArray, NDArray]:
    shape = len(distribution), -1, len(distribution.columns)
    means, stds = (np.asarray(getattr(distribution, name), float).reshape(shape) for name in ("mu", "sigma"))
    return means, stds, np.asarray(distribution.pi, float).reshape(means.shape[:2])


_GAUSSIAN = {"Normal": _normal, "NormalMixture": _normal_mixture}


def _spread_draws(distribution, n_samples: int, random_state) -> NDArray[np.float64]:
    """Quantiles in the middle of equal shares, ``(n, s, k)``, those of each target in an order of its own."""
    rng = check_random_state(random_state)
    middles = (np.arange(n_samples) + 0.5) / n_samples
    shares = np.stack([rng.permutation(middles) for _ in distribution.columns], axis=1)
    return np.stack([distribution.ppf(np.tile(share, (len(distribution), 1))).to_numpy() for share in shares], axis=1)


def _names(index) -> list[str] | None:
    return list(index) if len(index) and all(isinstance(label, str) for label in index) else None


class _Marginals:
    """Marginal distributions of a posterior, whose draws are joint; of one galaxy and target without an index."""

    _tags = {
        "capabilities:exact": ["mean", "var", "pdf", "log_pdf", "cdf", "ppf"],
        "capabilities:approx": ["energy", "pdfnorm"],
        "distr:measuretype": "continuous",
        "distr:paramtype": "nonparametric",
    }

    index: Any  # of the base, as are all these
    columns: Any
    shape: Any
    ndim: Any

    def __init__(self, posterior, index=None, columns=None):
        self.posterior = posterior
        super().__init__(index=index, columns=columns)  # type: ignore[call-arg]

    def __reduce__(self):
        return _rebuilt, (self.posterior, self.index, self.columns)

    def _iloc(self, rowidx=None, colidx=None):
        rows, columns = (_positions(part, size) for part, size in zip((rowidx, colidx), self.shape))
        chosen = self.posterior[rows][[self.posterior.target_names[j] for j in columns]]
        return type(self)(chosen, index=self.index[rows], columns=self.columns[columns])

    def _iat(self, rowidx=None, colidx=None):
        return type(self)(self.posterior[rowidx][self.posterior.target_names[colidx]])

    def _mean(self):
        return self._shaped(self.posterior.mean())

    def _var(self):
        return self._shaped(self.posterior.var())

    def _cdf(self, x):
        return self._at_each(self.posterior.cdf, x)

    def _pdf(self, x):
        return self._at_each(self.posterior.pdf, x)

    def _log_pdf(self, x):
        return self._at_each(lambda y: _log_densities(self.posterior, y), x)

    def _ppf(self, p):
        return self._at_each(lambda q: _quantiles(self.posterior, q), p)

    def _energy_x(self, x):
        return self._summed(_distance_to(self.posterior, np.reshape(x, (len(self.posterior), -1))))

    def _energy_self(self):
        return self._summed(_distance_between(self.posterior))

    def _summed(self, values):
        return values.sum(axis=1, keepdims=True) if self.ndim else float(values.sum())

    def _at_each(self, function, x):
        return self._shaped(function(np.reshape(x, (len(self.posterior), -1))))

    def _shaped(self, values):
        return values if self.ndim else float(values[0, 0])

    def _sample(self, n_samples=None):
        draws = np.swapaxes(self.posterior.sample(1 if n_samples is None else n_samples), 0, 1)
        return self._framed(draws, n_samples)

    def _framed(self, draws, n_samples):
        pandas = optional_import("pandas", "to_skpro", extra="skpro")
        if self.ndim == 0:
            return draws[0, 0, 0] if n_samples is None else pandas.DataFrame(draws[:, 0])
        index = self.index
        if n_samples is not None:
            index = pandas.MultiIndex.from_product([range(n_samples), self.index])
        return pandas.DataFrame(draws.reshape(-1, draws.shape[2]), index=index, columns=self.columns)


@cache
def _distribution_class() -> Any:
    """The class, made when it is asked for, as its base comes with skpro."""
    base: Any = optional_import("skpro.distributions.base", "to_skpro", extra="skpro").BaseDistribution
    return type("PosteriorDistribution", (_Marginals, base), {"__module__": __name__, "__doc__": _Marginals.__doc__})


def _log_densities(posterior, y: NDArray) -> NDArray[np.float64]:
    """Logarithm of the density of each target by itself at `y` ``(n, k)``."""
    columns = zip(posterior.target_names, y.T)
    return np.stack([posterior[name].log_prob(values[:, None]) for name, values in columns], axis=1)


def _quantiles(posterior, q: NDArray) -> NDArray[np.float64]:
    """Quantile of each target of each galaxy, of probabilities of its own `q` ``(n, k)``."""
    return posterior._each_marginal(lambda marginal, q: marginal.quantile(q), q)


def _equal_shares(posterior) -> NDArray[np.float64]:
    """Quantiles in the middle of 1000 equal shares, ``(n, 1000, k)``."""
    return posterior.quantile((np.arange(1000) + 0.5) / 1000)


def _distance_to(posterior, y: NDArray) -> NDArray[np.float64]:
    """Mean absolute deviation of each target from `y` ``(n, k)``."""
    return np.abs(_equal_shares(posterior) - y[:, None]).mean(axis=1)


def _distance_between(posterior) -> NDArray[np.float64]:
    """Mean absolute difference of two draws of each target, by Gini's formula for ordered values."""
    shares = _equal_shares(posterior)
    ranks = 2 * np.arange(1, 1001) - 1001
    return 2 * np.einsum("s,nsk->nk", ranks, shares) / 1000**2


def _rebuilt(posterior, index, columns):
    """Inverse of pickling."""
    return _distribution_class()(posterior, index=index, columns=columns)


def _positions(part, size: int) -> NDArray[np.intp]:
    """What an indexer of pandas selects, as numbers."""
    return np.atleast_1d(np.arange(size)[slice(None) if part is None else part])
