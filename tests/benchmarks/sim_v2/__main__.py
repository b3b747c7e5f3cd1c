"""galestim-sim-v2: every galaxy with a camera of its own. Errors against the physical limit, and calibration.

    python tests/benchmarks/sim_v2 --out DIR                           # the tables quoted in docs/benchmarks.md
    python tests/benchmarks/sim_v2 --out DIR --model FILE --galaxies 3000 --galsim 0 --limit-galaxies 500
    python tests/benchmarks/sim_v2 --out DIR --crowded --galsim 0      # galestim-sim-v2-crowded
    python tests/benchmarks/sim_v2 --out DIR --model FILE --ship PATH  # write what load_pretrained reads
    python tests/benchmarks/sim_v2 --out DIR --smoke                   # does it run?

Draws the test sets (`_sets.py`), asks the model for posteriors, and compares (`_measures.py`, `../_metrics.py`); one
table for the galaxies of the renderer and one for those of GalSim. Images, limits and posteriors are kept in DIR and
not made again: to repeat something, delete its files. The Cramér–Rao limit, with the camera of each galaxy and what
is not known of it, is computed of the first galaxies of a set, and ratios to it are of the same ones. What is binned
by is known without the truth: of the camera as it is told, and of the galaxy as it is predicted. A third table is of
the one camera of sim-v1, beside the model that knows no other.

With `--recalibrated N` there is a table more: what `RecalibratedRegressor` makes of the posteriors, by N other
galaxies of each size of image, as one can who knows how crowded a survey is.

Crowded galaxies have neighbors, which the limit marginalizes and `NeighborMasker` masks, and bad pixels; what is
measured of these besides is in `_crowded.py`.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the benchmarks share

import _crowded
import _fixed
import _measures
import _metrics
import _model
import _recalibrated
import _report
import _sets
import _ship
import numpy as np

from galestim.posteriors import Posterior, concatenate

SMOKE = {"renderer": 18, "galsim": 6}
SMOKE_LIMITS = 6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is computed")
    parser.add_argument("--sets", type=Path, help="folder of the sets, if they are to be shared by several runs")
    parser.add_argument("--galaxies", type=int, default=20_000, help="drawn by the renderer")
    parser.add_argument("--galsim", type=int, default=2000, help="drawn by GalSim; 0 for none")
    parser.add_argument("--limit-galaxies", type=int, default=4000, help="of each set, whose limit is computed")
    parser.add_argument("--crowded", action="store_true", help="galaxies with neighbors")
    parser.add_argument("--recalibrated", type=int, default=0, metavar="N", help="galaxies to recalibrate on")
    parser.add_argument("--fixed", type=int, default=5000, help="drawn by the renderer for the camera of sim-v1")
    parser.add_argument("--ship", type=Path, metavar="PATH", help="write the model and its card there")
    _model.add_arguments(parser)
    options = parser.parse_args()
    if options.ship and options.crowded:
        parser.error("--ship with --crowded; the card of a model is that of the lonely sets.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    numbers = {"renderer": options.galaxies, "galsim": options.galsim}
    if options.smoke:
        numbers = {by: min(n, SMOKE[by]) for by, n in numbers.items()}
    n_limits = SMOKE_LIMITS if options.smoke else options.limit_galaxies
    sets = options.sets or options.out / "sets"
    sets.mkdir(parents=True, exist_ok=True)
    model, name = _model.model_of(options, options.out)
    tables = {}
    for by, n in numbers.items():
        if n:
            which = f"{name}, {'crowded, ' if options.crowded else ''}{by}"
            drawn = _sets.parts(sets, by, n, options.smoke, options.crowded)
            logging.info("%s: %d parts are drawn", by, len(drawn))
            tables[which] = table(options.out / name, sets, model, by, drawn, n_limits)
    if options.recalibrated:
        drawn = _sets.parts(sets, "renderer", numbers["renderer"], options.smoke, options.crowded)
        n = SMOKE["renderer"] if options.smoke else options.recalibrated
        posterior = _recalibrated.posterior(model, sets, drawn, n)
        which = f"{name}, {'crowded, ' if options.crowded else ''}recalibrated"
        tables[which] = _recalibrated.measured(posterior, drawn)
    n_fixed = SMOKE["renderer"] if options.smoke else options.fixed
    if n_fixed and not options.crowded:
        tables[f"{name}, sim-v1"] = _fixed.compared(model, n_fixed)
    place = options.out / name / ("crowded" if options.crowded else ".")
    place.mkdir(parents=True, exist_ok=True)
    print(_report.write(place, tables))
    if options.ship:
        _ship.ship(place / "table.jsonl", Path(options.model), options.ship)


def table(place: Path, sets: Path, model, by: str, parts: list[_sets.Part], n_limits: int) -> list[_metrics.Row]:
    """All rows of a model on the galaxies drawn `by` the renderer or GalSim."""
    place.mkdir(parents=True, exist_ok=True)
    limits = [_sets.limit(sets, part) for part in parts[: -(-n_limits // len(parts[0]))]]
    logging.info("%s: limits are computed", by)
    crowded = parts[0].neighbors is not None
    parts = [_sets.masked(part) for part in parts]
    posteriors = [posterior_of(place, model, part) for part in parts]
    logging.info("%s: posteriors are predicted", by)
    known = [_measures.told(posterior, part) for posterior, part in zip(posteriors, parts)]
    together = {name: np.concatenate([one[name] for one in known]) for name in known[0]}
    rows = _measures.measured(concatenate(posteriors), parts, np.concatenate(limits), together)
    if crowded:
        scores = np.concatenate([model.domain(part.cutouts)["score"] for part in parts])
        rows += _crowded.measured(concatenate(posteriors), parts, np.concatenate(limits), scores)
    timed = next((part for part in parts if part.cutouts.shape[1] == 96), parts[0])
    return [*rows, _measures.speed(model, timed)] if by == "renderer" else rows


def posterior_of(place: Path, model, part: _sets.Part) -> Posterior:
    """The posterior of a part; it is read if it is there."""
    path = place / f"{part.name}.fits"
    if not path.exists():
        model.predict_posterior(part.cutouts).write(path)
    return Posterior.read(path)


if __name__ == "__main__":
    main()
