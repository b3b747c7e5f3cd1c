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
    "images": "Cutouts of 64 to 128 pixels a side, linear, sky subtracted, with psf= and noise= of each galaxy",
    "units": "radii by pixel_scale, fluxes in the units of the images",
}
LIMITS = [
    "Galaxies of a bulge and a disk, alone in the image. in_domain() flags most of what is unlike these; neighbors "
    "of a tenth of the flux and less make posteriors too narrow, half of them without a flag: mask them "
    "(NeighborMasker).",
    "A point-spread function told with a wrong width or profile makes radii wrong without a flag: say how well it is "
    "known by psf_error=, which widens them.",
    "Bulge-to-total ratios are less sharp than the image would let them be; see the numbers.",
    "Stars of telescopes in space are known less well: 68 % intervals hold 57 to 64 % there.",
    "Galaxies outside of the prior are pulled into it; real ones have arms, bars and halos that it does not know.",
]


def ship(table: Path, model: Path, path: Path) -> None:
    """Write the trained `model` to `path`, with its numbers in `table`, as `_report.write` writes them."""
    estimator = load_estimator(model)
    cameras = asdict(train.cameras()) | {"stamps": "none: sums of two Moffat profiles stand for measured stars"}
    card = {
        "data": DATA | {"simulated": estimator.card_["data"]},
        "cameras": {name: repr(entry) for name, entry in cameras.items()},
        "prior": {name: repr(entry) for name, entry in train.prior().priors.items()},
        "seeds": {"training": estimator.card_["seed"], "network": 0, "sets": _sets.SEEDS},
        "date": datetime.date.today().isoformat(),
        "training": {"code": "python tests/benchmarks/sim_v2/train.py", "threads": 1}
        | {name: estimator.card_[name] for name in ("epochs", "hours")},
        "numbers": _numbers(table),
        "limits": LIMITS,
        "license": "BSD-3-Clause",
    }
    save_estimator(estimator, path, card=card)


def _numbers(table: Path) -> dict[str, dict]:
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    sets = {row["recipe"]: row["recipe"].rpartition(", ")[2] for row in rows}
    known = ("value", "target", "met")
    return {f"{row['measure']} ({sets[row['recipe']]})": {name: row[name] for name in known} for row in rows}
