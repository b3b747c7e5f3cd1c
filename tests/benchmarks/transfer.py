"""Few labels: a start from another's weights, or from none. Data of spirals: github.com/isi-mube/Cosmic-Compendium.

    python tests/benchmarks/transfer.py --out results.jsonl                 # everything, resumes where it stopped
    python tests/benchmarks/transfer.py --only spin --labels 200 --seeds 0

`spin` learns λ_R of simulated galaxies from images in one band of an SDSS-like camera, starting from the structure
that `load_pretrained("any-camera")` knows; judged by Pearson r and mean log score. From scratch there are two
networks: that of any-camera, and a small one with the recipe of `spin_posterior.py`, which suits few galaxies.

`spirals` learns which of the SDSS images are of spirals, judged by ROC AUC on 400 that nothing learned from. It
starts from (`simulated`) λ_R of simulated color images, or (`unlabeled`) concentration, asymmetry and color of the
other 1000 images, which a formula measures and nobody has to label.

Frozen and 0.1 were fixed before anything was measured, 0.3 was chosen on other galaxies. The images are those of
../shared/data/sdss_jpeg; give --data to read them elsewhere, laid out as in `sdss_morphology.py`.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from _record import record, recorded
from sdss_morphology import DATA, handmade_features
from sklearn.metrics import roc_auc_score

from galestim import CenterCrop, CNNRegressor, CompactCNN, Cutouts, Downsampler, HarmonicNet, PosteriorRegressor
from galestim.checkpoints import load_pretrained
from galestim.datasets import load_image_folder, make_spin_galaxies
from galestim.regression import Transfer
from galestim.simulation import render, render_stars, sdss_like

STARTS = {"frozen": 0.0, "a tenth of the rate": 0.1, "three tenths": 0.3}
NPIX = 80  # of `spin`: 32 arcsec
SIDE = 48  # of `spirals`: the middle 3.8 of 8.5 half-light radii


# ---- spin: one band, linear, of a known camera


def spin_cutouts(n: int, seed: int):
    """Images in the r band of the galaxies of `make_spin_galaxies`, and their λ_R."""
    drawn, band = make_spin_galaxies(n, npix=8, random_state=seed), sdss_like("r")
    truth = drawn.parameters
    galaxies = {
        "flux": 10 ** (0.4 * (band.zero_point - truth["magnitude"])),
        "bulge_to_total": truth["bulge_to_total"],
        "bulge_radius": truth["bulge_semimajor_axis"] * np.sqrt(truth["bulge_axis_ratio"]),
        "disk_radius": truth["disk_semimajor_axis"] * np.sqrt(truth["axis_ratio"]),
        "bulge_sersic_index": np.full(n, 4.0),
        "disk_sersic_index": np.ones(n),
        "bulge_axis_ratio": truth["bulge_axis_ratio"],
        "disk_axis_ratio": truth["axis_ratio"],
        "bulge_position_angle": truth["position_angle"],
        "disk_position_angle": truth["position_angle"],
        "x_offset": np.zeros(n),
        "y_offset": np.zeros(n),
    }
    camera = {"pixel_scale": band.pixel_scale, "psf": band.psf}
    light = render(galaxies, npix=NPIX, **camera).numpy()
    noise = np.sqrt(band.sky_noise**2 + light.clip(0) / band.gain)
    images = light + noise * np.random.default_rng(seed).standard_normal(light.shape)
    star = render_stars(npix=25, **camera)[0].numpy()
    known = {"noise": band.sky_noise, "gain": band.gain, "pixel_scale": band.pixel_scale}
    cutouts = Cutouts(images.astype(np.float32), psf=star / star.sum(), **known)
    return cutouts, pd.Series(drawn.lambda_r, name="lambda_r"), drawn.pearson_ceiling


def spin_estimators(seed: int, epochs: int, rates) -> dict:
    shipped = load_pretrained("any-camera")
    make = partial(PosteriorRegressor, max_epochs=epochs, random_state=seed)
    few = {"dropout": 0.2, "validation_fraction": 15 / 85}
    return {
        "scratch": make(shipped.network, **few),
        "scratch, small": make(HarmonicNet(hidden=64, blocks=1), **few),
        **{name: make(warm_start_from=Transfer(shipped, lr_factor=STARTS[name]), **few) for name in rates},
    }


def measure_spin(options, done) -> None:
    X_test, y_test, ceiling = spin_cutouts(options.test, 1)
    for n in options.labels:
        for seed in options.seeds:
            X, y, _ = spin_cutouts(n, 2 + seed)  # other galaxies for each seed
            for name, model in spin_estimators(seed, options.epochs, options.rates).items():
                if ("spin", name, n, seed) in done:
                    continue
                start = time.process_time()
                posterior = model.fit(X, y).predict_posterior(X_test)
                record(
                    options.out,
                    what="spin",
                    start=name,
                    labels=n,
                    seed=seed,
                    pearson=round(float(np.corrcoef(posterior.mean()[:, 0], y_test)[0, 1]), 4),
                    log_score=round(float(posterior.log_prob(y_test.to_numpy()[:, None]).mean()), 4),
                    ceiling=round(ceiling, 4),
                    cpu_seconds=round(time.process_time() - start, 1),
                )


# ---- spirals: color images


def small(images) -> np.ndarray:
    return Downsampler(SIDE).fit_transform(CenterCrop(192).fit_transform(images)) / 255


def learner(seed: int, epochs: int, **parameters) -> CNNRegressor:
    """The recipe of `sdss_morphology.py`."""
    recipe = {"lr": 5e-3, "optimizer": "adamw", "weight_decay": 1e-2, "lr_schedule": "one_cycle"}
    recipe |= {"network": CompactCNN(), "augmentation": "rotation", "validation_fraction": 0.0}
    return CNNRegressor(**{**recipe, "max_epochs": epochs, "random_state": seed, **parameters})


def learned_from_simulated(options, images) -> CNNRegressor:
    simulated = make_spin_galaxies(options.simulated, npix=106, random_state=5)
    seen = CenterCrop(SIDE).fit_transform(simulated.images) / 255
    return learner(0, max(options.epochs // 3, 1)).fit(seen, simulated.lambda_r)


def learned_from_unlabeled(options, images) -> CNNRegressor:
    parts = np.array_split(images, max(len(images) // 50, 1))  # all at once would take 4 GB
    measured = np.concatenate([handmade_features(part) for part in parts])
    measured = (measured - measured.mean(axis=0)) / measured.std(axis=0)
    return learner(0, max(options.epochs // 2, 1)).fit(small(images), measured)


SOURCES = {"simulated": learned_from_simulated, "unlabeled": learned_from_unlabeled}  # no label of a spiral in any


def measure_spirals(options, done) -> None:
    data = load_image_folder(options.data, options.data / "catalog.csv")
    order = np.random.default_rng(0).permutation(len(data.images))
    spiral = np.asarray(data.catalog["spiral"], dtype=float)[order]
    rest, test = np.split(order, [max(len(order) - options.test, len(order) * 5 // 7)])
    images = data.images[np.sort(rest)]
    seen, judged = small(images), small(data.images[test])
    labels = np.asarray(data.catalog["spiral"], dtype=float)[np.sort(rest)]
    known = {kind: SOURCES[kind](options, images) for kind in options.sources}
    for n in (n for n in options.labels if n <= len(rest)):
        for seed in options.seeds:
            rows = np.random.default_rng([seed, n]).permutation(len(rest))[:n]
            starts = {"scratch": {}}
            for kind, source in known.items():
                for name in options.rates:
                    start = {"network": None, "warm_start_from": Transfer(source, lr_factor=STARTS[name])}
                    starts[f"{kind}, {name}"] = start
            for name, parameters in starts.items():
                if ("spirals", name, n, seed) in done:
                    continue
                start = time.process_time()
                model = learner(seed, options.epochs, **parameters).fit(seen[rows], labels[rows])
                auc = roc_auc_score(spiral[len(rest) :], model.predict(judged))
                seconds = round(time.process_time() - start, 1)
                record(
                    options.out,
                    what="spirals",
                    start=name,
                    labels=n,
                    seed=seed,
                    auc=round(auc, 4),
                    cpu_seconds=seconds,
                )


def summarize(rows: list[dict]) -> None:
    """Print the mean over seeds, as a table."""
    for what, number in (("spin", "pearson"), ("spin", "log_score"), ("spirals", "auc")):
        table = pd.DataFrame([row for row in rows if row["what"] == what])
        if len(table):
            print(f"\n{what}, {number}")
            print(table.pivot_table(number, "start", "labels", aggfunc=["mean", "min", "max"], sort=False).round(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", default=["spin", "spirals"])
    parser.add_argument("--labels", nargs="+", type=int, default=[200, 500, 1000, 2000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--test", type=int, default=1000, help="galaxies to judge by; 400 of the real ones")
    parser.add_argument(
        "--sources", nargs="*", choices=SOURCES, default=list(SOURCES), help="of `spirals`, beside from scratch"
    )
    parser.add_argument("--rates", nargs="+", choices=STARTS, default=list(STARTS), help="of what is taken over")
    parser.add_argument("--simulated", type=int, default=3000, help="galaxies of the simulated source of `spirals`")
    parser.add_argument("--out", type=Path, help="append results to this file, and skip what it has")
    options = parser.parse_args()
    done = {(row["what"], row["start"], row["labels"], row["seed"]) for row in recorded(options.out)}
    for what, measure in (("spin", measure_spin), ("spirals", measure_spirals)):
        if what in options.only:
            measure(options, done)
    summarize(recorded(options.out))


if __name__ == "__main__":
    main()
