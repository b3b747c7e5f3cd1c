"""Spirals against the rest, 5-fold ROC AUC. Data: 1400 images of github.com/isi-mube/Cosmic-Compendium.

    python tests/benchmarks/sdss_morphology.py --out results.jsonl           # everything, resumes where it stopped
    python tests/benchmarks/sdss_morphology.py --only features pixels        # the forests alone
    python tests/benchmarks/sdss_morphology.py --only compact --folds 0

The images (424×424 px, scaled to each galaxy's size) and labels are those of ../shared/data/sdss_jpeg; give --data to
read them elsewhere: a folder of <object_id>.jpg with a catalog.csv that has the columns object_id and spiral (0 or
1). They are images of Galaxy Zoo 2 as found in isi-mube/Cosmic-Compendium.
"""

import argparse
import logging
import time
from ast import literal_eval
from pathlib import Path

import numpy as np
from _record import record, recorded
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline as sklearn_pipeline
from sklearn.preprocessing import FunctionTransformer

from galestim import CenterCrop, CNNRegressor, CompactCNN, Downsampler, Normalizer, make_pipeline
from galestim.datasets import load_image_folder

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sdss_jpeg"


def handmade_features(images):
    """Concentration, asymmetry and color of each image: the classics, without a network."""
    gray = images.astype(np.float32).mean(axis=3)
    sky = np.median(gray, axis=(1, 2), keepdims=True)
    light = np.clip(gray - sky, 0, None)
    y, x = np.indices(gray.shape[1:]) - (gray.shape[1] - 1) / 2
    radius = np.hypot(x, y)
    growth = np.stack([light[:, radius < r].sum(axis=1) for r in (10, 20, 40, 80, 160)], axis=1)
    concentration = growth[:, :-1] / growth[:, -1:]
    core = light[:, 132:292, 132:292]
    asymmetry = np.abs(core - core[:, ::-1, ::-1]).sum(axis=(1, 2)) / core.sum(axis=(1, 2))
    bands = np.stack([images[:, radius < r].mean(axis=1) for r in (20, 80)], axis=1)
    color = (bands / bands.sum(axis=2, keepdims=True)).reshape(len(images), -1)
    return np.column_stack([concentration, asymmetry, color])


def models(seed: int, device: str) -> dict:
    """Make every pipeline that is compared; all predict a number that grows with the chance of a spiral."""
    forest = RandomForestClassifier(500, min_samples_leaf=3, n_jobs=2, random_state=seed)
    flat = FunctionTransformer(_flatten)
    return {
        "features": sklearn_pipeline(FunctionTransformer(handmade_features), forest),
        "pixels": sklearn_pipeline(Downsampler(80), Normalizer("minmax"), flat, forest),
        "compact": make_pipeline(
            CenterCrop(192),
            Downsampler(64),
            Normalizer("scale"),
            CNNRegressor(
                CompactCNN(),
                max_epochs=40,
                lr=5e-3,
                optimizer="adamw",
                weight_decay=1e-2,
                lr_schedule="one_cycle",
                augmentation="rotation",
                validation_fraction=0.0,
                device=device,
                random_state=seed,
                verbose=1,
            ),
        ),
        "spin": make_pipeline(
            Downsampler(80),
            Normalizer("minmax"),
            CNNRegressor(precision="bfloat16", device=device, random_state=seed, verbose=1),
        ),
    }


def _flatten(images):
    return images.reshape(len(images), -1)


def score_of(model, images):
    """Return the number to rank by."""
    return model.predict_proba(images)[:, 1] if hasattr(model, "predict_proba") else model.predict(images)


def small_search(images, spiral, seed: int, device: str, settings: dict) -> dict:
    """Search learning rate and dropout of the best pipeline, cut short, 2-fold on half of the images."""
    pipeline = models(seed, device)["compact"].set_params(**{"cnnregressor__max_epochs": 6, **settings})
    ranking = make_scorer(roc_auc_score, response_method="predict")  # by the number itself; there are no classes
    grid = {"cnnregressor__lr": [1e-3, 5e-3], "cnnregressor__network__dropout": [0.0, 0.2]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring=ranking, refit=False, error_score="raise")
    search.fit(images[::2], spiral[::2])
    return {
        "scores": {
            str(p): round(s, 4) for p, s in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"])
        }
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", default=["features", "pixels", "compact", "search", "spin"])
    parser.add_argument("--folds", nargs="+", type=int, default=range(5), help="which of the five folds to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAMETER=VALUE", help="for trying things out")
    parser.add_argument("--out", type=Path, help="append results to this file, and skip what it has")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    data = load_image_folder(options.data, options.data / "catalog.csv")
    images, spiral = data.images, np.asarray(data.catalog["spiral"])
    settings = {key: literal_eval(value) for key, value in (item.split("=", 1) for item in options.set)}
    done = {(row["what"], row.get("fold")) for row in recorded(options.out)}
    folds = list(StratifiedKFold(5, shuffle=True, random_state=options.seed).split(images, spiral))
    for name in options.only:
        if name == "search" and ("search", None) not in done:
            start = time.perf_counter()
            found = small_search(images, spiral, options.seed, options.device, settings)
            record(options.out, what="search", **found, minutes=round((time.perf_counter() - start) / 60, 1))
        for fold in [] if name == "search" else options.folds:
            if (name, fold) in done:
                continue
            train, test = folds[fold]
            start = time.perf_counter()
            model = models(options.seed, options.device)[name]
            model.set_params(
                **{key: literal_eval(value) for key, value in (item.split("=", 1) for item in options.set)}
            )
            model.fit(images[train], spiral[train])
            auc = roc_auc_score(spiral[test], score_of(model, images[test]))
            minutes = (time.perf_counter() - start) / 60
            record(options.out, what=name, fold=fold, auc=round(auc, 4), minutes=round(minutes, 1))
    summarize(recorded(options.out))


def summarize(rows: list[dict]):
    """Print mean and standard deviation over the folds, as a table."""
    print("\n| pipeline | folds | ROC AUC | minutes a fold |\n|---|---|---|---|")
    for name in dict.fromkeys(row["what"] for row in rows if "auc" in row):
        auc, minutes = np.array([[row["auc"], row["minutes"]] for row in rows if row["what"] == name]).T
        spread = auc.std(ddof=1) if len(auc) > 1 else np.nan
        print(f"| {name} | {len(auc)} | {auc.mean():.3f} ± {spread:.3f} | {np.median(minutes):.1f} |")


if __name__ == "__main__":
    main()
