"""The main job from end to end on a simulated sky: what a newcomer sees in the first minutes."""

from __future__ import annotations

import time
from pathlib import Path

import joblib
import numpy as np

from .datasets import make_spin_galaxies
from .displays import CutoutGridDisplay, RegressionDisplay, TrainingHistoryDisplay
from .model_selection import make_pipeline, stratified_train_test_split
from .networks import CompactCNN
from .preprocessing import Downsampler, Normalizer
from .regression import CNNRegressor

SPIN = r"$\lambda_R$"


def run_demo(folder: Path, n_galaxies: int, n_epochs: int, seed: int) -> None:
    """Simulate galaxies, learn their spin from their images, and write pictures, numbers and the fitted pipeline.

    Parameters
    ----------
    folder : Path
        Where to write; made if absent.
    n_galaxies, n_epochs, seed : int
    """
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)

    print(f"1/4  Simulating {n_galaxies} galaxies: red bulges and blue disks, with a known spin and known scatter.")
    sky = make_spin_galaxies(n_galaxies, random_state=seed)
    split = stratified_train_test_split(
        sky.images,
        sky.lambda_r,
        sky.parameters["expected_lambda_r"],
        stratify=sky.lambda_r,
        random_state=seed,
    )
    train_images, images, train_spin, spin, _, knowable = split

    print(
        f"2/4  Training on {len(train_images)} of them, by a reduced recipe: CompactCNN on 40×40, {n_epochs} epochs"
    )
    print("     in place of the published one (SpinCNN on 80×80, 35 epochs), which takes far longer on a CPU.")
    pipeline = spin_pipeline(n_epochs, seed).fit(train_images, train_spin)

    print(f"3/4  Predicting the other {len(images)}.")
    predicted = pipeline.predict(images)
    display = RegressionDisplay.from_predictions(spin, predicted, target_name=SPIN, random_state=seed)
    best = np.corrcoef(knowable, spin)[0, 1]
    print(f"     Pearson r = {display.pearson.value:.3f} [{display.pearson.low:.3f}, {display.pearson.high:.3f}];")
    print(f"     {best:.3f} is the best possible here, as the scatter shows in no image.")

    print("4/4  Writing")
    save(display.figure_, folder / "predicted_against_actual.png", "predictions against truth")
    save(
        TrainingHistoryDisplay.from_estimator(pipeline).figure_,
        folder / "training_history.png",
        "loss, learning rate",
    )
    cutouts = CutoutGridDisplay.from_predictions(images, spin, predicted, choice="spread", target_name=SPIN)
    save(cutouts.figure_, folder / "cutouts.png", "galaxies with actual and predicted spin")
    table = np.column_stack([spin, predicted])
    np.savetxt(folder / "predictions.csv", table, fmt="%.5f", delimiter=",", header="lambda_r,predicted", comments="")
    said(folder / "predictions.csv", "the numbers")
    joblib.dump(pipeline, folder / "spin.joblib")
    said(folder / "spin.joblib", 'the fitted pipeline: joblib.load("spin.joblib").predict(images)')
    print(f"Done in {time.perf_counter() - start:.0f} s.")


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


def save(figure, file: Path, what: str) -> None:
    """Write a picture and say so."""
    figure.savefig(file, dpi=150)
    said(file, what)


def said(file: Path, what: str) -> None:
    """Tell where a result is."""
    print(f"     {file}  ({what})")
