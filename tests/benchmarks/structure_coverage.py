"""Coverage of the default posterior: simulated bulge + disk galaxies, trained and judged on a CPU.

    python tests/benchmarks/structure_coverage.py             # the run quoted in docs/benchmarks.md
    python tests/benchmarks/structure_coverage.py --galaxies 100 --test-galaxies 50 --set max_epochs=1

The galaxies are those of `make_galaxies`, 48×48 px in one band; the estimator is `STNPosteriorRegressor` with its
defaults behind an asinh stretch. Reported: coverage of equal-tailed intervals with 95 % binomial intervals, root mean
square error of the posterior mean, log score, and the time it took to train.
"""

import argparse
import logging
import time
from ast import literal_eval
from pathlib import Path

import numpy as np
from _record import record
from astropy.table import Table

from galestim import Normalizer, STNPosteriorRegressor, make_pipeline
from galestim.calibration import coverage
from galestim.datasets import make_galaxies

LEVELS = (0.6827, 0.9545)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=5000, help="for training and validation")
    parser.add_argument("--test-galaxies", type=int, default=2000)
    parser.add_argument("--npix", type=int, default=48, help="height and width of the images, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAMETER=VALUE", help="of the estimator")
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    train = make_galaxies(options.galaxies, npix=options.npix, random_state=options.seed)
    test = make_galaxies(options.test_galaxies, npix=options.npix, random_state=options.seed + 1)
    regressor = STNPosteriorRegressor(target_transforms=["logit", "log", "log"], random_state=options.seed)
    regressor.set_params(**{key: literal_eval(value) for key, value in (item.split("=", 1) for item in options.set)})
    structure = make_pipeline(Normalizer("asinh"), regressor)

    start = time.perf_counter()
    structure.fit(train.images, Table(train.target, names=train.target_names))
    minutes = (time.perf_counter() - start) / 60
    start = time.perf_counter()
    posterior = structure.predict_posterior(test.images)
    seconds = time.perf_counter() - start
    found = coverage(posterior, test.target, LEVELS)
    error = posterior.mean() - test.target
    error[:, 1:] /= test.target[:, 1:]  # radius and flux: relative
    record(
        options.out,
        what="structure_coverage",
        galaxies=options.galaxies,
        npix=options.npix,
        seed=options.seed,
        set=options.set,
        minutes=round(minutes, 1),
        predict_seconds=round(seconds, 1),
        levels=LEVELS,
        targets=train.target_names,
        coverage=np.round(found.coverage, 4).tolist(),
        coverage_low=np.round(found.low, 4).tolist(),
        coverage_high=np.round(found.high, 4).tolist(),
        largest_deviation=round(float(np.abs(found.coverage - np.array(LEVELS)[:, None]).max()), 4),
        rms_error=np.round(np.sqrt(np.mean(error**2, axis=0)), 4).tolist(),
        log_score=round(float(structure.log_prob(test.images, test.target).mean()), 4),
        last=regressor.history_[-1],
    )


if __name__ == "__main__":
    main()
