"""The estimator that comes with galestim: the default recipe as a file, with a card of what was measured."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from _predictions import trained
from _sets import NPIX, SEEDS, SIZES, train_set

from galestim.checkpoints import save_estimator

LIMITS = [
    "Simulated galaxies of a bulge and a disk, alone in the image; galestim.trust.NoveltyDetector flags others.",
    "Another point-spread function, noise, zero point or pixel scale makes its posteriors wrong without a warning, "
    "and so do neighbors.",
    "Galaxies outside of the prior are pulled into it.",
]


def ship(folder: Path, path: Path) -> None:
    """Write the trained default and its card to `path`."""
    record = json.loads((folder / "default" / "training.json").read_text())
    galaxies = train_set(SIZES, "galaxies")
    card = {
        "data": {
            "images": f"{galaxies!r}; a galaxy lives for {galaxies.lifetime} epochs, each with new noise",
            "npix": NPIX,
            "pixel_scale": galaxies.band.pixel_scale,
            "zero_point": galaxies.band.zero_point,
            "scaling": "linear flux, sky subtracted; not stretched, not normalized",
        },
        "band": {
            "name": "galestim.simulation.hsc_like('i')",
            "psf": repr(galaxies.band.psf),
            "sky_noise": galaxies.band.sky_noise,
            "gain": galaxies.band.gain,
        },
        "prior": {"name": "galestim.simulation.sim_v1_prior()"}
        | {name: repr(prior) for name, prior in galaxies.prior.priors.items()},
        "seeds": {"sets": SEEDS, "training": 0},
        "date": datetime.date.today().isoformat(),
        "training": {name: record[name] for name in ("epochs", "minutes", "threads", "weights")}
        | {"code": "python tests/benchmarks/sim_v1 --recipe default"},
        "numbers": _numbers(folder),
        "limits": LIMITS,
        "license": "BSD-3-Clause",
    }
    save_estimator(trained(folder, "default"), path, card=card)


def _numbers(folder: Path) -> dict[str, dict]:
    """Rows of the table that concern the default alone."""
    rows = [json.loads(line) for line in (folder / "table.jsonl").read_text().splitlines()]
    own = [row for row in rows if row["recipe"] == "default" and "lower than that of" not in row["measure"]]
    return {row["measure"]: {name: row[name] for name in ("value", "target", "met")} for row in own}
