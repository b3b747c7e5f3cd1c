"""Measured point-spread functions: stars of the Hubble Space Telescope and of Hyper Suprime-Cam."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from galestim.simulation import ImagePSF

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HST, HSC = 0.03, 0.168  # arcsec
N_HST = 9
UNLIKE = 0.02  # share of the light by which two stars differ


def measured_stars(data: Path = DATA) -> list[ImagePSF] | None:
    """Nine of the hundred stars of `hst_cosmos`, and the three of `pysersic_examples`; None without the data."""
    stars = _of_hubble(data)
    if not stars:
        return None
    others = (np.load(data / "pysersic_examples" / f"gal{i}_psf.npy").astype(float) for i in (1, 2, 3))
    return [stars[i] for i in _judging(stars)] + [ImagePSF(star, HSC) for star in others]


def training_stars(data: Path = DATA) -> list[ImagePSF]:
    """The stars of `hst_cosmos` that are unlike those that benchmarks draw galaxies with; none without the data."""
    stars = _of_hubble(data)
    if not stars:
        return []
    images = np.array([star.image / star.image.sum() for star in stars])
    judging = images[_judging(stars)]
    return [star for star, one in zip(stars, images) if abs(one - judging).sum(axis=(1, 2)).min() > UNLIKE]


def _of_hubble(data: Path) -> list[ImagePSF]:
    path = data / "hst_cosmos" / "real_galaxy_PSF_images_extension.fits"
    if not path.exists():
        return []
    with fits.open(path) as file:
        return [ImagePSF(hdu.data.astype(float), HST) for hdu in file if hdu.data is not None]


def _judging(stars: list[ImagePSF]) -> list[int]:
    """Rows of those that galaxies of the benchmarks are drawn with."""
    return np.linspace(0, len(stars) - 1, N_HST).astype(int).tolist()
