"""Training of the recipes, and what they predict of the sets: one file per question, so that a run can go on."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _metrics import in_logarithms
from _recipes import RECIPES, Recipe, TimeLimit
from _sets import SHIFTS, TARGETS, UNITS, calibration_set, limit, stored_set, train_set, turned_images
from astropy.table import Table

from galestim.calibration import RecalibratedRegressor
from galestim.networks import VGG16
from galestim.posteriors import Posterior

SIGNAL_TO_NOISE = 100.0  # least one of galaxies that are turned
CHUNK = 1000  # images predicted at a time


def train(folder: Path, sets: Path, name: str, sizes: dict, minutes: float | None, smoke: bool) -> None:
    """Train a recipe, unless that is done, and keep it with a record of what it took."""
    path = folder / name / "estimator.pickle"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    recipe = RECIPES[name]
    if recipe.parent is None:
        model, record = _fitted(recipe, folder, sets, sizes, minutes, smoke)
    else:
        galaxies = calibration_set(sizes)
        model = RecalibratedRegressor(trained(folder, recipe.parent), method="pit", cv="prefit")
        model.fit(recipe.seen(galaxies), galaxies.target)
        record = json.loads((folder / recipe.parent / "training.json").read_text())
    (path.parent / "training.json").write_text(json.dumps(record))
    with path.open("wb") as file:
        pickle.dump(model, file)


def _fitted(recipe: Recipe, folder: Path, sets: Path, sizes: dict, minutes: float | None, smoke: bool):
    """A trained estimator, and what it took."""
    galaxies = stored_set(sets, "color_train", sizes) if recipe.color else train_set(sizes, recipe.redraw)
    model = recipe.make(smoke)
    if recipe.timed:
        model.set_params(callbacks=[TimeLimit(_time_limit(folder, minutes))])
    start = time.perf_counter()
    model.fit(
        recipe.seen(galaxies.images if recipe.color else galaxies), Table(galaxies.target, names=TARGETS, units=UNITS)
    )
    record = {"minutes": (time.perf_counter() - start) / 60, "threads": torch.get_num_threads()}
    model.set_params(callbacks=None, warm_start=False)
    record |= {"weights": model.n_parameters_, "megabytes": 4e-6 * model.n_parameters_}
    return model, record | {"epochs": len(model.history_), "last": model.history_[-1]}


def trained(folder: Path, name: str):
    """The estimator that `train` kept."""
    path = folder / name / "estimator.pickle"
    if not path.exists():
        raise SystemExit(f"{name} is not trained yet: run --only train --recipe {name} first.")
    with path.open("rb") as file:
        return pickle.load(file)


def _time_limit(folder: Path, minutes: float | None) -> float:
    """Minutes that were asked for, or those that the default took."""
    path = folder / "default" / "training.json"
    if minutes is None and not path.exists():
        raise SystemExit("This recipe trains for as long as the default: train that first, or say --minutes.")
    return json.loads(path.read_text())["minutes"] if minutes is None else minutes


def predict(folder: Path, sets: Path, name: str, sizes: dict, n_limits: int) -> None:
    """Write the posteriors of the test set and the shifts, the means of turned images, and the speed."""
    recipe, model, place = RECIPES[name], trained(folder, name), folder / name
    wanted = ["color"] if recipe.color else ["test", *SHIFTS]
    for set_name in wanted:
        path = place / f"{set_name}.fits"
        if not path.exists():
            images = stored_set(sets, set_name, sizes).images
            _posterior(model, recipe, images[: _count(recipe, len(images))]).write(path)
    if recipe.color:
        return
    if not (place / "turned.npz").exists():
        np.savez(place / "turned.npz", **_turned_means(model, recipe, sets, sizes, n_limits))
    if not (place / "speed.json").exists():
        images = stored_set(sets, "test", sizes).images[: _count(recipe, sizes["timed"])]
        (place / "speed.json").write_text(json.dumps(_speed(model, recipe, np.array(images))))


def _count(recipe: Recipe, n: int) -> int:
    return max(2, round(recipe.share * n))


def _posterior(model, recipe: Recipe, images: np.ndarray) -> Posterior:
    """The posterior of `images`, stretched a few at a time."""
    if not recipe.stretched:
        return model.predict_posterior(images)
    seen = np.empty(images.shape, images.dtype)
    for start in range(0, len(images), CHUNK):
        seen[start : start + CHUNK] = recipe.seen(images[start : start + CHUNK])
    return model.predict_posterior(seen)


def _turned_means(model, recipe: Recipe, sets: Path, sizes: dict, n_limits: int) -> dict[str, np.ndarray]:
    """Means ``(n, n_views, 3)`` of B/T, ln R_e and ln F, of eight flips and turns, and of 36 re-rendered angles."""
    test = stored_set(sets, "test", sizes)
    images = test.images[: _count(recipe, sizes["viewed"])]
    views = [np.rot90(flipped, turns, axes=(1, 2)) for flipped in (images, images[:, :, ::-1]) for turns in range(4)]
    bright = np.flatnonzero(limit(sets, n_limits)[1] > SIGNAL_TO_NOISE)[: _count(recipe, sizes["turned"])]
    turned = turned_images({name: values[bright] for name, values in test.parameters.items()}, sizes["angles"])
    return {
        "views": _means(model, recipe, np.stack(views, axis=1)),
        "angles": _means(model, recipe, turned),
    }


def _means(model, recipe: Recipe, images: np.ndarray) -> np.ndarray:
    """Means ``(n, n_views, 3)`` of the posteriors of images ``(n, n_views, h, w)``."""
    flat = images.reshape(-1, *images.shape[2:])
    return in_logarithms(_posterior(model, recipe, flat)).mean().reshape(*images.shape[:2], -1)


def _speed(model, recipe: Recipe, images: np.ndarray) -> dict:
    """Galaxies a second, from linear images to 1000 draws each; passes of VGG-16 in the same minute."""

    def run():
        start = time.perf_counter()
        _posterior(model, recipe, images).sample(1000, random_state=0)
        return time.perf_counter() - start

    seconds = median(run() for _ in range(3))
    per_pass = _vgg16_pass(min(16, len(images)))
    return {
        "galaxies": len(images),
        "galaxies_per_second": len(images) / seconds,
        "threads": torch.get_num_threads(),
        "vgg16_ms_per_pass": 1e3 * per_pass,
        "times_as_fast_as_vgg16": 1000 * per_pass * len(images) / seconds,
    }


def _vgg16_pass(n_images: int) -> float:
    """Seconds that VGG-16 takes for a pass over an image of 96×96 px, in a batch; its head changes little."""
    network = VGG16(units=512).build((96, 96, 1), 9).eval()
    pixels, times = torch.zeros(n_images, 1, 96, 96), []
    with torch.inference_mode():
        for _ in range(4):
            start = time.perf_counter()
            network(pixels)
            times.append((time.perf_counter() - start) / n_images)
    return median(times[1:])


def novelty(sets: Path, sizes: dict) -> dict[str, np.ndarray]:
    """Scores of a novelty detector that knows the calibration images: of the test galaxies, and of each shift."""
    from galestim.trust import NoveltyDetector

    path = sets / "novelty.npz"
    if not path.exists():
        detector = NoveltyDetector().fit(stored_set(sets, "calibration", sizes).images)
        names = ("clean", *SHIFTS)
        np.savez(path, **{name: detector.score_samples(stored_set(sets, name, sizes).images) for name in names})
    return dict(np.load(path))
