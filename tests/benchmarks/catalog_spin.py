"""How well a catalog alone predicts λ_R. Data: the tables of SAMI's third release, datacentral.org.au.

    python tests/benchmarks/catalog_spin.py --out results.jsonl

First the real galaxies: models of ellipticity, mass, color and visual type, held out, without any image. Then as many
simulated ones with the spins, ellipticities and types of these: an estimator learns from their images, which show
ellipticity and type and nothing else of λ_R, and is compared with the same catalog. What it adds should be about 0.

The tables are those of ../shared/data/sami; give --data to read them elsewhere (see `fetch_sami_spin`).
"""

import argparse
from pathlib import Path

import numpy as np
from _record import record

from galestim import HarmonicNet, PosteriorRegressor
from galestim.datasets import fetch_sami_spin, make_spin_galaxies
from galestim.trust import CatalogComparison, compare_with_catalog

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sami"
KNOWN = ["ellipticity", "log_mass", "g_i", "visual_type"]


def numbers(found: CatalogComparison) -> dict:
    """What is quoted."""
    return {
        row["what"]: [row["pearson"], row["low"], row["high"]] for row in found.table().to_pandas().to_dict("records")
    }


def real(data, out) -> None:
    known = data.catalog[KNOWN].to_pandas()
    rows = known.notna().all(axis=1).to_numpy()
    found = compare_with_catalog(
        data.lambda_r[rows],
        known["ellipticity"][rows],  # in the place of an estimator
        known[rows],
        y_err=data.lambda_r_error[rows],
        groups=data.groups[rows],
        random_state=0,
    )
    record(out, what="real", galaxies=found.n_samples, **numbers(found))


def simulated(data, options) -> None:
    """An estimator of images, half of them to learn from."""
    galaxies = make_spin_galaxies(2 * options.galaxies, npix=64, like=data.catalog, random_state=0)
    train, test = np.arange(options.galaxies), np.arange(options.galaxies, 2 * options.galaxies)
    spin = PosteriorRegressor(
        HarmonicNet(hidden=64, blocks=1),
        dropout=0.2,
        max_epochs=options.epochs,
        validation_fraction=0.15,
        random_state=0,
    )
    predicted = spin.fit(galaxies.images[train], galaxies.lambda_r[train]).predict(galaxies.images[test])
    known = data.catalog["ellipticity", "visual_type"].to_pandas().iloc[galaxies.parameters["row"][test]]
    found = compare_with_catalog(
        galaxies.lambda_r[test], predicted, known, groups=galaxies.parameters["row"][test], random_state=0
    )
    record(
        options.out, what="simulated", galaxies=len(test), best=round(galaxies.pearson_ceiling, 4), **numbers(found)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--galaxies", type=int, default=1000, help="simulated, to learn from and to test")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, help="append results to this file")
    options = parser.parse_args()
    data = fetch_sami_spin(options.data, fetch_images=False)
    real(data, options.out)
    simulated(data, options)


if __name__ == "__main__":
    main()
