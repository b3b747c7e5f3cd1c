"""A small mosaic with planes, for tests."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import erf

from galestim.cutouts import CutoutRequest

N = 160
RA, DEC = 150.0013, 2.0011


def wcs_of(rotation=0.0, pixel_scale=0.2, n=N):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [n / 2, n / 2]
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = pixel_scale / 3600 * np.array([[-c, s], [s, c]])
    return wcs


def gaussian(n, x, y, sigma):
    """Integrated over pixels, with the flux 1."""
    sides = [np.diff(erf((np.arange(n + 1) - 0.5 - at) / sigma / np.sqrt(2))) / 2 for at in (y, x)]
    return np.outer(*sides)


def star(wcs, sigma=1.6, n=N):
    """Image of a star at the place."""
    return gaussian(n, *wcs.all_world2pix(RA, DEC, 0), sigma)


def middle(wcs):
    """The pixel x, y in which the place is."""
    return tuple(np.rint(wcs.all_world2pix(RA, DEC, 0)).astype(int).tolist())


def write(path, pixels, wcs=None, **header):
    hdu = fits.PrimaryHDU(pixels, None if wcs is None else wcs.to_header())
    hdu.header.update(header)
    hdu.writeto(path, overwrite=True)
    return path


def request(pixel_scale=0.2, npix=41, ra=RA, dec=DEC, **columns):
    return CutoutRequest(ra, dec, pixel_scale, npix, "NGC 1", columns)
