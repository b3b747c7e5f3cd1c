"""The sky of ``galestim demo``: galaxies whose spin and structure are known, spread over a field."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from .catalogs import Catalog
from .datasets import draw_spin_galaxies, make_galaxies
from .simulation import LogUniform, SpinPrior, hsc_like
from .testing import GaussianSky

CENTER = SkyCoord(150.1, 2.2, unit="deg")
SPACING = 45.0  # arcsec between neighbors, which then touch in their faint outskirts only
SHIFT = 0.3  # of that, at most, to either side
SIZES = LogUniform(1.5, 3.6)  # arcsec; smaller than in make_spin_galaxies, so that a mosaic is drawn in seconds
SPIN_SCATTER = 0.13  # of the spin, as make_spin_galaxies has it
NANOMAGGIE = 22.5  # magnitude of a flux of one nanomaggie
SKY_SCALES = (0.33, 0.5)  # arcsec per pixel
STAMP = 64  # pixels along a side


class DemoCamera(NamedTuple):
    """A camera of the demo: width of stars and side of a pixel [arcsec], noise of a pixel [nanomaggies]."""

    fwhm: float
    pixel_scale: float
    noise: float


SHARP, WIDE = DemoCamera(1.3, 0.5, 0.1), DemoCamera(2.4, 0.8, 0.3)


def make_demo_sky(n_samples: int, random_state: int, psf_fwhm: float = SHARP.fwhm) -> tuple[GaussianSky, Catalog]:
    """Galaxies as those of `make_spin_galaxies`, on a sky; and their catalog, with what is to be learned."""
    prior = SpinPrior().replace(half_light_semimajor_axis=SIZES)
    truth, colors = draw_spin_galaxies(prior, n_samples, random_state)
    rng = np.random.default_rng(random_state)
    place = CENTER.spherical_offsets_by(*_offsets(n_samples, rng) * u.arcsec)
    catalog = QTable(
        {
            "object_id": [f"G{row:04d}" for row in range(n_samples)],
            "ra": place.ra.deg,
            "dec": place.dec.deg,
            "half_light_semimajor_axis": truth["half_light_semimajor_axis"],
            "bulge_to_total": truth["bulge_to_total"],
            "flux": 10 ** (0.4 * (NANOMAGGIE - truth["magnitude"])),
            "axis_ratio": truth["axis_ratio"],
            "expected_lambda_r": truth["expected_lambda_r"],
            "lambda_r": truth["expected_lambda_r"] + SPIN_SCATTER * rng.standard_normal(n_samples),
        }
    )
    return _sky(Catalog(catalog), truth, colors, psf_fwhm), Catalog(catalog)


def make_demo_mosaic(camera: DemoCamera, n_samples: int, random_state: int) -> fits.PrimaryHDU:
    """The whole field in one band, as a telescope on the ground delivers it."""
    sky, _ = make_demo_sky(n_samples, random_state, camera.fwhm)
    height, width = (int((cells + 1) * SPACING / camera.pixel_scale) for cells in _cells(n_samples))
    scale, noise = camera.pixel_scale, camera.noise
    return sky.to_mosaic(
        CENTER.ra.deg, CENTER.dec.deg, (height, width), scale, "r", noise=noise, random_state=random_state
    )


class CrowdedGalaxies(NamedTuple):
    """Images (n, H, W); B/T, half-light radius [pixels], flux; light of galaxies and of neighbors; pixel scales."""

    images: NDArray
    target: NDArray
    own: NDArray
    others: NDArray
    scale: NDArray


def make_crowded_galaxies(n_samples: int, random_state: int) -> CrowdedGalaxies:
    """Galaxies with two neighbors each on average, `n_samples` at each of the two scales on the sky."""
    parts = []
    for which, scale in enumerate(SKY_SCALES):
        drawn = partial(
            make_galaxies,
            n_samples,
            npix=STAMP,
            band=replace(hsc_like("i"), pixel_scale=scale),
            random_state=2 * random_state + which,
        )
        seen, light, own = drawn(n_neighbors=2), drawn(n_neighbors=2, noise_factor=0), drawn(noise_factor=0)
        target, scales = seen.target / [1, scale, 1], np.full(n_samples, scale)
        parts.append(CrowdedGalaxies(seen.images, target, own.images, light.images - own.images, scales))
    return CrowdedGalaxies(*(np.concatenate(values) for values in zip(*parts)))


def _cells(n_samples: int) -> tuple[int, int]:
    """Rows and columns of a grid with a cell for each galaxy."""
    columns = int(np.ceil(np.sqrt(n_samples)))
    return -(-n_samples // columns), columns


def _offsets(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets of the galaxies east and north of the center [arcsec], near the middles of cells."""
    cells = np.array(_cells(n_samples))[:, None]
    places = np.array(np.divmod(np.arange(n_samples), cells[1])) - (cells - 1) / 2
    return SPACING * (places + rng.uniform(-SHIFT, SHIFT, places.shape))[::-1]


def _sky(catalog: Catalog, truth: dict[str, NDArray], fluxes: NDArray, psf_fwhm: float) -> GaussianSky:
    """The galaxies' light in g, r and i, through the atmosphere."""
    colors = -2.5 * np.log10(fluxes[..., ::-1])  # of bulge and disk, from blue to red, relative to r
    return GaussianSky.from_galaxies(
        catalog["ra"].value,
        catalog["dec"].value,
        catalog["flux"],
        truth["half_light_semimajor_axis"],
        truth["bulge_to_total"],
        truth["axis_ratio"],
        truth["position_angle"],
        bulge_axis_ratio=truth["bulge_axis_ratio"],
        radius_ratio=truth["bulge_semimajor_axis"] / truth["disk_semimajor_axis"],
        bulge_colors=colors[:, 0],
        disk_colors=colors[:, 1],
        psf_fwhm=psf_fwhm,
    )
