"""Crops of the spatial transformer: whether they follow the galaxy, and whether they help, among neighbors.

    python tests/benchmarks/crops.py --out results.jsonl      # every variant, resumes where it stopped
    python tests/benchmarks/crops.py --only crop none

Pixel scales are drawn from 0.1 to 0.4 arcsec, so the same galaxy may fill the image or a corner of it; each image
holds two neighbors on average. The estimator does not know the scale; it infers B/T, the half-light radius
in pixels, and flux. All variants pass about as many pixels through the network; images have 64×64 px:

    crop       a zoom that follows the half-light radius, sampled on 32×32 px
    free       the same zoom left to the likelihood, with a slower localization as it collapses otherwise
    gampen     GaMPEN's zoom: unbounded, its scale not told to the network, sampled on 32×32 px
    small      no transformer; images downsampled to 32×32 px
    none       no transformer; images as they are, four times the pixels and so a fourth of the epochs
"""

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _record import record, recorded
from astropy.table import Table
from scipy.stats import spearmanr

from galestim import Downsampler, Normalizer, SpatialTransformer, STNPosteriorRegressor, make_pipeline
from galestim.datasets import make_galaxies
from galestim.displays import CropDisplay
from galestim.simulation import hsc_like

SIZE = 64
N_SCALES = 25
EPOCHS = {"crop": 24, "free": 24, "gampen": 24, "small": 28, "none": 8}
TRANSFORMER = {
    "crop": SpatialTransformer(npix=32, size_target="half_light_radius"),
    "free": SpatialTransformer(npix=32, lr_factor=0.03),
    "gampen": SpatialTransformer(
        localization="gampen", npix=32, max_zoom=None, inform=False, lr_factor=0.1, fill="zeros"
    ),
    "small": None,
    "none": None,
}


def galaxies(n: int, seed: int):
    """Draw images and targets, the radius in pixels."""
    images, targets = [], []
    for i, scale in enumerate(np.geomspace(0.1, 0.4, N_SCALES)):
        drawn = make_galaxies(
            n // N_SCALES,
            npix=SIZE,
            band=replace(hsc_like("i"), pixel_scale=scale),
            n_neighbors=2,
            random_state=1000 * seed + i,
        )
        images.append(drawn.images)
        targets.append(drawn.target / [1, scale, 1])
    return np.concatenate(images), Table(np.concatenate(targets), names=drawn.target_names)


def pipeline(name: str, epochs: int, seed: int):
    """Make the variant's pipeline."""
    regressor = STNPosteriorRegressor(
        spatial_transformer=TRANSFORMER[name],
        target_transforms=["logit", "log", "log"],
        max_epochs=epochs,
        random_state=seed,
    )
    return make_pipeline(Downsampler(32 if name == "small" else SIZE), Normalizer("asinh"), regressor)


def crop_statistics(regressor, images, radius) -> dict:
    """Rank correlation of the crops with the radius, and the share of crops that hold their galaxy."""
    crops = regressor.crop_parameters(images)
    half_side = crops["scale"] * (SIZE - 1) / 2
    return {
        "spearman": round(float(spearmanr(crops["scale"], radius).statistic), 3),
        "center_inside": round(float((half_side > 1).mean()), 4),
        "half_light_inside": round(float((half_side > radius).mean()), 4),
        "scale_percentiles_1_16_50_84_99": np.round(np.percentile(crops["scale"], [1, 16, 50, 84, 99]), 3).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=5000)
    parser.add_argument("--test-galaxies", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--epochs", type=int, help="for all variants, for trying things out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append results to this file, and skip what it has")
    parser.add_argument("--picture", type=Path, help="draw the crops of some test galaxies into this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    images, targets = galaxies(options.galaxies, seed=options.seed)
    test_images, test_targets = galaxies(options.test_galaxies, seed=options.seed + 1)
    done = {row["variant"] for row in recorded(options.out)}
    for name in [name for name in options.only if name not in done]:
        model = pipeline(name, options.epochs or EPOCHS[name], options.seed)
        start = time.perf_counter()
        model.fit(images, targets)
        minutes = (time.perf_counter() - start) / 60
        score = float(
            model.log_prob(test_images, np.column_stack([test_targets[n] for n in test_targets.colnames])).mean()
        )
        statistics = {}
        if TRANSFORMER[name] is not None:
            stretched = model[:-1].transform(test_images)
            statistics = crop_statistics(model[-1], stretched, test_targets["half_light_radius"])
            if options.picture is not None and name == "crop":
                CropDisplay.from_estimator(model, test_images[::250]).figure_.savefig(options.picture, dpi=120)
        record(
            options.out,
            what="crops",
            variant=name,
            epochs=options.epochs or EPOCHS[name],
            minutes=round(minutes, 1),
            log_score=round(score, 4),
            **statistics,
        )


if __name__ == "__main__":
    main()
