"""Three galaxies as survey tables have them, and what a catalog makes of them."""

import re

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal

from galestim.catalogs import Catalog

RA = np.array([10.25, 187.70593076725, 359.999])
DEC = np.array([-89.5, 12.391123246083334, 0.0])
RADIUS = np.array([1.5, 81.25, 0.4])
IDS = [1237645879551066262, 7, 7]  # one that float64 cannot hold, and two alike
FLUX = np.array([1.0, 2.0, 3.0])

COLUMNS = {"RAJ2000": RA, "DEJ2000": DEC, "petroR50_r": RADIUS, "objID": np.array(IDS), "flux": FLUX}


def raises(error, sentence):
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


def assert_standard(catalog, rtol=1e-12):
    assert type(catalog) is Catalog
    assert all(type(catalog[name]) is u.Quantity for name in ("ra", "dec", "half_light_radius"))
    assert (catalog["ra"].unit, catalog["dec"].unit, catalog["half_light_radius"].unit) == (u.deg, u.deg, u.arcsec)
    assert_allclose(catalog["ra"].value, RA, rtol=rtol)
    assert_allclose(catalog["dec"].value, DEC, rtol=rtol, atol=1e-12)
    assert_allclose(catalog["half_light_radius"].value, RADIUS, rtol=rtol)
    assert catalog["object_id"].dtype.kind == "U"
    assert catalog["object_id"].tolist() == ["1237645879551066262", "7", "7"]
    assert_array_equal(u.Quantity(catalog["flux"]).value, FLUX)
