"""Services of a sky of round sources, on this machine."""

import numpy as np

from galestim.cutouts import CutoutRequest, Transport
from galestim.testing import GaussianSky

BANDS = ("g", "r", "z")


def fast(**options):
    return Transport(**{"requests_per_second": 1000, "max_retries": 1, "backoff": 0.01, **options})


def gaussians(ra, dec, flux=100.0, sigma=2.0, **options):
    return GaussianSky(np.atleast_1d(ra), np.atleast_1d(dec), np.atleast_1d(flux), sigma, bands=BANDS, **options)


def request(ra=150.0, dec=2.0, pixel_scale=0.5, npix=80):
    return CutoutRequest(ra, dec, pixel_scale, npix, "a")


def cone(radius=1.0, **options):
    return gaussians(150.0, 2.0, footprint=(150.0, 2.0, radius), **options)
