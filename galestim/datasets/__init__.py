"""Galaxy images to learn from: simulated, downloaded, or your own."""

from ._field import make_sky
from ._folder import load_image_folder
from ._galaxies import make_galaxies
from ._manga import fetch_manga_spin
from ._simulated import SimulatedGalaxies
from ._spin import draw_spin_galaxies as draw_spin_galaxies
from ._spin import make_spin_galaxies

__all__ = [
    "SimulatedGalaxies",
    "fetch_manga_spin",
    "load_image_folder",
    "make_galaxies",
    "make_sky",
    "make_spin_galaxies",
]
