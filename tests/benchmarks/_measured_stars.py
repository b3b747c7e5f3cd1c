"""Measured point-spread functions: stars of the Hubble Space Telescope and of Hyper Suprime-Cam."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from galestim.simulation import ImagePSF

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HST, HSC = 0.03, 0.168  # arcsec
N_HST = 9


def measured_stars(data: Path = DATA) -> list[ImagePSF] | None:
    """Nine of the hundred stars of `hst_cosmos`, and the three of `pysersic_examples`; None without the data."""
    path = data / "hst_cosmos" / "real_galaxy_PSF_images_extension.fits"
    if not path.exists():
        return None
    with fits.open(path) as file:
        stars = [hdu.data.astype(float) for hdu in file if hdu.data is not None]
    some = [stars[i] for i in np.linspace(0, len(stars) - 1, N_HST).astype(int)]
    others = (np.load(data / "pysersic_examples" / f"gal{i}_psf.npy").astype(float) for i in (1, 2, 3))
    return [ImagePSF(star, HST) for star in some] + [ImagePSF(star, HSC) for star in others]
