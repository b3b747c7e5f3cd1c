"""A small survey: a mosaic on disk, a catalog of its galaxies, and pipelines that were trained on it a little."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from galestim import CNNRegressor, CompactCNN, CutoutFetcher, HarmonicNet, PosteriorRegressor, make_pipeline
from galestim.cutouts import FitsMosaic
from galestim.simulation import GaussianPSF
from galestim.testing import GaussianSky

SCALE, FWHM, NOISE, SIDE, NPIX = 0.5, 1.3, 0.2, 800, 24


def catalog_of(n: int, seed: int = 0) -> QTable:
    """Galaxies in a field about (150, 2); the last one lies outside of it."""
    rng = np.random.default_rng(seed)
    reach = (SIDE / 2 - NPIX) * SCALE / 3600
    ra, dec = 150 + rng.uniform(-reach, reach, n), 2 + rng.uniform(-reach, reach, n)
    dec[-1] = 12.0
    radius = rng.uniform(1.0, 2.0, n)
    flux = 10 ** rng.uniform(1.5, 2.5, n)
    ids = [f"G{row:05d}" for row in range(n)]
    return QTable({"object_id": ids, "ra": ra, "dec": dec, "half_light_radius": radius, "flux": flux})


def write_mosaic(path: Path, catalog: QTable, seed: int = 0) -> None:
    """The field with these galaxies, in one band."""
    inside = catalog[catalog["dec"] < 10]
    sigma = np.hypot(inside["half_light_radius"] / 1.1774, FWHM / 2.3548)
    sky = GaussianSky(inside["ra"], inside["dec"], inside["flux"][:, None], sigma, bands=("r",))
    hdu = sky.to_mosaic(150.0, 2.0, (SIDE, SIDE), SCALE, "r", noise=NOISE, random_state=seed)
    fits.HDUList([hdu]).writeto(path)


def fetcher_of(path: Path, **options) -> CutoutFetcher:
    """Cutouts that know their camera."""
    mosaic = FitsMosaic(path, psf=GaussianPSF(FWHM), noise=NOISE)
    return CutoutFetcher(mosaic, npix=NPIX, on_error="nan", **options)


def posterior_pipeline(path: Path, catalog: QTable):
    """Catalog → posterior of radius and flux."""
    model = PosteriorRegressor(
        HarmonicNet(hidden=8, blocks=1), target_transforms="log", max_epochs=2, n_passes=2, random_state=0
    )
    return make_pipeline(fetcher_of(path), model).fit(catalog[:-1], _targets(catalog[:-1]))


def point_pipeline(path: Path, catalog: QTable):
    """Catalog → radius, by images alone."""
    model = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=1, random_state=0)
    fetcher = CutoutFetcher(FitsMosaic(path), npix=NPIX, on_error="nan")
    return make_pipeline(fetcher, model).fit(catalog[:-1], _targets(catalog[:-1])[["half_light_radius"]])


def _targets(catalog: QTable) -> QTable:
    table = catalog[["half_light_radius", "flux"]]
    table["half_light_radius"] = np.asarray(table["half_light_radius"])
    table["half_light_radius"].unit = "arcsec"
    return table
