"""Galaxy images to learn from: simulated, downloaded, or a folder of your own; and a sky to try services on."""

from galestim.datasets._folder import load_image_folder
from galestim.datasets._galaxies import make_galaxies
from galestim.datasets._loopback import LoopbackSky
from galestim.datasets._manga import fetch_manga_spin
from galestim.datasets._sky import GaussianSky
from galestim.datasets._spin import make_spin_galaxies

__all__ = [
    "GaussianSky",
    "LoopbackSky",
    "fetch_manga_spin",
    "load_image_folder",
    "make_galaxies",
    "make_spin_galaxies",
]
