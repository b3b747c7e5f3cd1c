"""Galaxy images to learn from: simulated, downloaded, or your own; skies to try services on; trained estimators."""

from galestim.datasets._field import make_sky
from galestim.datasets._folder import load_image_folder
from galestim.datasets._galaxies import make_galaxies
from galestim.datasets._loopback import LoopbackSky
from galestim.datasets._manga import fetch_manga_spin
from galestim.datasets._pretrained import load_pretrained
from galestim.datasets._simulated import SimulatedGalaxies
from galestim.datasets._sky import GaussianSky
from galestim.datasets._spin import make_spin_galaxies

__all__ = [
    "GaussianSky",
    "LoopbackSky",
    "SimulatedGalaxies",
    "fetch_manga_spin",
    "load_image_folder",
    "load_pretrained",
    "make_galaxies",
    "make_sky",
    "make_spin_galaxies",
]
