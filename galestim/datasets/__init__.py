"""Galaxy images to learn from: simulated ones, whose truth is known, and folders of real ones."""

from galestim.datasets._folder import load_image_folder
from galestim.datasets._galaxies import make_galaxies
from galestim.datasets._spin import make_spin_galaxies

__all__ = ["load_image_folder", "make_galaxies", "make_spin_galaxies"]
