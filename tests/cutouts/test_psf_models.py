import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from galestim.cutouts import CutoutFetcher, FitsMosaic, PSFColumns, PSFEx, PSFStamps
from galestim.cutouts._psf_models import Place
from galestim.simulation import GaussianPSF, MoffatPSF

from ._field import DEC, RA, N, gaussian, request, wcs_of, write


@pytest.fixture
def image(tmp_path):
    return write(tmp_path / "image.fits", np.zeros((N, N), np.float32), wcs_of())


def psf_of(image, psf, **columns):
    return FitsMosaic(image, psf=psf).cutout(request(**columns)).psf[0, ..., 0]


def stamp(sigma, n=41):
    return gaussian(n, (n - 1) / 2, (n - 1) / 2, sigma)


def write_psfex(path, masks, degree=2, names=("X_IMAGE", "Y_IMAGE"), sampling=1.0, **more):
    table = fits.BinTableHDU.from_columns(
        [fits.Column("PSF_MASK", f"{masks.size}E", dim=str(masks.shape[::-1]), array=masks[None])], name="PSF_DATA"
    )
    table.header.update(POLNAXIS=2, POLGRP1=1, POLGRP2=1, POLNGRP=1, POLDEG1=degree, PSF_SAMP=sampling)
    table.header.update(POLNAME1=names[0], POLZERO1=81.0, POLSCAL1=160.0, POLNAME2=names[1], POLZERO2=71.0)
    table.header.update(POLSCAL2=150.0, **more)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def test_psfex_is_the_polynomial_that_was_written(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.random((6, 15, 15)).astype(np.float32)
    model = PSFEx(write_psfex(tmp_path / "a.psf", masks))
    x, y = (30.5 + 1 - 81) / 160, (99.25 + 1 - 71) / 150
    expected = masks[0] + masks[1] * x + masks[2] * x**2 + masks[3] * y + masks[4] * x * y + masks[5] * y**2
    star = model._at(Place(30.5, 99.25, request()))
    np.testing.assert_allclose(star.psf, expected, rtol=1e-6)


@pytest.mark.parametrize("sampling", [0.5, 1.0, 1.25])
def test_psfex_stamps_are_interpolated_to_the_pixels(tmp_path, image, sampling):
    """Stamps of other pixels than the image's; the point-spread function is one of image pixels all the same."""
    n = 121
    at = (np.arange(n) - n // 2) * sampling
    line = np.array([np.diff(np.array([g(a - 0.5), g(a + 0.5)]))[0] for g in [edge] for a in at])
    mask = np.outer(line, line)[None].astype(np.float32)
    path = write_psfex(tmp_path / "a.psf", mask, degree=0, sampling=sampling)
    made, expected = psf_of(image, path), stamp(1.6)
    assert np.abs(made - expected).max() < 1e-3 * expected.max()


def edge(x):
    from scipy.special import erf

    return erf(x / 1.6 / np.sqrt(2)) / 2


def test_psfex_is_what_galsim_makes_of_the_file(tmp_path, image):
    """GalSim interpolates stamps by Lanczos 3, to 0.3 % of the peak."""
    pytest.importorskip("galsim")
    import galsim.des

    rng, n, sampling = np.random.default_rng(0), 31, 0.7
    row, column = (np.indices((n, n)) - n // 2) * sampling
    sigmas = rng.uniform(1.5, 2.2, (6, 2))
    masks = np.array([np.exp(-(row**2) / (2 * a**2) - column**2 / (2 * b**2)) for a, b in sigmas], np.float32)
    masks[1:] = (masks[1:] - masks[0]) * 0.3
    axes = {"PSFNAXIS": 3, "PSFAXIS1": n, "PSFAXIS2": n, "PSFAXIS3": 6, "ACCEPTED": 9, "LOADED": 9, "CHI2": 1.0}
    path = write_psfex(tmp_path / "a.psf", masks, sampling=sampling, PSF_FWHM=4.0, **axes)
    x, y = wcs_of().all_world2pix(RA, DEC, 1)
    profile = galsim.des.DES_PSFEx(str(path)).getPSF(galsim.PositionD(x, y))
    expected = profile.drawImage(nx=41, ny=41, scale=1.0, method="no_pixel").array[::-1]
    expected = expected / expected.sum()
    assert np.abs(psf_of(image, path) - expected).max() < 5e-3 * expected.max()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"names": ("ALPHA_J2000", "DELTA_J2000")}, "polynomial has degree 2 in ALPHA_J2000, DELTA_J2000"),
        ({"degree": 3}, r"PSF_MASK has shape \(6, 15, 15\); expected 10 finite planes"),
        ({"sampling": 0.0}, "PSF_SAMP is 0.0"),
    ],
)
def test_psfex_files_that_cannot_be(tmp_path, change, match):
    path = write_psfex(tmp_path / "a.psf", np.ones((6, 15, 15), np.float32), **change)
    with pytest.raises(ValueError, match=f"a.psf cannot be read: .*{match}"):
        PSFEx(path)


def test_damaged_psfex_is_named(tmp_path, image):
    path = write_psfex(tmp_path / "a.psf", np.ones((6, 15, 15), np.float32))
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(ValueError, match=r"a\.psf cannot be read.*cut off"):
        psf_of(image, path)


def test_the_nearest_of_many_stamps(image):
    sigmas = (1.2, 1.6, 2.2)
    stamps = np.array([stamp(sigma) for sigma in sigmas])
    by_sky = PSFStamps(stamps, ra=[RA - 0.01, RA + 0.0002, RA + 0.01], dec=[DEC] * 3)
    x, y = wcs_of().all_world2pix(RA, DEC, 0)
    by_pixel = PSFStamps(stamps, x=[x - 30, x + 1, x + 30], y=[y, y, y])
    for psf in (by_sky, by_pixel):
        np.testing.assert_allclose(psf_of(image, psf), psf_of(image, stamps[1]), atol=1e-7)


def test_functions_of_position(image):
    x, _ = wcs_of().all_world2pix(RA, DEC, 0)
    expected = psf_of(image, stamp(x / 40))
    np.testing.assert_allclose(psf_of(image, lambda x, y: stamp(x / 40)), expected, atol=1e-6)
    np.testing.assert_allclose(psf_of(image, lambda ra, dec: stamp((ra - RA) * 1e3 + x / 40)), expected, atol=1e-6)
    of_object = psf_of(image, lambda ra, dec: MoffatPSF(0.8))
    np.testing.assert_array_equal(of_object, psf_of(image, MoffatPSF(0.8)))
    with pytest.raises(ValueError, match=r"psf is a function of place; expected \(ra, dec\) \[deg\] or \(x, y\)"):
        psf_of(image, lambda place: stamp(1))


def test_columns_of_the_catalog(image):
    catalog = QTable({"ra": [RA, RA], "dec": [DEC, DEC], "seeing": [0.8, 0.014] * u.Unit("arcsec")})
    catalog["seeing"][1] = 1 / 60 * u.arcmin
    catalog["e"] = [0.0, 0.2]
    psf = PSFColumns("seeing", beta=2.5, ellipticity="e", position_angle=40.0)
    cutouts = CutoutFetcher(FitsMosaic(image, psf=psf), npix=41).transform(catalog)
    expected = psf_of(image, MoffatPSF(0.8, 2.5)), psf_of(image, MoffatPSF(1.0, 2.5, 0.2, 40.0))
    np.testing.assert_allclose(cutouts.psf[..., 0], expected, atol=1e-7)
    with pytest.raises(ValueError, match="FitsMosaic needs the column 'seeing', but the catalog has the columns ra"):
        CutoutFetcher(FitsMosaic(image, psf=psf), npix=41).transform({"ra": [RA], "dec": [DEC]})


def test_an_unknown_width_is_an_unknown_stamp(image):
    psf = PSFColumns("fwhm", beta=None)
    assert np.isnan(psf_of(image, psf, fwhm=np.nan)).all()
    np.testing.assert_array_equal(psf_of(image, psf, fwhm=0.9), psf_of(image, GaussianPSF(0.9)))
    with pytest.raises(ValueError, match=r"point-spread function of 'NGC 1': fwhm=-1.0; expected a positive number"):
        psf_of(image, psf, fwhm=-1.0)


@pytest.mark.parametrize(
    ("psf", "match"),
    [
        (np.ones((3, 5, 5)), r"psf is a ndarray of shape \(3, 5, 5\); expected a stamp \(h, w\)"),
        (np.full((5, 5), np.nan), "expected a stamp"),
        (-np.ones((5, 5)), "with a positive sum"),
        (3, "psf is a int of shape"),
    ],
)
def test_what_is_no_point_spread_function(image, psf, match):
    with pytest.raises(ValueError, match=match):
        psf_of(image, psf)


def test_a_file_that_is_not_there(image):
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere.psf' of a point-spread function"):
        psf_of(image, "nowhere.psf")


@pytest.mark.parametrize(
    ("positions", "match"),
    [
        ({}, "positions are nothing; expected ra and dec, or x and y"),
        ({"ra": [1.0], "y": [2.0]}, "positions are ra, y"),
        ({"ra": [1.0], "dec": [np.nan]}, r"expected finite ones, \(2, 1\)"),
    ],
)
def test_stamps_need_positions(positions, match):
    with pytest.raises(ValueError, match=match):
        PSFStamps(np.ones((1, 5, 5)), **positions)
