"""Galaxy images to learn from: simulated, downloaded, or your own; skies to try services on."""

from ._field import make_sky
from ._folder import load_image_folder
from ._galaxies import make_galaxies
from ._loopback import LoopbackSky
from ._manga import fetch_manga_spin
from ._simulated import SimulatedGalaxies
from ._sky import GaussianSky
from ._spin import make_spin_galaxies

__all__ = [
    "GaussianSky",
    "LoopbackSky",
    "SimulatedGalaxies",
    "fetch_manga_spin",
    "load_image_folder",
    "make_galaxies",
    "make_sky",
    "make_spin_galaxies",
]
