"""Time of a summary of posteriors, against a loop over kernel density estimates of each galaxy and target.

    python tests/benchmarks/posterior_summary.py              # the run quoted in docs/benchmarks.md
    python tests/benchmarks/posterior_summary.py --galaxies 20 --loop-galaxies 2

The loop is how it is usually done: 1000 draws of each galaxy, a kernel density estimate of each target's draws on a
grid, and from it mode, median, and intervals at 1, 2 and 3 σ. It is timed on fewer galaxies and
scaled. `summary` gives the same columns and more, from the mixture itself. The two take turns in one process.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _record import record
from scipy.stats import gaussian_kde, kurtosis, skew

from galestim.posteriors import MixturePosterior

LEVELS = (0.6827, 0.9545, 0.9973)


def posteriors(n: int, seed: int, components: int = 32) -> MixturePosterior:
    """Make posteriors as the default estimator gives them: 32 passes that nearly agree."""
    rng = np.random.default_rng(seed)
    centers = rng.normal([0, 0, 5], [1.5, 0.6, 1.5], size=(n, 1, 3))
    trils = np.tril(0.02 * rng.normal(size=(n, 1, 3, 3)), -1) + np.array([0.4, 0.08, 0.05]) * np.eye(3)
    means = centers + 0.02 * rng.normal(size=(n, components, 3))
    return MixturePosterior(
        means,
        np.repeat(trils, components, axis=1),
        target_names=["bulge_to_total", "half_light_radius", "flux"],
        transforms=["logit", "log", "log"],
    )


def kde_loop(draws, n_grid: int) -> list:
    """Summarize draws ``(n, s, k)`` galaxy by galaxy and target by target."""
    rows = []
    for galaxy in draws:
        for values in galaxy.T:
            grid = np.linspace(values.min(), values.max(), n_grid)
            density = gaussian_kde(values)(grid)
            cumulative = np.cumsum(density) / density.sum()
            ends = [np.interp([(1 - p) / 2, (1 + p) / 2], cumulative, grid) for p in LEVELS]
            median = np.interp(0.5, cumulative, grid)
            rows.append(
                [grid[density.argmax()], median, values.mean(), values.std(), skew(values), kurtosis(values), ends]
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=10_000)
    parser.add_argument("--loop-galaxies", type=int, default=50)
    parser.add_argument("--grid", type=int, default=1000, help="points of the loop's grid")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()
    posterior = posteriors(options.galaxies, seed=0)
    draws = posterior[: options.loop_galaxies].sample(1000, random_state=0)
    summary, loop = [], []
    for _ in range(options.turns):
        start = time.perf_counter()
        table = posterior.summary(LEVELS)
        summary.append(time.perf_counter() - start)
        start = time.perf_counter()
        kde_loop(draws, options.grid)
        loop.append((time.perf_counter() - start) * options.galaxies / options.loop_galaxies)
    assert len(table) == options.galaxies
    ratios = np.array(loop) / summary
    record(
        options.out,
        what="posterior_summary",
        galaxies=options.galaxies,
        grid=options.grid,
        summary_seconds=np.round(summary, 2).tolist(),
        loop_seconds_scaled=np.round(loop, 1).tolist(),
        loop_milliseconds_per_galaxy_and_target=round(1e3 * float(np.median(loop)) / options.galaxies / 3, 2),
        ratio_median=round(float(np.median(ratios)), 1),
        ratio_range=[round(float(ratios.min()), 1), round(float(ratios.max()), 1)],
    )


if __name__ == "__main__":
    main()
