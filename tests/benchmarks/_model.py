"""The model of many cameras that benchmarks judge: a file, one that comes with galestim, or a small stand-in."""

from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from galestim import HarmonicNet, PosteriorRegressor
from galestim.checkpoints import load_estimator, load_pretrained, save_estimator
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import sim_v2_cameras, sim_v2_prior

USUAL = "any-camera"
STAND_IN = "stand-in"
TARGETS = ["bulge_to_total", "half_light_radius", "flux"]


def add_arguments(parser) -> None:
    """Options that say which model is judged."""
    parser.add_argument("--model", default=USUAL, help=f"file, name of load_pretrained, or {STAND_IN!r}")
    parser.add_argument("--smoke", action="store_true", help="few galaxies, and the stand-in unless a model is given")


def model_of(options, folder: Path | None = None) -> tuple[PosteriorRegressor, str]:
    """The model that was asked for, and its name."""
    which = STAND_IN if options.smoke and options.model == USUAL else options.model
    if which == STAND_IN:
        return stand_in(folder), STAND_IN
    if Path(which).exists():
        return load_estimator(which), Path(which).stem
    return load_pretrained(which), which


def flagged(model, cutouts) -> NDArray[np.bool_] | None:
    """Which galaxies the model itself says are unlike what it was taught; None if it does not say."""
    if not hasattr(model, "domain_"):
        return None
    return ~np.asarray(model.in_domain(cutouts), dtype=bool)


def stand_in(folder: Path | None = None, n_galaxies: int = 2000, epochs: int = 3) -> PosteriorRegressor:
    """Train a model that runs and knows next to nothing; it is kept in `folder`."""
    path = None if folder is None else folder / "stand_in.safetensors"
    if path is not None and path.exists():
        return load_estimator(path)
    galaxies = SimulatedGalaxies(
        n_galaxies, npix=64, band=sim_v2_cameras(), prior=sim_v2_prior(), redraw="galaxies", random_state=1
    )
    model = PosteriorRegressor(
        HarmonicNet(hidden=32, blocks=1),
        target_transforms=["logit", "log", "log"],
        dropout=0.0,
        max_epochs=epochs,
        random_state=0,
    )
    model.fit(galaxies, Table(galaxies.target, names=TARGETS, units=[None, "arcsec", None]))
    if path is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save_estimator(model, path)
    return model
