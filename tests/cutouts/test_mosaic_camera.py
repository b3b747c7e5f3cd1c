import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sklearn.base import clone

from galestim import Catalog, Cutouts
from galestim.cutouts import CutoutFetcher, FitsMosaic, MissingCutoutError

from ._field import DEC, RA, N, gaussian, middle, request, star, wcs_of, write

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=[0, 30])
def rotation(request):
    return request.param


def calexp(path, image, wcs, variance, mask, bits):
    """A file as LSST's pipelines write them."""
    names = {f"HIERARCH MP_{name}": bit for name, bit in bits.items()}
    planes = {"IMAGE": image, "MASK": mask, "VARIANCE": variance}
    hdus = [fits.PrimaryHDU()] + [fits.ImageHDU(plane, wcs.to_header(), name=name) for name, plane in planes.items()]
    hdus[2].header.update(names)
    hdus[1].header["BUNIT"] = "nJy"
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_calibrated_exposure_as_lsst_writes_it(tmp_path, rng):
    wcs = wcs_of()
    mask = np.zeros((N, N), np.int32)
    mask[80, 80], mask[70, 60], mask[90, 66] = 1 << 3, 1 << 1, (1 << 5) | (1 << 1)
    image = rng.normal(size=(N, N)).astype(np.float32)
    path = calexp(
        tmp_path / "calexp.fits", image, wcs, np.full((N, N), 4, np.float32), mask, {"SAT": 1, "CR": 3, "DETECTED": 5}
    )
    told = {"hdu": "IMAGE", "variance": "VARIANCE", "mask": "MASK"}
    ra, dec = wcs.all_pix2world(70, 75, 0)  # the cutout begins at (50, 55)
    cutout = FitsMosaic(path, mask_bits=["SAT", "mp_cr"], **told).cutout(
        request(npix=41, ra=float(ra), dec=float(dec))
    )
    bad = cutout.mask[0, ::-1, :, 0]  # as the file has it
    expected = np.zeros((41, 41), bool)
    for y, x in ((80, 80), (70, 60), (90, 66)):
        expected[y - 55, x - 50] = True
    np.testing.assert_array_equal(bad, expected)
    assert cutout.zero_point == pytest.approx(31.4, abs=0.001)
    np.testing.assert_allclose(cutout.noise, 2, rtol=1e-4)
    assert (
        FitsMosaic(path, mask_bits=[5], **told).cutout(request(npix=41, ra=float(ra), dec=float(dec))).mask.sum() == 1
    )
    with pytest.raises(ValueError, match=r"has \['EDGE'\]; expected numbers of bits .*: SAT, CR, DETECTED"):
        FitsMosaic(path, mask_bits=["SAT", "EDGE"], **told).cutout(request())


@pytest.mark.parametrize("pixel_scale", [0.1, 0.2, 0.37])
@pytest.mark.parametrize("value", [1e9, -3.0, np.nan])
def test_what_a_bad_pixel_holds_changes_no_bit(tmp_path, rng, rotation, pixel_scale, value):
    wcs = wcs_of(rotation)
    bad = rng.random((N, N)) < 0.02
    image = (rng.normal(size=(N, N)) + 100 * star(wcs)).astype(np.float32)
    mask = write(tmp_path / "mask.fits", bad.astype(np.uint8))
    made = []
    for name, held in (("a", 7.0), ("b", value)):
        path = write(tmp_path / f"{name}.fits", np.where(bad, np.float32(held), image), wcs)
        made.append(FitsMosaic(path, mask=mask, noise=1.0).cutout(request(pixel_scale)))
    good = ~made[0].mask
    np.testing.assert_array_equal(made[0].mask, made[1].mask)
    np.testing.assert_array_equal(made[0].images[good], made[1].images[good])
    assert 0.02 < made[0].mask.mean() < 0.5


def test_any_pixel_with_a_share_in_a_bad_one_is_bad(tmp_path, rotation):
    """All pixels in which a bright bad pixel would show by more than the ringing of the spline, 0.31 at most."""
    wcs = wcs_of(rotation)
    dot = np.zeros((N, N), np.float32)
    x, y = middle(wcs)
    dot[y + 2, x - 1] = 1
    image, mask = write(tmp_path / "image.fits", dot, wcs), write(tmp_path / "mask.fits", dot.astype(np.int16))
    for pixel_scale in (0.1, 0.2, 0.47):
        shows = FitsMosaic(image).cutout(request(pixel_scale, 25))[..., 0]
        bad = FitsMosaic(image, mask=mask).cutout(request(pixel_scale, 25)).mask[0, ..., 0]
        assert bad[np.abs(shows) > 0.4 * np.abs(shows).max()].all()
        step = pixel_scale / 0.2
        assert 1 <= bad.sum() * step**2 <= (3 + 2 * step) ** 2


@pytest.mark.parametrize("kind", ["weight", "variance", "noise"])
def test_three_ways_to_tell_the_noise(tmp_path, rng, kind):
    wcs, sigma = wcs_of(), np.full((N, N), 0.5)
    x, y = middle(wcs)
    sigma[y - 1 : y + 2, x + 3 : x + 6] = np.nan
    plane = {"weight": np.nan_to_num(sigma**-2.0), "variance": sigma**2, "noise": sigma}[kind]
    image = write(tmp_path / "image.fits", rng.normal(size=(N, N)), wcs)
    told = write(tmp_path / "told.fits", plane)
    cutout = FitsMosaic(image, **{kind: told}).cutout(request())
    x, y = wcs.all_world2pix(RA, DEC, 0)
    assert 9 <= cutout.mask.sum() <= 16
    assert cutout.noise[~cutout.mask] == pytest.approx(0.5 * shift_of(x) * shift_of(y), rel=0.03)


def shift_of(position):
    """What a shift by a fraction of a pixel leaves of white noise along an axis, by the cardinal quintic spline."""
    from galestim.cutouts._resample import _CARDINAL

    return np.sqrt((((position % 1) ** np.arange(6) @ _CARDINAL) ** 2).sum())


def test_negative_variance_is_an_error_not_a_missing_galaxy(tmp_path):
    image = write(tmp_path / "image.fits", np.zeros((N, N)), wcs_of())
    plane = np.ones((N, N))
    plane[80, 80] = -2
    variance = write(tmp_path / "variance.fits", plane)
    fetcher = CutoutFetcher(FitsMosaic(image, variance=variance), npix=41, on_error="nan")
    with pytest.raises(ValueError, match=r"variance.fits' is given as variance, but is negative \(-2\)"):
        fetcher.transform({"ra": [RA], "dec": [DEC]})


def test_planes_of_other_pixels(tmp_path):
    image = write(tmp_path / "image.fits", np.zeros((N, N)), wcs_of())
    small = write(tmp_path / "small.fits", np.ones((N, N - 1)))
    elsewhere = write(tmp_path / "elsewhere.fits", np.ones((N, N)), wcs_of(rotation=5))
    with pytest.raises(ValueError, match=r"small.fits' has 1 planes of \(160, 159\), but the image"):
        FitsMosaic(image, variance=small).cutout(request())
    with pytest.raises(ValueError, match=r"elsewhere.fits' lies elsewhere on the sky"):
        FitsMosaic(image, weight=elsewhere).cutout(request())


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"variance": 1, "weight": 1}, "variance and weight are given; expected one of"),
        ({"noise": -1.0}, "noise=-1.0; expected a positive standard deviation"),
        ({"mask": "NOWHERE"}, "mask='NOWHERE' is no file, and no image of"),
        ({"gain": "NOGAIN"}, "has NOGAIN=None; expected a number"),
        ({"gain": 0.0}, "gain=0.0; expected a positive number"),
        ({"psf": {"r": 3}, "noise": 1.0}, r"psf has nothing for the bands \[0\]"),
    ],
)
def test_what_cannot_be(tmp_path, told, match):
    image = write(tmp_path / "image.fits", np.zeros((N, N)), wcs_of())
    with pytest.raises(ValueError, match=match):
        FitsMosaic(image, **told).cutout(request())


def test_damaged_planes(tmp_path):
    image = write(tmp_path / "image.fits", np.zeros((N, N), np.float32), wcs_of())
    weight = write(tmp_path / "weight.fits", np.ones((N, N), np.float32))
    weight.write_bytes(weight.read_bytes()[:40000])
    with pytest.raises(ValueError, match=r"weight.fits cannot be read.*cut off"):
        FitsMosaic(image, weight=weight).cutout(request())


def test_a_galaxy_with_nothing_but_bad_pixels_is_missing(tmp_path):
    mask = np.zeros((N, N), np.uint8)
    mask[:, :60] = 1
    image = write(tmp_path / "image.fits", np.zeros((N, N)), wcs_of())
    fetcher = CutoutFetcher(FitsMosaic(image, mask=write(tmp_path / "mask.fits", mask)), npix=21, on_error="nan")
    ra, dec = wcs_of().all_pix2world([[100, 80], [30, 80]], 0).T
    cutouts = fetcher.transform({"ra": ra, "dec": dec})
    assert cutouts.missing().tolist() == [False, True]
    assert fetcher.report_["status"].tolist() == ["ok", "missing"]
    assert fetcher.report_["reason"][1].startswith("1 at ra=")
    assert "has no good pixel in" in fetcher.report_["reason"][1]


def test_tiles_of_other_zero_points_are_one_image(tmp_path):
    """Two tiles share a galaxy; the second is in units that are ten times smaller."""
    wcs = wcs_of()
    whole = (100 * star(wcs)).astype(np.float32)
    left, right = whole.copy(), 10 * whole
    left[:, 86:], right[:, :60] = np.nan, np.nan
    write(tmp_path / "t1.fits", left, wcs, MAGZERO=25.0)
    write(tmp_path / "t2.fits", right, wcs, MAGZERO=27.5)
    expected = FitsMosaic(write(tmp_path / "whole.fits", whole, wcs)).cutout(request())
    cutout = FitsMosaic(tmp_path / "t?.fits", noise={0: 1.0}).cutout(request())
    unit = 10 ** (0.4 * (cutout.zero_point - 25.0))
    np.testing.assert_allclose(cutout.images[0] / unit, expected, atol=0.03)
    assert cutout.images.sum() / unit == pytest.approx(100, rel=0.01)


def test_each_tile_has_files_of_its_own(tmp_path):
    """The deepest tile tells the point-spread function; noise comes from the tile that the pixels come from."""
    wcs, widths = wcs_of(), (1.4, 2.4)
    x, _ = middle(wcs)
    for i, (sigma, columns) in enumerate(zip(widths, (slice(0, x + 8), slice(x - 12, N)))):
        tile = np.full((N, N), np.nan, np.float32)
        tile[:, columns] = 0
        write(tmp_path / f"t{i}.fits", tile, wcs)
        write(tmp_path / f"t{i}.rms", np.full((N, N), i + 1.0))
        write(tmp_path / f"t{i}.psf", gaussian(41, 20, 20, sigma))
    told = {"noise": str(tmp_path / "t?.rms"), "psf": str(tmp_path / "t?.psf")}
    cutout = FitsMosaic(str(tmp_path / "t?.fits"), **told).cutout(request())
    noise = cutout.noise[0, 20, :, 0]  # columns run east to west, as those of the mosaic
    assert noise[5] < 1.02 < 1.5 < noise[35] < 2.04
    assert cutout.psf[0, 20, 20, 0] == pytest.approx(1 / (2 * np.pi * 1.4**2), rel=0.06)
    (tmp_path / "t1.psf").unlink()
    with pytest.raises(ValueError, match="are 1 files for 2 tiles; expected one for each"):
        FitsMosaic(str(tmp_path / "t?.fits"), **told).cutout(request())


def test_bands_with_cameras_of_their_own(tmp_path):
    wcs = wcs_of()
    for band, factor in (("g", 1.0), ("r", 10.0)):
        write(tmp_path / f"f_{band}.fits", factor * star(wcs), wcs, MAGZERO=25.0 + 2.5 * np.log10(factor))
        write(tmp_path / f"w_{band}.fits", np.full((N, N), 1 / factor**2), wcs)
    stamps = {"g": gaussian(41, 20, 20, 1.6), "r": gaussian(41, 20, 20, 2.4)}
    mosaic = FitsMosaic(
        str(tmp_path / "f_{band}.fits"), bands="rg", weight=str(tmp_path / "w_{band}.fits"), psf=stamps
    )
    cutout = mosaic.cutout(request())
    np.testing.assert_allclose(cutout.images[..., 0], cutout.images[..., 1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cutout.noise[..., 0], cutout.noise[..., 1], rtol=1e-4)
    assert cutout.zero_point == pytest.approx(27.5)
    assert cutout.psf.shape == (1, 41, 41, 2)
    assert cutout.psf[0, 20, 20, 1] / cutout.psf[0, 20, 20, 0] == pytest.approx((2.4 / 1.6) ** 2, rel=0.05)
    write(tmp_path / "f_g.fits", star(wcs), wcs)
    with pytest.raises(ValueError, match="some of the bands have a zero point, others have none"):
        mosaic.cutout(request())


def test_images_are_those_of_a_mosaic_without_camera(tmp_path, rng, rotation):
    image = write(tmp_path / "image.fits", rng.normal(size=(N, N)).astype(np.float32), wcs_of(rotation))
    told = FitsMosaic(image, noise=0.1, gain=2.0).cutout(request(0.3))
    np.testing.assert_array_equal(told.images[0], FitsMosaic(image).cutout(request(0.3)))
    assert (told.pixel_scale, told.gain) == (0.3, 2.0)


def test_clones_and_pickles(tmp_path):
    image = write(tmp_path / "image.fits", np.ones((N, N)), wcs_of())
    mosaic = FitsMosaic(image, noise=0.1, psf=gaussian(41, 20, 20, 1.6))
    for copied in (clone(mosaic), pickle.loads(pickle.dumps(mosaic))):
        np.testing.assert_array_equal(copied.cutout(request()).psf, mosaic.cutout(request()).psf)


def test_a_galaxy_off_the_mosaic(tmp_path):
    image = write(tmp_path / "image.fits", np.ones((N, N)), wcs_of())
    with pytest.raises(MissingCutoutError, match="has no good pixel in"):
        FitsMosaic(image, noise=0.1, psf=gaussian(41, 20, 20, 1.6)).cutout(request(ra=151.0))


# --- real images --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/pysersic_examples")
def test_a_real_field_of_the_legacy_surveys():
    """Three bands, each followed by its inverse variance, and the coadds' point-spread functions."""
    folder = SHARED / "pysersic_examples"
    field, psf = folder / "cutout_59.1067_-30.4848.fits", folder / "copsf_59.1067_-30.4848.fits"
    mosaic = FitsMosaic(
        field,
        hdu={"g": 1, "r": 3, "z": 5},
        weight={"g": 2, "r": 4, "z": 6},
        psf={band: (psf, i) for i, band in enumerate("grz")},
        zero_point=22.5,
    )
    with fits.open(field) as hdus:
        ra, dec = 59.1067, -30.4848
        weights = np.stack([hdus[i].data for i in (2, 4, 6)], axis=-1)
    cutouts = CutoutFetcher(mosaic, npix=128).transform({"ra": [ra], "dec": [dec]})
    assert isinstance(cutouts, Cutouts)
    assert cutouts.shape == (1, 128, 128, 3)
    assert cutouts.psf.shape == (1, 65, 65, 3)
    np.testing.assert_allclose(
        np.median(cutouts.noise, axis=(0, 1, 2)), np.median(weights, axis=(0, 1)) ** -0.5, rtol=0.3
    )
    # where there is sky, pixels scatter as their noise says; neighbors are correlated, so a little less
    scatter = np.asarray(cutouts) / cutouts.noise
    spread = 1.4826 * np.nanmedian(np.abs(scatter - np.nanmedian(scatter, axis=(1, 2))), axis=(0, 1, 2))
    assert np.all((spread > 0.7) & (spread < 1.5)), spread


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/field_kids_vista")
def test_a_real_field_of_two_surveys():
    """Headers as pipelines write them: a GAIN, no BUNIT, no zero point."""
    field = SHARED / "field_kids_vista"
    paths = {"r": field / "VST_r.fits", "K": field / "VISTA_K.fits"}
    psf = {"r": gaussian(41, 20, 20, 1.6), "K": gaussian(31, 15, 15, 1.2)}
    table = Catalog(field / "catalog.csv")
    cutouts = CutoutFetcher(FitsMosaic(paths, noise={"r": 1e-11, "K": 30.0}, psf=psf), npix=48).acquire(table).images
    assert cutouts.zero_point is None
    assert cutouts.pixel_scale == pytest.approx(0.2, rel=1e-4)
    width = [np.sqrt(1 / (4 * np.pi * (stamp**2).sum())) for stamp in np.moveaxis(cutouts.psf[0], -1, 0)]
    assert width == pytest.approx([1.6, 1.2 * 0.339 / 0.2], rel=0.03)
    with pytest.raises(ValueError, match=r"VST_r.fits' has no zero point: none of MAGZERO"):
        CutoutFetcher(FitsMosaic(paths["r"], zero_point="header"), npix=48).acquire(table)
    gain = CutoutFetcher(FitsMosaic(paths["r"], gain="GAIN"), npix=48).acquire(table).images.gain
    assert gain == pytest.approx(1.5915, rel=1e-4)
