"""The estimator that comes with galestim: what was trained as a file, with a card of what was measured."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from pathlib import Path

import _sets
import train

from galestim.checkpoints import load_estimator, save_estimator

DATA = {
    "targets": "bulge_to_total; half_light_radius [arcsec], circularized, of both components together; flux",
    "images": "Cutouts of 64 to 128 pixels a side, linear, sky subtracted, with psf= and noise= of each galaxy, "
    "neighbors masked by NeighborMasker()",
    "units": "radii by pixel_scale, fluxes in the units of the images",
}
LIMITS = [
    "Galaxies of a bulge and a disk, behind NeighborMasker. in_domain() flags most of what is unlike these.",
    "Neighbors within 2.5 widths of the point-spread function are not masked: fluxes come out nearly one σ too high "
    "in the median. Of two equal galaxies within one width, more than a quarter are taken for one, with confidence.",
    "Half of the galaxies that it learned from are alone: 68 % intervals hold 70 % of the truths where all are, and "
    "67 % among 1.2 neighbors per image in the mean.",
    "A point-spread function told with a wrong width or profile makes radii wrong without a flag: say how well it is "
    "known by psf_error=, which widens them.",
    "Bulge-to-total ratios above an S/N of 300 are less sharp than the image would let them be; see the numbers.",
    "Of stars of telescopes in space it has learned those of Hubble's ACS in F814W; others are known less well.",
    "Galaxies outside of the prior are pulled into it; real ones have arms, bars and halos that it does not know. "
    "Fluxes of stamps of Hubble are 10 % below those of fits in the median.",
]
STARS = "38 stars of Hubble, which differ by 2 % of their light and more from those that judge; in the last stage"


def ship(table: Path, model: Path, path: Path) -> None:
    """Write the trained `model` to `path`, with its numbers in `table`, as `_report.write` writes them.

    Those of crowded galaxies are added if they are in the folder ``crowded`` beside it.
    """
    estimator = load_estimator(model)
    cameras = asdict(train.cameras()) | {"stamps": STARS}
    card = {
        "data": DATA | {"simulated": estimator.card_["data"]},
        "cameras": {name: repr(entry) for name, entry in cameras.items()},
        "prior": {name: repr(entry) for name, entry in train.prior().priors.items()},
        "neighbors": repr(train.neighbors()),
        "seeds": {"training": estimator.card_["seed"], "network": 0, "sets": _sets.SEEDS},
        "date": datetime.date.today().isoformat(),
        "training": {"code": "python tests/benchmarks/sim_v2/train.py", "threads": 1}
        | {name: estimator.card_[name] for name in ("epochs", "hours")},
        "numbers": {**_numbers(table), **_numbers(table.parent / "crowded" / table.name)},
        "limits": LIMITS,
        "license": "BSD-3-Clause",
    }
    save_estimator(estimator, path, card=card)


def _numbers(table: Path) -> dict[str, dict]:
    rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    sets = {row["recipe"]: row["recipe"].partition(", ")[2] for row in rows}
    known = ("value", "target", "met")
    return {f"{row['measure']} ({sets[row['recipe']]})": {name: row[name] for name in known} for row in rows}
