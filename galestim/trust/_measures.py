"""Tables of a trust report that need no images: accuracy, scores and calibration."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.utils import check_random_state

from .._light import robust_sigma
from ..calibration import (
    conditional_coverage,
    coverage,
    crps,
    energy_score,
    joint_coverage,
    log_score,
    pit,
    tarp,
    uniformity,
)
from ..posteriors import DrawsPosterior, Posterior

ONE_SIGMA, THREE_SIGMA = 0.6827, 0.9973
CONFIDENCE = 0.99  # share of calibrated posteriors that chance alone must not fail
LEVELS = np.sort(np.r_[np.arange(1, 20) / 20, ONE_SIGMA, 0.9545, THREE_SIGMA])
N_BOOTSTRAP = 200
N_SAMPLES = 200  # draws per galaxy
MIN_PER_BIN = 20


class Judged(NamedTuple):
    """Galaxies whose posteriors and truths are known: n of them, k targets."""

    posterior: Posterior
    y: NDArray[np.float64]  # (n, k)
    features: dict[str, NDArray[np.float64]]  # to bin by, (n,) each
    relative: list[bool]  # whether a target's errors are shares of it
    random_state: int

    @property
    def names(self) -> list[str]:
        """Names of the targets."""
        return self.posterior.target_names

    @property
    def units(self) -> list[str]:
        """Units in which errors are given."""
        units = ["" if unit is None else str(unit) for unit in self.posterior.units]
        return ["relative" if relative else unit for relative, unit in zip(self.relative, units)]

    @property
    def n_bins(self) -> int:
        """Bins in each feature, so many that those of two features hold 20 galaxies each; at most 5."""
        return int(np.clip((len(self.y) / MIN_PER_BIN) ** (1 / len(self.features)), 1, 5))


# ---- accuracy


def accuracy_table(judged: Judged) -> Table:
    """Errors of the posteriors' medians and their CRPS, per target, of all galaxies and in bins."""
    median, y = judged.posterior.median(), judged.y
    scores = crps(judged.posterior, y, n_samples=N_SAMPLES, random_state=judged.random_state)
    rng = check_random_state(judged.random_state)
    rows = []
    for j, (name, unit) in enumerate(zip(judged.names, judged.units)):
        scale = np.abs(y[:, j]) if judged.relative[j] else 1.0
        errors, score = (median[:, j] - y[:, j]) / scale, scores[:, j] / scale
        for subset, low, high, inside in _subsets(judged):
            measured = _with_intervals(errors[inside], score[inside], rng)
            rows.append((name, unit, subset, low, high, int(inside.sum()), *measured))
    columns = [f"{what}{end}" for what in ("bias", "rmse", "scatter", "crps") for end in ("", "_low", "_high")]
    return _table(rows, ["target", "unit", "subset", "from", "to", "n", *columns])


def _subsets(judged: Judged):
    """All galaxies, then each bin of each feature: its name, its ends, and a mask."""
    yield "all", np.nan, np.nan, np.ones(len(judged.y), dtype=bool)
    n_bins = int(np.clip(len(judged.y) // MIN_PER_BIN, 1, 5))
    for name, values in judged.features.items():
        edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)))
        for i, (low, high) in enumerate(pairwise(edges)):
            last = i == len(edges) - 2
            yield name, low, high, (values >= low) & ((values <= high) if last else (values < high))


def _with_intervals(errors: NDArray, scores: NDArray, rng) -> list[float]:
    """Bias, RMSE, scatter and mean score, each with its 95 % bootstrap interval."""
    again = rng.randint(len(errors), size=(N_BOOTSTRAP, len(errors)))
    resampled = _statistics(errors[again], scores[again])
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return [float(v) for v in np.stack([_statistics(errors, scores), low, high], axis=1).ravel()]


def _statistics(errors: NDArray, scores: NDArray) -> NDArray[np.float64]:
    rmse, scatter = np.sqrt((errors**2).mean(axis=-1)), robust_sigma(errors, axis=-1)
    return np.stack([errors.mean(axis=-1), rmse, scatter, scores.mean(axis=-1)])


def scores_table(judged: Judged, densities: NDArray | None) -> Table:
    """Mean log score (of `densities`, where a posterior of draws has none) and energy score, with intervals."""
    if densities is None and not isinstance(judged.posterior, DrawsPosterior):
        densities = log_score(judged.posterior, judged.y)
    scale = np.where(judged.y.std(axis=0) > 0, judged.y.std(axis=0), 1.0)
    draws = {"n_samples": N_SAMPLES, "random_state": judged.random_state}
    energy = energy_score(judged.posterior, judged.y, scale=scale, **draws)
    rows = [("energy score", "smaller", *_mean_interval(energy))]
    if densities is not None:
        rows.insert(0, ("log score", "larger", *_mean_interval(densities)))
    return _table(rows, ["score", "better", "mean", "low", "high"])


def _mean_interval(values: NDArray) -> tuple[float, float, float]:
    with np.errstate(invalid="ignore"):  # a truth outside the support scores -inf
        mean, error = values.mean(), 1.96 * values.std() / np.sqrt(len(values))
    return float(mean), float(mean - error), float(mean + error)


# ---- calibration


def coverage_table(judged: Judged) -> Table:
    """Nominal and found coverage of equal-tailed intervals, with 95 % Wilson intervals."""
    found = coverage(judged.posterior, judged.y, LEVELS)
    rows = [
        (name, level, found.coverage[i, j], found.low[i, j], found.high[i, j])
        for j, name in enumerate(judged.names)
        for i, level in enumerate(LEVELS)
    ]
    return _table(rows, ["target", "nominal", "found", "low", "high"])


def calibration_table(judged: Judged) -> Table:
    """Every test of calibration: its statistic, and what 99 % of calibrated posteriors stay below by chance."""
    posterior, y = judged.posterior, judged.y
    places = pit(posterior, y, random_state=judged.random_state)
    rows = []
    for j, name in enumerate(judged.names):
        intervals = uniformity(np.abs(2 * places[:, j] - 1), CONFIDENCE)  # the level of the interval a truth is on
        rows += [
            ("coverage", name, *_farthest(intervals), intervals.p_value),
            ("coverage at 3σ", name, *_at_three_sigma(places[:, j])),
            ("PIT", name, *_kolmogorov(places[:, j])),
        ]
    options = {"n_samples": N_SAMPLES, "confidence": CONFIDENCE, "random_state": judged.random_state}
    for test, measure in (("joint HDI", joint_coverage), ("TARP", tarp)):
        found = measure(posterior, y, **options)
        rows.append((test, "joint", *_farthest(found), found.p_value))
    return _table(rows, ["test", "target", "statistic", "chance", "p_value"])


def _farthest(test) -> tuple[float, float]:
    """Largest distance of the share of truths within intervals from its level, and how large it is by chance."""
    band = np.maximum(test.high - test.levels, test.levels - test.low)
    return float(np.abs(test.ecdf - test.levels).max()), float(band.max())


def _at_three_sigma(places: NDArray) -> tuple[float, float, float]:
    n = len(places)
    n_held = int((np.abs(2 * places - 1) <= THREE_SIGMA).sum())
    ends = binom.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], n, THREE_SIGMA) / n
    tail = min(binom.cdf(n_held, n, THREE_SIGMA), binom.sf(n_held - 1, n, THREE_SIGMA))
    return abs(n_held / n - THREE_SIGMA), float(np.abs(ends - THREE_SIGMA).max()), min(1.0, 2 * float(tail))


def _kolmogorov(places: NDArray) -> tuple[float, float, float]:
    test = uniformity(places, CONFIDENCE)
    return float(test.statistic), 1.63 / np.sqrt(len(places)), float(test.p_value)


def conditional_table(judged: Judged) -> Table:
    """Coverage at 1σ in bins of all features together: a row for each bin and target that has galaxies."""
    by = np.column_stack(list(judged.features.values()))
    found = conditional_coverage(judged.posterior, judged.y, by, levels=(ONE_SIGMA,), bins=judged.n_bins)
    rows = []
    for index in zip(*np.nonzero(found.n_galaxies)):
        ends = [edges[i + side] for edges, i in zip(found.edges, index) for side in (0, 1)]
        for j, name in enumerate(judged.names):
            numbers = [getattr(found, what)[(*index, 0, j)] for what in ("coverage", "low", "high", "bin_p_value")]
            agrees = bool(numbers[-1] >= 1 - CONFIDENCE)
            rows.append((name, *ends, int(found.n_galaxies[index]), *numbers, agrees))
    bins = [f"{name}_{end}" for name in judged.features for end in ("from", "to")]
    return _table(rows, ["target", *bins, "n", "coverage", "low", "high", "p_value", "agrees"])


def _table(rows: list[tuple], names: list[str]) -> Table:
    """A table of `rows`, whose numbers are printed with four digits."""
    table = Table(rows=rows, names=names)
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.info.format = ".4g"
    return table
