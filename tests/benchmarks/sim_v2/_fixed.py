"""The model of many cameras on the one camera of galestim-sim-v1, beside a model that knows no other."""

from __future__ import annotations

import numpy as np
from _metrics import Row, calibration, in_logarithms, logarithms_of, root_ratio, row

from galestim import Cutouts
from galestim.checkpoints import load_pretrained
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import render_stars

SEED = 20_000  # that of the test set of sim-v1
KNOWN = {"sky_error": 0.03, "psf_error": 0.006}  # as well as training knew any
FIXED = "hsc-sim-i"


def compared(model, n: int) -> list[Row]:
    """RMSE over that of the model of one camera, whose sky and point-spread function are exact, and calibration."""
    galaxies = SimulatedGalaxies(n, random_state=SEED)
    band, images = galaxies.band, np.asarray(galaxies[:])
    star = render_stars(npix=33, pixel_scale=band.pixel_scale, psf=[band.psf]).numpy()[0]
    camera = {name: getattr(band, name) for name in ("gain", "pixel_scale", "zero_point")}
    told = model.predict_posterior(Cutouts(images, psf=star, noise=band.sky_noise, **camera, **KNOWN))
    fixed = load_pretrained(FIXED).predict_posterior(images)
    squares, others = ((in_logarithms(one).mean() - logarithms_of(galaxies.target)) ** 2 for one in (told, fixed))
    measure = f"RMSE over that of {FIXED}, on its one camera"
    return [
        row("sim-v1", measure, *root_ratio(squares, others), target=1.05, galaxies=n),
        *calibration(told, galaxies.target),
    ]
