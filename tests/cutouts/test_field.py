"""All sources of a real 2′ field, cut from two surveys' mosaics on one grid."""

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from scipy.ndimage import binary_dilation, label
from scipy.signal import fftconvolve

from galestim.cutouts import CutoutRequest, FitsMosaic

FIELD = Path(__file__).parents[3] / "shared" / "data" / "field_kids_vista"
NPIX, SCALE = 128, 0.2
MIDDLE = (NPIX - 1) / 2

pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="needs ../shared/data/field_kids_vista")


@pytest.fixture(scope="module")
def catalog():
    with (FIELD / "catalog.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cutouts(catalog):
    mosaic = FitsMosaic({"r": FIELD / "VST_r.fits", "K": FIELD / "VISTA_K.fits"})
    requests = [CutoutRequest(float(row["ra"]), float(row["dec"]), SCALE, NPIX, row["object_id"]) for row in catalog]
    return np.stack(list(mosaic.cutouts(requests))).astype(float)


@pytest.fixture(scope="module")
def mosaic():
    with fits.open(FIELD / "VST_r.fits") as hdus, pytest.warns(FITSFixedWarning):
        return hdus[0].data.astype(float), WCS(hdus[0].header)


def sky_and_noise(image):
    middle = np.nanmedian(image)
    return middle, 1.4826 * np.nanmedian(np.abs(image - middle))


def isophote(image, sky, noise):
    """Pixels of the source in the middle, at the threshold by which the catalog was made."""
    regions, _ = label(np.nan_to_num(image, nan=-np.inf) > sky + 1.2 * noise)
    return regions == regions[NPIX // 2, NPIX // 2]


def bright_and_isolated(catalog, cutouts, sky, noise):
    """Rows whose isophote is whole, and as large as it was when the catalog was measured."""
    rows = []
    for i, (row, image) in enumerate(zip(catalog, cutouts[..., 0])):
        source = isophote(image, sky, noise)
        cut = np.isnan(image[binary_dilation(source)]).any() or source[[0, -1]].any() or source[:, [0, -1]].any()
        if float(row["flux"]) >= 1e-8 and not cut and abs(source.sum() / int(row["n_pixels"]) - 1) < 0.1:
            rows.append(i)
    return rows


def test_every_source_is_cut_from_both_bands(catalog, cutouts):
    assert cutouts.shape == (63, NPIX, NPIX, 2)
    assert np.isfinite(cutouts[:, 63:65, 63:65]).all()


def test_bright_isolated_sources_sit_in_the_middle(catalog, cutouts, mosaic):
    sky, noise = sky_and_noise(mosaic[0])
    rows = bright_and_isolated(catalog, cutouts, sky, noise)
    assert len(rows) >= 6
    for i in rows:
        image = cutouts[i, :, :, 0]
        weights = np.where(isophote(image, sky, noise), image, 0)
        y, x = np.indices(image.shape)
        centroid = (weights * y).sum() / weights.sum(), (weights * x).sum() / weights.sum()
        assert centroid == pytest.approx((MIDDLE, MIDDLE), abs=0.1), catalog[i]


def test_bands_are_registered(catalog, cutouts, mosaic):
    rows = bright_and_isolated(catalog, cutouts, *sky_and_noise(mosaic[0]))
    for i in rows:
        r, k = (np.nan_to_num(cutouts[i, 40:88, 40:88, band] - np.nanmedian(cutouts[..., band])) for band in (0, 1))
        correlation = fftconvolve(r, k[::-1, ::-1], mode="same")
        row, column = np.unravel_index(correlation.argmax(), correlation.shape)
        assert max(abs(row - 24), abs(column - 24)) <= 1, catalog[i]  # 24: no shift, for 48 px


@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_flux_is_that_of_apertures_on_the_mosaic(catalog, cutouts, mosaic, radius):
    image, wcs = mosaic
    rows = bright_and_isolated(catalog, cutouts, *sky_and_noise(image))
    y, x = np.indices((NPIX, NPIX))
    for i in rows:
        ra, dec = float(catalog[i]["ra"]), float(catalog[i]["dec"])
        inside = share_inside(radius / SCALE, np.hypot, y - MIDDLE, x - MIDDLE)
        flux = np.nansum(cutouts[i, :, :, 0] * inside)
        assert flux == pytest.approx(aperture_sum(image, wcs, ra, dec, radius), rel=0.01), catalog[i]


def share_inside(radius, distance, dy, dx):
    """Share of each pixel within a radius, by 6 × 6 points."""
    points = (np.arange(6) + 0.5) / 6 - 0.5
    return np.mean([distance(dy + a, dx + b) < radius for a in points for b in points], axis=0)


def aperture_sum(image, wcs, ra, dec, radius):
    """Sum within a circle on the sky; on the mosaic it is an ellipse: 4.5° off its center, pixels are not square."""
    x, y = wcs.all_world2pix(ra, dec, 0)
    ahead = wcs.all_pix2world([[x, y], [x + 1, y], [x, y + 1]], 0)
    along_x, along_y = (ahead[1:] - ahead[0]) * 3600 * [np.cos(np.radians(dec)), 1]
    first_row, first_column = max(int(y) - 30, 0), max(int(x) - 30, 0)
    image = image[first_row : int(y) + 31, first_column : int(x) + 31]
    rows, columns = np.indices(image.shape)

    def distance(dy, dx):
        return np.hypot(dx * along_x[0] + dy * along_y[0], dx * along_x[1] + dy * along_y[1])

    return (image * share_inside(radius, distance, rows + first_row - y, columns + first_column - x)).sum()
