"""What the commands do, once their arguments are read; each returns what is to be said, to people or as JSON."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.model_selection import cross_validate

from .._descend import find
from .._io.files import written_whole
from .._tables import listed
from ..catalogs import Catalog
from ..checkpoints import save_estimator
from ..model_selection import make_pipeline
from ..posteriors import optional_import
from ..production import predict_catalog
from ..trust import trust_report
from .models import PICKLES, catalog_model
from .recipe import Recipe

TRIED = 16  # galaxies whose images are looked at before a training


def fetch(recipe_file: Path, catalog_file: Path | None, report_file: Path | None) -> dict[str, Any]:
    """Fill the cache with the images of a catalog."""
    recipe = Recipe.read(recipe_file, ["images", "cutouts"])
    _check_ending(report_file, (".csv", ".ecsv", ".fits", ".parquet"))
    report = recipe.fetcher().prefetch(recipe.catalog(catalog_file))
    if report_file is not None:
        with written_whole(report_file) as finished:
            report.write(finished)
    counts = Counter(report["status"].tolist())
    return {"rows": len(report), **{status: counts[status] for status in ("ok", "missing", "failed")}}


def fit(recipe_file: Path, out: Path) -> dict[str, Any]:
    """Train the model of a recipe."""
    recipe = Recipe.read(recipe_file, ["catalog", "images", "cutouts", "model", "targets"])
    _check_ending(out, (".safetensors", *PICKLES))
    steps = recipe.sections.get("steps")
    if out.suffix == ".safetensors" and steps:
        raise ValueError(f"{out}: a file without code cannot hold [[steps]]; name it .joblib, which is a pickle.")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"{out.absolute().parent} is not a folder; make it first.")
    catalog = recipe.catalog()
    targets = recipe.targets(catalog)
    some = recipe.fetcher().set_params(verbose=0).acquire(_spread(catalog, TRIED), on_error="skip")
    if not len(some.images):
        raise ValueError(
            f"none of {len(some.report)} galaxies that were tried has an image: {some.report['reason'][0]}"
        )
    acquired = recipe.fetcher().acquire(catalog, on_error="skip")
    there = np.asarray(acquired.report["status"] == "ok")
    estimator, targets = _without_fetcher(recipe), targets[there]
    kept = out.with_name(f"{out.name}.checkpoint")
    own = _keep(_regressor(estimator), kept)
    scores = _scores(recipe, estimator, acquired.images, targets)
    estimator.fit(acquired.images, targets)
    _regressor(estimator).set_params(checkpoint=own)
    _save(estimator, recipe, out)
    shutil.rmtree(kept, ignore_errors=True)
    return {"model": str(out), "galaxies": int(there.sum()), "missing": int((~there).sum()), **scores}


def _without_fetcher(recipe: Recipe):
    steps = recipe.steps()
    return make_pipeline(*steps, recipe.model()) if steps else recipe.model()


def _regressor(estimator):
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _keep(regressor, folder: Path):
    """Have the state of each fit kept in `folder`, if the recipe names no other; returns what it says of that."""
    own = regressor.checkpoint
    if own is None:
        regressor.set_params(checkpoint=str(folder / "{fit}"))
    if regressor.random_state is None:
        regressor.set_params(random_state=0)
    return own


def _scores(recipe: Recipe, estimator, images, targets) -> dict[str, Any]:
    """R² on galaxies that were not trained on, if a recipe asks for a cross-validation."""
    cv = recipe.sections["targets"].get("cv")
    if cv is None:
        return {}
    found = cross_validate(estimator, images, targets, cv=cv, error_score="raise")
    return {"r2": [round(float(score), 4) for score in found["test_score"]]}


def _save(estimator, recipe: Recipe, out: Path) -> None:
    if out.suffix == ".safetensors":
        images = {name: recipe.sections[name] for name in ("images", "cutouts")}
        save_estimator(estimator, out, card={"recipe": recipe.sections, "images": images})
        return
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    with written_whole(out) as finished:
        joblib.dump(make_pipeline(recipe.fetcher(), *steps), finished)


def predict(model: str, catalog: Path, out: Path, images_file: Path | None, scheduler: str | None, **options):
    """Predict a whole catalog."""
    estimator = catalog_model(model, _images(images_file))
    if scheduler is None:
        done = predict_catalog(estimator, catalog, out, **options)
    else:
        with optional_import("distributed", "--scheduler").Client(scheduler) as client:
            done = predict_catalog(estimator, catalog, out, client=client, **options)
    counts = {"ok": done.n_ok, "missing": done.n_missing, "failed": done.n_failed, "resumed": done.n_resumed}
    return {"out": str(done.folder), "rows": done.n_rows, **counts}


def report(model: str, catalog_file: Path, out: Path, images_file: Path | None, seed: int) -> dict[str, Any]:
    """Measure whether a model can be trusted, on galaxies whose truth the catalog has."""
    _check_ending(out, (".html",))
    estimator = catalog_model(model, _images(images_file))
    catalog, names = Catalog(catalog_file), find(estimator, "target_names_")[0] or []
    if lacking := [name for name in names if name not in catalog.colnames]:
        raise ValueError(f"{catalog_file} has no {listed(lacking)}; expected the true values of {listed(names)}.")
    acquired = estimator.steps[0][1].acquire(catalog, on_error="skip")
    rest = estimator.steps[-1][1] if len(estimator.steps) == 2 else estimator[1:]
    found = trust_report(rest, acquired.images, acquired.catalog[names], random_state=seed)
    found.to_html(out)
    checks = [dict(zip(found.checks.colnames, map(_plain, row))) for row in found.checks]
    return {"report": str(out), "galaxies": found.n_galaxies, "passed": bool(found.passed), "checks": checks}


def _images(file: Path | None) -> Recipe | None:
    return None if file is None else Recipe.read(file, ["images", "cutouts"])


def _check_ending(file: Path | None, endings: tuple[str, ...]) -> None:
    if file is not None and file.suffix.lower() not in endings:
        raise ValueError(f"{file} has the suffix {file.suffix!r}; expected one of {listed(endings)}.")


def _spread(catalog: Catalog, n: int) -> Catalog:
    return catalog[np.unique(np.linspace(0, len(catalog) - 1, n).astype(int))]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
