"""Galaxy images to learn from: simulated, downloaded, or your own."""

from ._field import make_sky
from ._folder import load_image_folder
from ._galaxies import make_galaxies
from ._manga import fetch_manga_spin
from ._sami import fetch_sami_spin
from ._simulated import SimulatedGalaxies
from ._spin import draw_spin_galaxies, make_spin_galaxies

# What is not in __all__ is for the other packages of galestim.
__all__ = [
    "SimulatedGalaxies",
    "fetch_manga_spin",
    "fetch_sami_spin",
    "load_image_folder",
    "make_galaxies",
    "make_sky",
    "make_spin_galaxies",
]
