"""The command ``galestim demo``: the main job from end to end on a simulated sky."""

from __future__ import annotations

import time
from pathlib import Path

import joblib
import numpy as np
from astropy.table import QTable, vstack
from sklearn.base import clone

from ._demo_sky import (
    SHARP,
    SKY_SCALES,
    STAMP,
    WIDE,
    CrowdedGalaxies,
    DemoCamera,
    make_crowded_galaxies,
    make_demo_mosaic,
    make_demo_sky,
)
from .catalogs import Catalog
from .cutouts import CutoutFetcher, Cutouts, FitsMosaic, SkyServer, Transport
from .displays import (
    CoverageDisplay,
    CropDisplay,
    CutoutGridDisplay,
    PosteriorDisplay,
    RegressionDisplay,
    TrainingHistoryDisplay,
    require_pyplot,
)
from .model_selection import make_pipeline, stratified_train_test_split
from .networks import CompactCNN, HarmonicNet, SpatialTransformer
from .preprocessing import Downsampler, Normalizer
from .regression import CNNRegressor, PosteriorRegressor, STNPosteriorRegressor
from .simulation import GaussianPSF
from .testing import GaussianSky, LoopbackSky

SPIN = r"$\lambda_R$"
CAMERAS = {"field_r.fits": SHARP, "field_r_wide.fits": WIDE}
STRUCTURE = ["bulge_to_total", "half_light_semimajor_axis", "flux"]


def run_demo(folder: Path, n_samples: int, n_epochs: int, seed: int) -> None:
    """Simulate a sky, learn from images of its galaxies, and write pictures, numbers and the fitted pipelines."""
    require_pyplot("galestim demo")  # before minutes of training
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)

    print(f"A sky with {n_samples} galaxies: red bulges in blue inclined disks")
    sky, catalog = make_demo_sky(n_samples, seed)
    catalog.write(folder / "catalog.csv", overwrite=True)
    said(folder / "catalog.csv", "where they are, how large, and what is to be learned")
    for name, camera in CAMERAS.items():
        make_demo_mosaic(camera, n_samples, seed).writeto(folder / name, overwrite=True)
        said(folder / name, f"the whole field in one band; stars of {camera.fwhm}″, pixels of {camera.pixel_scale}″")

    catalog = Catalog(folder / "catalog.csv")
    train, test = stratified_train_test_split(catalog, stratify=catalog["lambda_r"], random_state=seed)
    spin_story(folder, sky, train, test, n_epochs, seed)
    structure_story(folder, train, test, 2 * n_epochs, seed)
    crop_story(folder, n_samples, n_epochs, seed)
    print(f"Done in {time.perf_counter() - start:.0f} s.")


# ---- a number from a position on the sky


def spin_story(folder: Path, sky: GaussianSky, train: Catalog, test: Catalog, n_epochs: int, seed: int) -> None:
    """From positions, by color images of a survey's web service, to the spin λ_R."""
    print("Spin: a number from a position on the sky")
    with LoopbackSky(sky) as server:  # this machine plays SDSS
        pipeline = spin_pipeline(server.skyserver_url, folder.absolute() / "cache", n_epochs, seed)
        report = pipeline[0].prefetch(Catalog(folder / "catalog.csv"))
    n_fetched = np.sum(report["status"] == "ok")
    print(f"  {n_fetched} of {len(report)} images fetched; from now on they come from the cache.")
    report.write(folder / "cutouts.csv", overwrite=True)
    said(folder / "cutouts.csv", "the fetcher's report: what became of each galaxy")

    print(f"  Training on {len(train)} of them, by a reduced recipe: CompactCNN on 40×40, {n_epochs} epochs")
    print("  in place of the published one (SpinCNN on 80×80, 35 epochs), which takes far longer on a CPU.")
    pipeline.fit(train, train["lambda_r"])
    show_spin(folder, pipeline, test, seed)
    joblib.dump(pipeline, folder / "spin.joblib")
    said(folder / "spin.joblib", 'the fitted pipeline: joblib.load("spin.joblib").predict("catalog.csv")')


def spin_pipeline(url: str, cache: Path, n_epochs: int, seed: int):
    """Positions → 106×106 pixels → 40×40 in [0, 1] → spin, by a network that trains on a laptop in a minute."""
    # Ten requests a second are polite to a survey. This server is our own, and may be asked as fast as it answers.
    survey = SkyServer(url=url, transport=Transport(requests_per_second=10_000))
    return make_pipeline(
        CutoutFetcher(survey, npix=106, pixel_scale_re=0.08, cache=cache, reducer=Downsampler(40), verbose=1),
        Normalizer("scale"),
        CNNRegressor(
            CompactCNN(),
            max_epochs=n_epochs,
            lr=5e-3,
            lr_schedule="one_cycle",
            augmentation="rotation",
            random_state=seed,
            verbose=1,
        ),
    )


def show_spin(folder: Path, pipeline, test: Catalog, seed: int) -> None:
    """Predict the galaxies that were not trained on, and compare."""
    spin, predicted = np.asarray(test["lambda_r"]), pipeline.predict(test)
    display = RegressionDisplay.from_predictions(spin, predicted, target_name=SPIN, random_state=seed)
    best = np.corrcoef(test["expected_lambda_r"], spin)[0, 1]
    print(f"  Pearson r = {display.pearson.value:.3f} [{display.pearson.low:.3f}, {display.pearson.high:.3f}] on the")
    print(f"  other {len(test)}; {best:.3f} is the best possible here, as the scatter shows in no image.")

    save(display.figure_, folder / "predicted_against_actual.png", "predictions against truth")
    history = TrainingHistoryDisplay.from_estimator(pipeline)
    save(history.figure_, folder / "training_history.png", "loss, learning rate")
    images = clone(pipeline[0]).set_params(reducer=None, verbose=0).transform(test)  # at full size, from the cache
    cutouts = CutoutGridDisplay.from_predictions(images, spin, predicted, choice="spread", target_name=SPIN)
    save(cutouts.figure_, folder / "cutouts.png", "galaxies with actual and predicted spin")
    table = QTable({"object_id": test["object_id"], "lambda_r": spin, "predicted": predicted})
    table.write(folder / "predictions.csv", overwrite=True)
    said(folder / "predictions.csv", "the numbers")


# ---- a posterior from a position on the sky, whatever the camera


def structure_story(folder: Path, train: Catalog, test: Catalog, n_epochs: int, seed: int) -> None:
    """From positions, by mosaics of two cameras on disk, to joint posteriors of structural parameters."""
    print("Structure: a joint posterior from a position on the sky, by one model for two cameras")
    print(f"  Training on {len(train)} galaxies, each seen by one of them: HarmonicNet, {n_epochs} epochs.")
    fetchers = [fetcher(folder.absolute() / name, camera) for name, camera in CAMERAS.items()]
    halves = [train[first::2] for first in range(2)]
    cutouts = Cutouts.concatenate([one.fit_transform(half) for one, half in zip(fetchers, halves)])
    model = structure_model(n_epochs, seed).fit(cutouts, vstack([QTable(half[STRUCTURE]) for half in halves]))
    pipelines = [make_pipeline(one, model) for one in fetchers]
    show_structure(folder, pipelines[0], test)
    compare_cameras(folder, pipelines, test, seed)
    joblib.dump(pipelines[0], folder / "structure.joblib")
    said(folder / "structure.joblib", "the fitted pipeline, of the first camera")


def fetcher(mosaic: Path, camera: DemoCamera) -> CutoutFetcher:
    """Positions → 48×48 pixels of a mosaic, which know point-spread function, noise and scale of its camera."""
    return CutoutFetcher(FitsMosaic(mosaic, psf=GaussianPSF(camera.fwhm), noise=camera.noise), npix=48)


def structure_model(n_epochs: int, seed: int) -> PosteriorRegressor:
    """A network so small, and with so much dropout, that it does not learn a thousand galaxies by heart."""
    return PosteriorRegressor(
        HarmonicNet(hidden=64, blocks=1),
        dropout=0.1,
        target_transforms=["logit", "log", "log"],
        max_epochs=n_epochs,
        random_state=seed,
        verbose=1,
    )


def show_structure(folder: Path, pipeline, test: Catalog) -> None:
    """Predict the galaxies that were not trained on, and ask whether the posteriors can be trusted."""
    posterior, truth = pipeline.predict_posterior(test), structure_of(test)
    row = int(np.argsort(truth[:, 2])[len(truth) // 2])  # of median flux
    image = pipeline[0].transform(test[[row]])[0]
    corner = PosteriorDisplay.from_posterior(posterior, row=row, truth=truth[row], image=image)
    save(corner.figure_, folder / "posterior.png", "one galaxy's joint posterior, and the truth")
    coverage = CoverageDisplay.from_posterior(posterior, truth)
    save(coverage.figure_, folder / "coverage.png", "how often intervals hold the truth")
    posterior.summary().write(folder / "structure.csv", overwrite=True)
    said(folder / "structure.csv", "means, medians, modes and intervals")
    posterior.write(folder / "posteriors.fits", overwrite=True)
    said(folder / "posteriors.fits", 'all of it: Posterior.read("posteriors.fits").sample(1000)')


def compare_cameras(folder: Path, pipelines: list, test: Catalog, seed: int) -> None:
    """The same galaxies through two cameras: what each says of the truth, and both of each other."""
    posteriors = [pipeline.predict_posterior(test) for pipeline in pipelines]
    intervals = [posterior.credible_interval(0.6827) for posterior in posteriors]
    for camera, interval in zip(CAMERAS.values(), intervals):
        show_coverage(camera, interval, structure_of(test))
    sharp, wide = (posterior.median() for posterior in posteriors)
    sigmas = np.hypot(*(np.diff(interval, axis=2)[..., 0] / 2 for interval in intervals))
    apart = ", ".join(f"{value:+.2f}" for value in np.median((wide - sharp) / sigmas, axis=0))
    print(f"  Between the cameras B/T, radius and flux differ by {apart} of their combined σ, in the median.")
    display = RegressionDisplay.from_predictions(
        sharp[:, 1], wide[:, 1], target_name="half-light semimajor axis [arcsec]", random_state=seed
    )
    display.ax_.set(xlabel="axis by the sharp camera [arcsec]", ylabel="axis by the wide camera [arcsec]")
    save(display.figure_, folder / "two_cameras.png", "the same galaxies through two cameras")


def show_coverage(camera: DemoCamera, interval, truth) -> None:
    """How many true values the intervals (n, 3, 2) of a camera hold."""
    share = np.mean((interval[..., 0] <= truth) & (truth <= interval[..., 1]), axis=0)
    print(f"  Stars of {camera.fwhm}″: the 68 % intervals hold {share[0]:.0%} (B/T), {share[1]:.0%} (radius) and")
    print(f"  {share[2]:.0%} (flux) of the other {len(truth)} galaxies' true values.")


def structure_of(catalog: Catalog):
    """What is to be learned of galaxies, as columns."""
    return np.column_stack([np.asarray(catalog[name]) for name in STRUCTURE])


# ---- a galaxy out of its neighbors


def crop_story(folder: Path, n_samples: int, n_epochs: int, seed: int) -> None:
    """From crowded images at two scales on the sky to crops, which nobody tells where a galaxy ends."""
    train = make_crowded_galaxies(n_samples // 3, seed)
    test = make_crowded_galaxies(max(n_samples // 8, 50), seed + 1)
    print("Crops: galaxies out of their neighbors, at two scales on the sky")
    print(f"  Training on {len(train.images)} images of {STAMP}×{STAMP}, cropped to 32×32: {n_epochs} epochs.")
    model = crop_model(n_epochs, seed).fit(train.images, train.target)
    for scale in SKY_SCALES:
        show_shares(model, CrowdedGalaxies(*(values[test.scale == scale] for values in test)), scale)
    rows = rows_to_show(test)
    light = {"galaxy_light": test.own, "neighbor_light": test.others}
    crops = CropDisplay.from_estimator(model, test.images, rows=rows, **light)
    save(crops.figure_, folder / "crops.png", "galaxies with neighbors, and what the network sees of them")


def crop_model(n_epochs: int, seed: int):
    """The default crop, sampled on fewer pixels, a small network, and small batches, for many steps in few epochs."""
    return make_pipeline(
        Normalizer("asinh"),
        STNPosteriorRegressor(
            CompactCNN(widths=(4, 8), readout="radial", stem="strided", norm="none"),
            spatial_transformer=SpatialTransformer(npix=32),
            target_transforms=["logit", "log", "log"],
            max_epochs=n_epochs,
            batch_size=16,
            random_state=seed,
            verbose=1,
        ),
    )


def show_shares(model, galaxies: CrowdedGalaxies, scale: float) -> None:
    """What crops keep of galaxies and leave out of their neighbors at one scale on the sky."""
    stretched = model[:-1].transform(galaxies.images)
    side = model[-1].crop_parameters(stretched)["scale"]
    own, others = galaxies.own.sum(axis=(1, 2)), galaxies.others.sum(axis=(1, 2))
    kept = model[-1].light_inside(stretched, galaxies.own) / own
    beside = others > 0.01 * own
    removed = 1 - model[-1].light_inside(stretched, galaxies.others)[beside] / others[beside]
    print(f"  Pixels of {scale}″: crops with {np.median(side):.2f} of the image's side keep {np.median(kept):.1%} of")
    print(f"  the galaxy's light and leave out {np.median(removed):.0%} of the neighbors', in the median.")


def rows_to_show(galaxies: CrowdedGalaxies):
    """Six galaxies of each scale that have a neighbor as bright as a third of them, from small to large."""
    beside = galaxies.others.sum(axis=(1, 2)) > galaxies.own.sum(axis=(1, 2)) / 3
    rows = []
    for scale in SKY_SCALES:
        some = np.flatnonzero(beside & (galaxies.scale == scale))
        some = some[np.argsort(galaxies.target[some, 1])]
        rows.append(some[np.unique(np.linspace(0, len(some) - 1, min(6, len(some))).astype(int))])
    return np.concatenate(rows)


# ---- what is said


def save(figure, file: Path, what: str) -> None:
    """Write a picture and say so."""
    figure.savefig(file, dpi=150)
    said(file, what)


def said(file: Path, what: str) -> None:
    """Tell where a result is."""
    print(f"    {file}  ({what})")
