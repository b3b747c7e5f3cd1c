"""A small image of one position, for tests."""

import numpy as np
from astropy.io import fits

from galestim.cutouts import CutoutRequest

RA, DEC, NPIX, SCALE = 150.0, 2.0, 31, 0.2


def request(ra=RA, dec=DEC, pixel_scale=SCALE, npix=NPIX):
    return CutoutRequest(ra, dec, pixel_scale, npix, "7")


def header(ra=RA, dec=DEC, n=NPIX, axes=("RA---TAN", "DEC--TAN"), sides=(-SCALE, SCALE), **more):
    """Of an image of n × n pixels about a position, which is that of the axes' frame."""
    cards = {"CTYPE1": axes[0], "CTYPE2": axes[1], "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (n + 1) / 2}
    sizes = {"CRPIX2": (n + 1) / 2, "CDELT1": sides[0] / 3600, "CDELT2": sides[1] / 3600}
    return fits.Header(cards | sizes | more)


def flat(path, value, n=NPIX, dtype=np.float32, **cards):
    fits.writeto(path, np.full((n, n), value, dtype=dtype), header(n=n, **cards), overwrite=True)
    return path
