"""Forty galaxies at random."""

import numpy as np
import pytest
from astropy import units as u

from galestim.catalogs import Catalog


@pytest.fixture
def catalog():
    n = 40
    rng = np.random.RandomState(0)
    return Catalog(
        {
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
            "half_light_radius": rng.uniform(1, 9, n),
            "object_id": np.arange(n),
            "flux": rng.uniform(1, 5, n) * u.nJy,
            "bulge_to_total": rng.uniform(0, 1, n),
        }
    )
