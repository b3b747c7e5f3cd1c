"""One source, and the services that show it."""

import numpy as np
import pytest

from galestim.testing import GaussianSky, LoopbackSky


@pytest.fixture(scope="module")
def sky():
    """One source 10 arcsec north and 5 arcsec east of HERE, in a cone of half a degree."""
    ra, dec = 150 + 5 / 3600 / np.cos(np.radians(2.0)), 2 + 10 / 3600
    return GaussianSky([ra], [dec], [[100.0, 200.0, 400.0]], 1.5, footprint=(150.0, 2.0, 0.5))


@pytest.fixture(scope="module")
def server(sky):
    with LoopbackSky(sky) as server:
        yield server
