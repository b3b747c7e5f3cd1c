"""Correlation of the published spin network, as a share of the best reachable one, on simulated galaxies.

    python tests/benchmarks/spin_ceiling.py                      # the run quoted in docs/benchmarks.md
    python tests/benchmarks/spin_ceiling.py --galaxies 200 --epochs 1    # does it run?

The data are `make_spin_galaxies`, whose Pearson ceiling is known; the recipe is the published one: [0, 1] images of
80×80×3, five convolutions, Adam 1e-3 reduced on plateau, 35 epochs in batches of 32, 15 of 85 parts for validation.
"""

import argparse
import logging
import time
from pathlib import Path

from _record import record
from scipy.stats import bootstrap, pearsonr, spearmanr
from sklearn.metrics import mean_squared_error

from galestim import CNNRegressor, Normalizer, make_pipeline
from galestim.datasets import make_spin_galaxies


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=5471, help="for training and validation")
    parser.add_argument("--test-galaxies", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    train = make_spin_galaxies(options.galaxies, random_state=options.seed)
    test = make_spin_galaxies(options.test_galaxies, random_state=options.seed + 1)
    spin = make_pipeline(
        Normalizer("minmax"),
        CNNRegressor(
            max_epochs=options.epochs,
            validation_fraction=15 / 85,
            precision=options.precision,
            device=options.device,
            random_state=options.seed,
            verbose=1,
        ),
    )
    start = time.perf_counter()
    spin.fit(train.images, train.lambda_r)
    minutes = (time.perf_counter() - start) / 60
    predicted = spin.predict(test.images)
    pair = (test.lambda_r, predicted)
    interval = bootstrap(
        pair, lambda a, b: pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=999, rng=0
    ).confidence_interval
    r = pearsonr(*pair).statistic
    record(
        options.out,
        what="spin_ceiling",
        galaxies=options.galaxies,
        epochs=options.epochs,
        precision=options.precision,
        seed=options.seed,
        pearson=round(r, 4),
        pearson_interval=[round(v, 4) for v in interval],
        spearman=round(spearmanr(*pair).statistic, 4),
        mse=round(mean_squared_error(*pair), 5),
        ceiling=round(test.pearson_ceiling, 4),
        share_of_ceiling=round(r / test.pearson_ceiling, 4),
        minutes=round(minutes, 1),
        last=spin[-1].history_[-1],
    )


if __name__ == "__main__":
    main()
