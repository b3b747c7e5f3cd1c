"""Joint posterior distributions of the parameters of galaxies, in physical units.

`Posterior` has two forms with the same methods: `MixturePosterior`, the Gaussian mixture that a network gives, and
`DrawsPosterior`, weighted draws.
"""

from ._arviz import optional_import
from ._base import Posterior
from ._concatenate import concatenate
from ._derived import Magnitude, bulge_flux, disk_flux
from ._draws import DrawsPosterior
from ._io import as_arrow
from ._mixture import MixturePosterior
from ._tails import Tails, warn_beyond

__all__ = ["DrawsPosterior", "Magnitude", "MixturePosterior", "Posterior", "bulge_flux", "concatenate", "disk_flux"]
