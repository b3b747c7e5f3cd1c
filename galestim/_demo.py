"""The main job from end to end on a simulated sky: what a newcomer sees in the first minutes."""

from __future__ import annotations

import time
from pathlib import Path

import joblib
import numpy as np
from astropy.table import QTable

from .datasets import make_galaxies, make_spin_galaxies
from .displays import (
    CoverageDisplay,
    CropDisplay,
    CutoutGridDisplay,
    PosteriorDisplay,
    RegressionDisplay,
    TrainingHistoryDisplay,
)
from .model_selection import make_pipeline, stratified_train_test_split
from .networks import CompactCNN
from .preprocessing import Downsampler, Normalizer
from .regression import CNNRegressor, STNPosteriorRegressor

SPIN = r"$\lambda_R$"


def run_demo(folder: Path, n_galaxies: int, n_epochs: int, seed: int) -> None:
    """Simulate galaxies, learn from their images, and write pictures, numbers and the fitted pipelines.

    Parameters
    ----------
    folder : Path
        Where to write; made if absent.
    n_galaxies, n_epochs, seed : int
    """
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    spin_story(folder, n_galaxies, n_epochs, seed)
    structure_story(folder, n_galaxies, 2 * n_epochs, seed)
    print(f"Done in {time.perf_counter() - start:.0f} s.")


# ---- a number from an image


def spin_story(folder: Path, n_galaxies: int, n_epochs: int, seed: int) -> None:
    """From color images to the spin λ_R."""
    print("Spin: a number from an image")
    print(f"  Simulating {n_galaxies} galaxies: red bulges and blue disks, with a known spin and known scatter.")
    sky = make_spin_galaxies(n_galaxies, random_state=seed)
    split = stratified_train_test_split(
        sky.images,
        sky.lambda_r,
        sky.parameters["expected_lambda_r"],
        stratify=sky.lambda_r,
        random_state=seed,
    )
    train_images, images, train_spin, spin, _, knowable = split

    print(f"  Training on {len(train_images)} of them, by a reduced recipe: CompactCNN on 40×40, {n_epochs} epochs")
    print("  in place of the published one (SpinCNN on 80×80, 35 epochs), which takes far longer on a CPU.")
    pipeline = spin_pipeline(n_epochs, seed).fit(train_images, train_spin)
    predicted = pipeline.predict(images)

    display = RegressionDisplay.from_predictions(spin, predicted, target_name=SPIN, random_state=seed)
    best = np.corrcoef(knowable, spin)[0, 1]
    print(f"  Pearson r = {display.pearson.value:.3f} [{display.pearson.low:.3f}, {display.pearson.high:.3f}] on the")
    print(f"  other {len(images)}; {best:.3f} is the best possible here, as the scatter shows in no image.")

    save(display.figure_, folder / "predicted_against_actual.png", "predictions against truth")
    history = TrainingHistoryDisplay.from_estimator(pipeline)
    save(history.figure_, folder / "training_history.png", "loss, learning rate")
    cutouts = CutoutGridDisplay.from_predictions(images, spin, predicted, choice="spread", target_name=SPIN)
    save(cutouts.figure_, folder / "cutouts.png", "galaxies with actual and predicted spin")
    table = np.column_stack([spin, predicted])
    np.savetxt(folder / "predictions.csv", table, fmt="%.5f", delimiter=",", header="lambda_r,predicted", comments="")
    said(folder / "predictions.csv", "the numbers")
    joblib.dump(pipeline, folder / "spin.joblib")
    said(folder / "spin.joblib", 'the fitted pipeline: joblib.load("spin.joblib").predict(images)')


def spin_pipeline(n_epochs: int, seed: int):
    """Images → 40×40 pixels in [0, 1] → spin, by a network that trains on a laptop in a minute."""
    return make_pipeline(
        Downsampler(40),
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


# ---- a posterior from an image


def structure_story(folder: Path, n_galaxies: int, n_epochs: int, seed: int) -> None:
    """From one-band images to joint posteriors of bulge-to-total ratio, half-light radius and flux."""
    print("Structure: a joint posterior from an image")
    print(f"  Simulating {n_galaxies} galaxies of a bulge and a disk each, in one band.")
    sky = make_galaxies(n_galaxies, size=40, random_state=seed)
    n_train = 3 * n_galaxies // 4
    images, truth = sky.images[n_train:], sky.target[n_train:]

    print(f"  Training on {n_train} of them: a spatial transformer and CompactCNN, {n_epochs} epochs.")
    targets = QTable(sky.target[:n_train], names=sky.target_names, units=["", "arcsec", ""])
    pipeline = structure_pipeline(n_epochs, seed).fit(sky.images[:n_train], targets)
    posterior = pipeline.predict_posterior(images)

    coverage = CoverageDisplay.from_posterior(posterior, truth)
    inside = posterior.credible_interval(0.6827)
    share = np.mean((inside[..., 0] <= truth) & (truth <= inside[..., 1]), axis=0)
    print(f"  The 68 % intervals hold {share[0]:.0%} (B/T), {share[1]:.0%} (radius) and {share[2]:.0%} (flux) of the")
    print(f"  other {len(images)} galaxies' true values.")

    row = int(np.argsort(truth[:, 2])[len(truth) // 2])  # of median flux
    corner = PosteriorDisplay.from_posterior(posterior, row=row, truth=truth[row], image=images[row])
    save(corner.figure_, folder / "posterior.png", "one galaxy's joint posterior, and the truth")
    save(coverage.figure_, folder / "coverage.png", "how often intervals hold the truth")
    crops = CropDisplay.from_estimator(pipeline, images, random_state=seed)
    save(crops.figure_, folder / "crops.png", "what the spatial transformer looks at")
    posterior.summary().write(folder / "structure.csv", overwrite=True)
    said(folder / "structure.csv", "means, medians, modes and intervals")
    posterior.write(folder / "posteriors.fits", overwrite=True)
    said(folder / "posteriors.fits", 'all of it: Posterior.read("posteriors.fits").sample(1000)')
    joblib.dump(pipeline, folder / "structure.joblib")
    said(folder / "structure.joblib", "the fitted pipeline")


def structure_pipeline(n_epochs: int, seed: int):
    """Images → an asinh stretch → posteriors."""
    return make_pipeline(
        Normalizer("asinh"),
        STNPosteriorRegressor(
            target_transforms=["logit", "log", "log"], max_epochs=n_epochs, random_state=seed, verbose=1
        ),
    )


# ---- what is said


def save(figure, file: Path, what: str) -> None:
    """Write a picture and say so."""
    figure.savefig(file, dpi=150)
    said(file, what)


def said(file: Path, what: str) -> None:
    """Tell where a result is."""
    print(f"    {file}  ({what})")
