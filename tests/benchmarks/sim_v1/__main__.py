"""galestim-sim-v1: errors of estimators against the physical limit, and the calibration of their posteriors.

    python tests/benchmarks/sim_v1 --out DIR                          # the tables quoted in docs/benchmarks.md
    python tests/benchmarks/sim_v1 --out DIR --only table             # again from the predictions that are there
    python tests/benchmarks/sim_v1 --out DIR --recipe default --only train predict
    python tests/benchmarks/sim_v1 --out DIR --only table --ship FILE  # write what load_pretrained reads
    python tests/benchmarks/sim_v1 --out DIR --smoke                  # does it run?

Draws the sets (`_sets.py`), trains the recipes (`_recipes.py`), writes down their posteriors (`_predictions.py`), and
compares (`../_metrics.py`). What is done is not done again: to repeat a stage, delete its files. The Cramér–Rao limit
is computed of the first test galaxies, and ratios to it are of the same ones.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the benchmarks share

import _metrics
import _predictions
import _report
import _sets
import _ship
from _recipes import RECIPES

from galestim.posteriors import Posterior

STAGES = ("sets", "train", "predict", "table")
USUAL = ("default", "recalibrated", "cnn", "gampen")
SMOKE_LIMITS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is computed")
    parser.add_argument("--sets", type=Path, help="folder of the sets, if they are to be shared by several runs")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=USUAL)
    parser.add_argument("--limit-galaxies", type=int, default=4000, help="test galaxies whose limit is computed")
    parser.add_argument("--minutes", type=float, help="time limit of the other recipes; else that of the default")
    parser.add_argument("--smoke", action="store_true", help="a few hundred galaxies and an epoch")
    parser.add_argument("--ship", type=Path, metavar="FILE", help="write the trained default and its card there")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    folder, sets = options.out, options.sets or options.out / "sets"
    sizes = _sets.SMOKE_SIZES if options.smoke else _sets.SIZES
    n_limits = min(SMOKE_LIMITS if options.smoke else options.limit_galaxies, sizes["test"])
    sets.mkdir(parents=True, exist_ok=True)
    if "sets" in options.only:
        for name in ("test", "calibration", "clean", *_sets.SHIFTS):
            _sets.stored_set(sets, name, sizes)
        _sets.limit(sets, n_limits)
    for name in options.recipe:
        if "train" in options.only:
            _predictions.train(folder, sets, name, sizes, options.minutes, options.smoke)
        if "predict" in options.only:
            _predictions.predict(folder, sets, name, sizes, n_limits)
    if "table" in options.only:
        print(_report.write(folder, tables(folder, sets, options.recipe, sizes, n_limits)))
    if options.ship:
        _ship.ship(folder, options.ship)


def tables(folder: Path, sets: Path, recipes: list[str], sizes: dict, n_limits: int) -> dict[str, list[_metrics.Row]]:
    """All rows of each recipe; the first one is compared with the others."""
    scores = _predictions.novelty(sets, sizes)
    found = {name: measured(folder / name, sets, sizes, n_limits, scores) for name in recipes}
    first, *others = (name for name in recipes if not RECIPES[name].color)
    y = _sets.stored_set(sets, "test", sizes).target
    posteriors = {name: Posterior.read(folder / name / "test.fits") for name in (first, *others)}
    gains = [_metrics.improvement(posteriors[first], posteriors[name], y, name) for name in others]
    return found | {first: gains + found[first]}


def measured(place: Path, sets: Path, sizes: dict, n_limits: int, scores: dict) -> list[_metrics.Row]:
    """All rows of one recipe."""
    color = RECIPES[place.name].color
    posterior = Posterior.read(place / ("color.fits" if color else "test.fits"))
    test, n = _sets.stored_set(sets, "color" if color else "test", sizes), len(posterior)
    rows = _metrics.accuracy(posterior, test.target[:n], test.magnitude[:n], _sets.limit(sets, n_limits)[0])
    rows += _metrics.calibration(posterior, test.target[:n])
    rows.append(_metrics.conditional(posterior, test.target[:n], *_metrics.magnitude_and_radius(posterior)))
    if color:  # the limit is that of i alone
        return [row._replace(target=None, met=None) if "limit" in row.measure else row for row in rows]
    for name in () if RECIPES[place.name].parent else _sets.SHIFTS:  # which recalibration knows nothing of
        shifted = Posterior.read(place / f"{name}.fits")
        y = _sets.stored_set(sets, name, sizes).target[: len(shifted)]
        rows += _metrics.shift(name, shifted, y, scores)
    rows += _metrics.rotation(*_turned(place / "turned.npz"))
    documents = ((place / f"{name}.json").read_text() for name in ("speed", "training"))
    return rows + _metrics.cost(*map(json.loads, documents))


def _turned(path: Path):
    with _sets.np.load(path) as found:
        return found["views"], found["angles"]


if __name__ == "__main__":
    main()
