"""Crops of the spatial transformer: what they keep of galaxies and leave out of neighbors, and what they follow.

    python tests/benchmarks/crops.py --out results.jsonl      # every variant, resumes where it stopped
    python tests/benchmarks/crops.py --only default masked --galaxies 1000 --epochs 12 --batch-size 16
    python tests/benchmarks/crops.py --uniform --scales 0.33 0.5 --only default

Galaxies of galestim-sim-v1 in the i band of Hyper Suprime-Cam, in images of 64 pixels; half of them with pixels of
0.168 arcsec, half with pixels twice as large. Neighbors are those of a deep field, or with --uniform two of the same
kind as the galaxies, on average, anywhere in the image outside of the half-light radius. The estimator does not know
the scale; it infers B/T, the half-light radius in pixels, and flux. Crops have 32×32 px where nothing else is said.

    default    the default crop of STNPosteriorRegressor
    best       no network: the smallest square about the center that holds 98 % of each galaxy's light
    masked     the same as the default, with neighbors masked and filled, in training too: masked light is left out
    slow       a localization that learns slower, lr_factor=0.03
    fast       and one that learns faster, lr_factor=0.3
    whole      crops of 64×64 px, as many as the images have
    lonely     no neighbors
    one        one scale on the sky, 0.168 arcsec
    many       9 scales, 0.1 to 0.4 arcsec
    many_slow  the same with lr_factor=0.03
    size       a crop that is told to follow the half-light radius
    gampen     GaMPEN's zoom: unbounded, its scale not told to the network
    small      no transformer; images downsampled to 32×32 px
    none       no transformer; images as they are, four times the pixels and so a third of the epochs

Shares of light are medians over galaxies, in brackets the 16 and 84 % quantiles; of neighbors over galaxies beside
which there is at least 1 % of their light, also by the distance of the nearest with a tenth of the galaxy's light.
"""

import argparse
import logging
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _record import record, recorded
from astropy.table import Table
from scipy.stats import spearmanr

from galestim import (
    Cutouts,
    Downsampler,
    MaskFiller,
    NeighborMasker,
    Normalizer,
    SpatialTransformer,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.datasets import SimulatedGalaxies, make_galaxies
from galestim.displays import CropDisplay
from galestim.simulation import NeighborPrior, hsc_like

SIZE = 64
NAMES = ["bulge_to_total", "half_light_radius", "flux"]
MANY = np.geomspace(0.1, 0.4, 9).round(3)  # arcsec
SCALES = {"one": [0.168], "many": MANY, "many_slow": MANY}
DEFAULT = SpatialTransformer(npix=32)
TRANSFORMER = {
    "default": DEFAULT,
    "masked": DEFAULT,
    "slow": SpatialTransformer(npix=32, lr_factor=0.03),
    "fast": SpatialTransformer(npix=32, lr_factor=0.3),
    "whole": SpatialTransformer(),
    "lonely": DEFAULT,
    "one": DEFAULT,
    "many": DEFAULT,
    "many_slow": SpatialTransformer(npix=32, lr_factor=0.03),
    "size": SpatialTransformer(npix=32, size_target="half_light_radius"),
    "gampen": SpatialTransformer(localization="gampen", npix=32, max_zoom=None, inform=False, fill="zeros"),
    "small": None,
    "none": None,
}
BESIDE, BRIGHT = 0.01, 0.1  # of the galaxy's light
NOBODY = {"galaxy": np.zeros(0, dtype=int), "flux": np.zeros(0), "distance": np.zeros(0)}
STEPS = (0, 5, 10, 15, 20, 25, 32, np.inf)  # of the distance [pixels]


class Scenes(NamedTuple):
    """Images, targets (radius in pixels), light of galaxies and neighbors, masks, pixel scales, distances."""

    images: np.ndarray
    target: np.ndarray
    own: np.ndarray
    others: np.ndarray
    mask: np.ndarray
    scale: np.ndarray
    distance: np.ndarray


def scenes(n: int, scales, seed: int, *, masked=False, **field) -> Scenes:
    """Draw `n` galaxies at each scale in equal shares."""
    parts = [one_scale(n // len(scales), scale, 1000 * seed + i, masked, **field) for i, scale in enumerate(scales)]
    return Scenes(*(np.concatenate(values) for values in zip(*parts)))


def one_scale(n: int, scale: float, seed: int, masked: bool, **field) -> Scenes:
    band = replace(hsc_like("i"), pixel_scale=scale)
    images, target, own, light, around = lights(n, band, seed, **field)
    distance = np.full(n, np.inf)
    bright = around["flux"] > BRIGHT * target[around["galaxy"], 2]
    np.minimum.at(distance, around["galaxy"][bright], around["distance"][bright])
    mask = np.zeros(images.shape, dtype=bool)
    if masked:
        cutouts = Cutouts(images, noise=band.sky_noise, psf=band.psf, gain=band.gain, pixel_scale=scale)
        cutouts = NeighborMasker().transform(cutouts)
        mask, images = cutouts.mask, np.asarray(MaskFiller().transform(cutouts))
    return Scenes(images, target / [1, scale, 1], own, light - own, mask, np.full(n, scale), distance)


def lights(n: int, band, seed: int, *, neighbors: bool, uniform: bool):
    """Images, targets, light of the galaxies alone and of all there is, and the neighbors."""
    if not uniform:
        prior = NeighborPrior() if neighbors else None
        drawn = SimulatedGalaxies(n, npix=SIZE, band=band, neighbors=prior, random_state=seed)
        own, light = (drawn.noiseless(range(n), alone=alone) for alone in (True, False))
        return drawn[:], drawn.target, own, light, drawn.neighbor_parameters or NOBODY
    draw = partial(make_galaxies, n, npix=SIZE, band=band, random_state=seed)
    number = 2 if neighbors else 0
    drawn = draw(n_neighbors=number)
    around = drawn.neighbors
    own, light = draw(noise_factor=0).images, draw(noise_factor=0, n_neighbors=number).images
    off = [around[name] - drawn.parameters[name][around["galaxy"]] for name in ("x_offset", "y_offset")]
    return drawn.images, drawn.target, own, light, around | {"distance": np.hypot(*off)}


def pipeline(name: str, options):
    """Make the variant's pipeline."""
    regressor = STNPosteriorRegressor(
        spatial_transformer=TRANSFORMER[name],
        target_transforms=["logit", "log", "log"],
        max_epochs=options.epochs if name != "none" else -(-options.epochs // 3),
        batch_size=options.batch_size,
        random_state=options.seed,
    )
    return make_pipeline(Downsampler(32 if name == "small" else SIZE), Normalizer("asinh"), regressor)


def cropped(model, drawn: Scenes) -> tuple[np.ndarray, ...]:
    """Side of each crop in units of the image's, and the light of galaxy and neighbors within."""
    seen = model[:-1].transform(drawn.images)
    inside = (model[-1].light_inside(seen, light * ~drawn.mask) for light in (drawn.own, drawn.others))
    return model[-1].crop_parameters(seen)["scale"], *inside


def best_squares(drawn: Scenes) -> tuple[np.ndarray, ...]:
    """The same of the smallest squares about the center that hold 98 % of each galaxy's light."""
    sides = np.arange(2, SIZE + 1, 2)
    parts = [slice((SIZE - side) // 2, (SIZE + side) // 2) for side in sides]
    own, others = (np.stack([light[:, p, p].sum(axis=(1, 2)) for p in parts]) for light in (drawn.own, drawn.others))
    which = np.argmax(own >= 0.98 * own[-1], axis=0)
    each = np.arange(len(which))
    return sides[which] / SIZE, own[which, each], others[which, each]


def judged(drawn: Scenes, side, own_inside, others_inside) -> dict:
    """How crops follow the galaxy's radius and flux, and the light that they keep and leave out."""
    own, others = (light.sum(axis=(1, 2)) for light in (drawn.own, drawn.others))
    kept, removed = own_inside / own, 1 - others_inside / np.maximum(others, 1e-9)
    beside = others > BESIDE * own
    found = {"rank_correlation_radius": rank(side, drawn.target[:, 1]), "flux": rank(side, drawn.target[:, 2])}
    found["side"] = np.quantile(side, [0.01, 0.16, 0.5, 0.84, 0.99]).round(3).tolist()
    for scale in np.unique(drawn.scale)[[0, -1]]:
        at = drawn.scale == scale
        found[f"{scale:g} arcsec"] = {
            "side": quantiles(side[at]),
            "rank_correlation_radius": rank(side[at], drawn.target[at, 1]),
            "kept": quantiles(kept[at]),
            "removed": quantiles(removed[at & beside]),
        }
        if drawn.mask.any():
            masked = (drawn.others * drawn.mask).sum(axis=(1, 2)) / np.maximum(others, 1e-9)
            found[f"{scale:g} arcsec"]["masked"] = quantiles(masked[at & beside])
    steps = [(low, high, (drawn.distance >= low) & (drawn.distance < high) & beside) for low, high in pairwise(STEPS)]
    found["removed_by_distance"] = [[low, high, int(at.sum()), *quantiles(removed[at])] for low, high, at in steps]
    return found


def rank(side, values) -> float:
    return round(float(spearmanr(side, values).statistic), 3)


def quantiles(values) -> list[float]:
    return np.quantile(values, [0.16, 0.5, 0.84]).round(4).tolist() if len(values) else []


def contact_sheet(model, drawn: Scenes, path: Path) -> None:
    """Crops of galaxies that have a neighbor in the image, from small to large, the finer pixels above."""
    beside = drawn.others.sum(axis=(1, 2)) > BRIGHT * drawn.own.sum(axis=(1, 2))
    each = [np.flatnonzero(beside & (drawn.scale == scale)) for scale in np.unique(drawn.scale)[[0, -1]]]
    by_size = [rows[np.argsort(drawn.target[rows, 1])] for rows in each]
    rows = np.concatenate([rows[np.linspace(0, len(rows) - 1, 6).astype(int)] for rows in by_size])
    light = {"galaxy_light": drawn.own, "neighbor_light": drawn.others}
    CropDisplay.from_estimator(model, drawn.images, rows=rows, **light).figure_.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=5000)
    parser.add_argument("--test-galaxies", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=["best", *TRANSFORMER], choices=["best", *TRANSFORMER])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.168, 0.336], help="arcsec per pixel")
    parser.add_argument("--uniform", action="store_true", help="two neighbors on average, anywhere in the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append results to this file, and skip what it has")
    parser.add_argument("--picture", type=Path, help="draw the default's crops of some test galaxies into this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    done = {row["variant"] for row in recorded(options.out)}
    for name in [name for name in options.only if name not in done]:
        field = {"neighbors": name != "lonely", "masked": name == "masked", "uniform": options.uniform}
        scales = SCALES.get(name, options.scales)
        tested = scenes(options.test_galaxies, scales, options.seed + 1, **field)
        if name == "best":
            record(options.out, what="crops", variant=name, **judged(tested, *best_squares(tested)))
            continue
        drawn = scenes(options.galaxies, scales, options.seed, **field)
        model, start = pipeline(name, options), time.process_time()
        model.fit(drawn.images, Table(drawn.target, names=NAMES))
        minutes = round((time.process_time() - start) / 60, 1)
        score = round(float(model.log_prob(tested.images, tested.target).mean()), 4)
        crops = {} if TRANSFORMER[name] is None else judged(tested, *cropped(model, tested))
        if options.picture is not None and name == "default":
            contact_sheet(model, tested, options.picture)
        run = {"epochs": model[-1].max_epochs, "batch_size": options.batch_size, "galaxies": len(drawn.images)}
        record(options.out, what="crops", variant=name, **run, cpu_minutes=minutes, log_score=score, **crops)


if __name__ == "__main__":
    main()
