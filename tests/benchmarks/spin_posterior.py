"""Posteriors of spin: their coverage, and the correlation of their means as a share of the best reachable one.

    python tests/benchmarks/spin_posterior.py                    # the run quoted in docs/benchmarks.md
    python tests/benchmarks/spin_posterior.py --galaxies 100 --test-galaxies 50 --set max_epochs=1

The galaxies are those of `spin_ceiling.py`, as many for training and validation, and more for the test, so that
chance leaves coverage uncertain by 1.4 points only. λ_R is learned as it is: its scatter leaves values outside [0,
1], where a logit has none. The scatter is Gaussian and the same for all, so the best posterior of all is known too:
one of its width around the expected spin, whose mean log score is given beside that of the estimator. The defaults
of estimator and network are made for galaxies whose noise is redrawn; of so few that stay the same, a network
learns the noise, so this one is smaller, with dropout and fewer epochs, which were chosen by the log score of
galaxies of another seed.
"""

import argparse
import logging
import time
from ast import literal_eval
from pathlib import Path

import numpy as np
from _record import record
from scipy.stats import bootstrap, norm, pearsonr

from galestim import PosteriorRegressor
from galestim.calibration import coverage, pit_uniformity
from galestim.datasets import make_spin_galaxies
from galestim.networks import HarmonicNet

LEVELS = (0.6827, 0.9545)
SCATTER = 0.13  # of λ_R, which no image betrays
RECIPE = {
    "network": HarmonicNet(hidden=64, blocks=1),
    "dropout": 0.2,
    "max_epochs": 15,
    "validation_fraction": 15 / 85,
}


def pearson(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, list[float]]:
    """Return the correlation and its 95 % bootstrap interval."""
    found = bootstrap(
        (truth, predicted),
        lambda a, b: pearsonr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=999,
        rng=0,
    )
    return round(pearsonr(truth, predicted).statistic, 4), np.round(found.confidence_interval, 4).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=5471, help="for training and validation")
    parser.add_argument("--test-galaxies", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAMETER=VALUE", help="of the estimator")
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    train = make_spin_galaxies(options.galaxies, intrinsic_scatter=SCATTER, random_state=options.seed)
    test = make_spin_galaxies(options.test_galaxies, intrinsic_scatter=SCATTER, random_state=options.seed + 1)
    spin = PosteriorRegressor(**RECIPE, random_state=options.seed)
    spin.set_params(**{key: literal_eval(value) for key, value in (item.split("=", 1) for item in options.set)})
    start = time.perf_counter(), time.process_time()
    spin.fit(train.images, train.lambda_r)
    minutes, cpu_minutes = (time.perf_counter() - start[0]) / 60, (time.process_time() - start[1]) / 60

    posterior = spin.predict_posterior(test.images)
    found = coverage(posterior, test.lambda_r, LEVELS)
    r, interval = pearson(test.lambda_r, posterior.mean()[:, 0])
    best = norm(test.parameters["expected_lambda_r"], SCATTER).logpdf(test.lambda_r)
    record(
        options.out,
        what="spin_posterior",
        galaxies=options.galaxies,
        test_galaxies=options.test_galaxies,
        recipe={name: str(value) for name, value in RECIPE.items()},
        seed=options.seed,
        set=options.set,
        minutes=round(minutes, 1),
        cpu_minutes=round(cpu_minutes, 1),
        levels=LEVELS,
        coverage=found.coverage[:, 0].round(4).tolist(),
        coverage_low=found.low[:, 0].round(4).tolist(),
        coverage_high=found.high[:, 0].round(4).tolist(),
        largest_deviation=round(float(np.abs(found.coverage[:, 0] - LEVELS).max()), 4),
        pit_p_value=round(float(pit_uniformity(posterior, test.lambda_r).p_value[0]), 4),
        pearson=r,
        pearson_interval=interval,
        ceiling=round(test.pearson_ceiling, 4),
        share_of_ceiling=round(r / test.pearson_ceiling, 4),
        mean_width=round(float(posterior.std().mean()), 4),
        best_width=SCATTER,
        log_score=round(float(posterior.log_prob(test.lambda_r).mean()), 4),
        best_log_score=round(float(best.mean()), 4),
        last=spin.history_[-1],
    )


if __name__ == "__main__":
    main()
