"""Cutouts: an array of images to all that takes one, and a camera that stays true."""

import pickle

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import make_pipeline

from galestim import CenterCrop, Cutouts, Downsampler, Normalizer
from galestim.simulation import GaussianPSF, MoffatPSF, add_noise, render, sim_v1_prior

N, H = 6, 12


def stamps(n=N, npix=9, sigma=1.2):
    row, column = np.indices((npix, npix)) - (npix - 1) / 2
    stamp = np.exp(-(row**2 + column**2) / (2 * sigma**2))
    return np.repeat((stamp / stamp.sum())[None], n, axis=0)


def wcs(n=N):
    made = []
    for i in range(n):
        one = WCS(naxis=2)
        one.wcs.ctype, one.wcs.crval, one.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150 + i, 2], [6.5, 6.5]
        one.wcs.cdelt = [-5e-5, 5e-5]
        made.append(one)
    return made


@pytest.fixture
def cutouts():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(N, H, H)).astype(np.float32)
    mask = rng.random(images.shape) < 0.05
    noise = rng.uniform(0.5, 2, size=images.shape).astype(np.float32)
    return Cutouts(
        images,
        psf=stamps() * np.linspace(0.995, 1.005, N)[:, None, None],
        noise=noise,
        gain=np.arange(1.0, N + 1),
        mask=mask,
        pixel_scale=0.2,
        zero_point=np.linspace(25, 30, N),
        wcs=wcs(),
    )


def _places(cutouts):
    return None if cutouts.wcs is None else [one.wcs.crval.tolist() for one in cutouts.wcs]


def assert_same(found, expected):
    np.testing.assert_array_equal(found.images, expected.images)
    for name, value in expected.context.items():
        if name == "wcs":
            assert _places(found) == _places(expected)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value)
        else:
            assert getattr(found, name) == value, name
    assert found.stretched == expected.stretched


# ---- an array of images


def test_it_is_an_array_of_images_and_hides_what_is_masked(cutouts):
    assert cutouts.shape == (N, H, H)
    assert len(cutouts) == N
    assert cutouts.dtype == np.float32
    seen = np.asarray(cutouts)
    assert np.isnan(seen[cutouts.mask]).all()
    np.testing.assert_array_equal(seen[~cutouts.mask], cutouts.images[~cutouts.mask])
    images = cutouts.images.copy()
    images[cutouts.mask] = 1e9
    np.testing.assert_array_equal(np.asarray(cutouts.replace(images)), seen)


def test_without_a_mask_no_pixel_is_copied():
    images = np.zeros((3, 4, 4), dtype=np.float32)
    assert np.shares_memory(np.asarray(Cutouts(images, noise=1.0)), images)


def test_pixels_without_finite_noise_are_bad():
    noise = np.ones((2, 4, 4))
    noise[0, 1, 2], noise[1, 0, 0] = np.inf, np.nan
    seen = np.asarray(Cutouts(np.ones((2, 4, 4)), noise=noise))
    assert np.argwhere(np.isnan(seen)).tolist() == [[0, 1, 2], [1, 0, 0]]


def test_mask_of_a_masked_array_counts():
    images = np.ma.array(np.full((1, 2, 2), 1e20), mask=[[[True, False], [False, False]]])
    assert np.isnan(np.asarray(Cutouts(images))[0, 0, 0])


def test_images_that_are_masked_everywhere_are_missing(cutouts):
    mask = cutouts.mask.copy()
    mask[2] = True
    assert np.flatnonzero(cutouts.replace(mask=mask).missing()).tolist() == [2]


# ---- rows


@pytest.mark.parametrize("rows", [slice(1, 4), [3, 0, 3], np.array([True, False, True, False, False, True])])
def test_rows_keep_their_camera(cutouts, rows):
    some, which = cutouts[rows], np.arange(N)[rows]
    np.testing.assert_array_equal(some.images, cutouts.images[which])
    np.testing.assert_array_equal(some.zero_point, cutouts.zero_point[which])
    np.testing.assert_array_equal(some.psf, cutouts.psf[which])
    np.testing.assert_array_equal(some.noise, cutouts.noise[which])
    assert some.pixel_scale == 0.2
    assert [w.wcs.crval[0] for w in some.wcs] == (150 + which).tolist()


def test_pixels_are_taken_of_the_images(cutouts):
    np.testing.assert_array_equal(cutouts[2], np.asarray(cutouts)[2])
    np.testing.assert_array_equal(cutouts[:, 3:5, 1], np.asarray(cutouts)[:, 3:5, 1])
    assert isinstance(cutouts[[1, 2], ...], Cutouts)


def test_splits_of_scikit_learn_keep_the_camera(cutouts):
    train, test, y_train, _ = train_test_split(cutouts, np.arange(N), test_size=2, random_state=0)
    assert isinstance(train, Cutouts)
    assert isinstance(test, Cutouts)
    np.testing.assert_array_equal(train.gain, 1.0 + y_train)
    for _, rows in KFold(3).split(cutouts):
        np.testing.assert_array_equal(cutouts[rows].gain, 1.0 + rows)


def test_pickles_keep_the_camera(cutouts):
    assert_same(pickle.loads(pickle.dumps(cutouts)), cutouts)


def test_concatenated_cutouts_have_a_camera_each():
    near = Cutouts(np.zeros((2, 4, 4)), psf=MoffatPSF(0.7), noise=0.1, pixel_scale=0.2)
    far = Cutouts(np.ones((1, 4, 4)), psf=[GaussianPSF(1.3)], noise=[0.5], pixel_scale=0.2)
    both = Cutouts.concatenate([near, far])
    assert both.psf == [MoffatPSF(0.7), MoffatPSF(0.7), GaussianPSF(1.3)]
    assert both.noise.tolist() == [0.1, 0.1, 0.5]
    assert both.pixel_scale == 0.2
    with pytest.raises(ValueError, match="gain is known in some of the cutouts only"):
        Cutouts.concatenate([near.replace(gain=2.0), far])


# ---- files


@pytest.mark.parametrize("name", ["cutouts.h5", "cutouts.fits"])
def test_files_keep_everything(cutouts, tmp_path, name):
    cutouts.write(tmp_path / name)
    assert_same(Cutouts.read(tmp_path / name), cutouts)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cutouts.write(tmp_path / name)
    bare = Cutouts(np.zeros((2, 3, 3, 2)), noise=0.5, stretched=True)
    bare.write(tmp_path / name, overwrite=True)
    assert_same(Cutouts.read(tmp_path / name), bare)


@pytest.mark.parametrize("name", ["cutouts.h5", "cutouts.fits"])
def test_a_damaged_file_is_named(cutouts, tmp_path, name):
    path = tmp_path / name
    cutouts.write(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=rf"{name} cannot be read"):
        Cutouts.read(path)


def forged(path, name, change):
    """Write cutouts, and change one of the extensions."""
    Cutouts(np.ones((2, 4, 4)), noise=[0.1, 0.2], mask=np.zeros((2, 4, 4), bool)).write(path)
    with fits.open(path, mode="update") as hdus:
        change(hdus[name])


def of_another_shape(hdu):
    hdu.data = np.ones((2, 3, 3), "u1")


def renamed(hdu):
    hdu.name = "weights"


def negative(hdu):
    hdu.data["noise"] = -1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("mask", of_another_shape, r"holds no cutouts: mask has shape \(2, 3, 3\)"),
        ("mask", renamed, r"holds \['weights'\]; expected a file that `Cutouts.write` wrote"),
        ("CONTEXT", negative, "holds no cutouts: noise is negative in row 0"),
    ],
)
def test_what_write_would_not_write_is_refused(name, change, said, tmp_path):
    forged(tmp_path / "c.fits", name, change)
    with pytest.raises(ValueError, match=rf"c\.fits {said}"):
        Cutouts.read(tmp_path / "c.fits")


@pytest.mark.parametrize("card", ["A_ORDER = 30000", "WCSAXES = 5000", "BP_ORDER= -1"])
def test_a_wcs_claims_no_more_than_it_holds(card, tmp_path):
    h5py = pytest.importorskip("h5py")
    wcs = WCS(naxis=2)
    Cutouts(np.ones((2, 4, 4)), wcs=[wcs, wcs]).write(tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file["wcs"][1] = card.ljust(80)
    with pytest.raises(ValueError, match=r"c\.h5 cannot be read: (A_ORDER|WCSAXES|BP_ORDER) of a WCS is -?[0-9]+"):
        Cutouts.read(tmp_path / "c.h5")


def test_claims_of_a_file_are_bounded(tmp_path):
    path = tmp_path / "c.fits"
    Cutouts(np.ones((2, 4, 4))).write(path)
    path.write_bytes(path.read_bytes().replace(b"NAXIS3  =                    2", b"NAXIS3  =           2000000000"))
    with pytest.raises(ValueError, match=r"c\.fits cannot be read: .*its data are cut off"):
        Cutouts.read(path)


def test_objects_are_no_content_of_a_file(tmp_path):
    with pytest.raises(ValueError, match="psf holds objects"):
        Cutouts(np.zeros((2, 4, 4)), psf=MoffatPSF(0.7)).write(tmp_path / "c.h5")


# ---- bad input

IMAGES = np.zeros((3, 8, 8))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": np.zeros((8, 8))}, r"A single image is images\[None\]"),
        ({"psf": np.ones((2, 5, 5)) / 25}, r"psf has shape \(2, 5, 5\); expected a stamp"),
        ({"psf": np.full((5, 5), -0.04)}, "psf of row 0 has the sum -1; expected finite pixels with a positive sum"),
        ({"psf": np.where(np.arange(25).reshape(5, 5) == 3, np.nan, 0.04)}, "psf of row 0 has the sum nan"),
        ({"noise": -1.0}, "noise is negative in row 0"),
        ({"noise": [1.0, 2.0, -3.0]}, "noise is negative in row 2"),
        ({"noise": [1.0, 2.0]}, r"noise has shape \(2,\); expected a number"),
        ({"gain": 0.0}, "gain is 0 for some galaxy; expected positive"),
        ({"pixel_scale": [0.2, -0.2, 0.2]}, "pixel_scale is -0.2 for some galaxy; expected positive"),
        ({"zero_point": np.inf}, "zero_point is inf for some galaxy; expected a finite number"),
        ({"sky_error": -0.1}, "sky_error is -0.1 for some galaxy; expected at least 0"),
        ({"mask": np.zeros((3, 8, 8), int)}, r"mask has the dtype int64; expected bool.*\(mask & bits\) > 0"),
        ({"mask": np.zeros((3, 8, 7), bool)}, r"mask has shape \(3, 8, 7\)"),
        ({"wcs": [WCS(naxis=2)]}, "wcs has 1 entries; expected one for each of the 3 galaxies"),
    ],
)
def test_bad_input_is_an_error_that_says_what_is_expected(given, said):
    with pytest.raises(ValueError, match=said):
        Cutouts(**{"images": IMAGES, **given})


def test_stamps_that_do_not_sum_to_one_are_divided_by_their_sum():
    with pytest.warns(UserWarning, match="psf sums to 2 instead of 1 in 1 of 3 stamps"):
        cutouts = Cutouts(IMAGES, psf=stamps(3) * np.array([1.0, 2.0, 1.0])[:, None, None])
    np.testing.assert_allclose(cutouts.psf, stamps(3))


def test_what_is_not_known_of_a_galaxy_is_nan():
    psf = stamps(3)
    psf[1] = np.nan
    cutouts = Cutouts(IMAGES, psf=psf, gain=[1.0, np.nan, 2.0], noise=np.ma.array([1.0, 1e20, 2.0], mask=[0, 1, 0]))
    assert np.isnan(cutouts.psf[1]).all()
    assert np.isnan(cutouts.gain[1])
    assert np.isnan(cutouts.noise[1])


# ---- transformers keep the camera true


@pytest.mark.parametrize("npix", [24, 16, 12])
def test_downsampled_galaxies_look_as_if_seen_by_the_new_camera(npix):
    galaxies = sim_v1_prior().draw(20, random_state=0)
    psf = MoffatPSF(1.3)
    seen = Downsampler(npix).transform(
        Cutouts(
            render(galaxies, npix=48, pixel_scale=0.25, psf=psf).numpy(), psf=psf, pixel_scale=0.25, zero_point=27.0
        )
    )
    assert seen.pixel_scale == pytest.approx(0.25 * 48 / npix)
    assert seen.psf == psf
    for name in ("x_offset", "y_offset"):  # in pixels
        galaxies[name] = galaxies[name] * npix / 48
    drawn = render(galaxies, npix=npix, pixel_scale=seen.pixel_scale, psf=psf).numpy()
    fluxes = 10 ** (-0.4 * (seen.zero_point - 27.0)) * np.asarray(seen)  # in units of the first camera
    assert np.abs(fluxes - drawn).max() < 1e-4 * drawn.max()


@pytest.mark.parametrize("npix", [24, 20])
@pytest.mark.parametrize("of_each_pixel", [False, True])
def test_downsampled_noise_has_the_variance_that_is_said(npix, of_each_pixel):
    import torch

    sky = np.linspace(0.5, 2.0, 400)
    images = add_noise(torch.zeros(400, 48, 48), sky_noise=sky, random_state=0).numpy()
    mask = np.zeros(images.shape, dtype=bool)
    mask[:, 20:23, 30] = of_each_pixel
    seen = Downsampler(npix).transform(Cutouts(images, noise=sky, mask=mask if of_each_pixel else None))
    noise = seen.noise if of_each_pixel else seen.noise[:, None, None]
    pulls = np.asarray(seen) / noise
    assert np.nanstd(pulls) == pytest.approx(1, abs=0.01)
    if of_each_pixel:
        row, column = int(21 * npix / 48), int(30 * npix / 48)
        assert np.std(pulls[:, row, column]) == pytest.approx(1, abs=0.15)


def test_photons_are_as_many_as_before():
    cutouts = Cutouts(np.full((1, 8, 8), 3.0), gain=2.0, zero_point=25.0)
    merged = Downsampler(4).transform(cutouts)
    assert (np.asarray(merged) * merged.gain).sum() == (np.asarray(cutouts) * 2.0).sum()
    assert merged.zero_point == pytest.approx(25.0 - 2.5 * np.log10(4))


@pytest.mark.parametrize(("npix", "size"), [(6, 9), (4, 8), (5, 11)])
def test_merged_stamps_are_the_star_through_larger_pixels(npix, size):
    cutouts = Cutouts(np.zeros((2, 12, 12)), psf=stamps(2, size))
    psf = Downsampler(npix).transform(cutouts).psf
    assert psf.sum((1, 2)) == pytest.approx(np.ones(2))
    center = (psf * np.arange(psf.shape[2])).sum((1, 2))
    assert center == pytest.approx(np.full(2, (psf.shape[2] - 1) / 2))
    if 12 % npix == 0 and size % (12 // npix) == 0:
        step = 12 // npix
        blocks = stamps(1, size).reshape(size // step, step, size // step, step).sum((1, 3))
        np.testing.assert_allclose(psf[0], blocks)


def test_positions_on_the_sky_stay(cutouts):
    star = cutouts.wcs[1].pixel_to_world(4, 9)
    for transformer, x, y in ((Downsampler(6), 1.75, 4.25), (CenterCrop(8), 2, 7)):
        moved = transformer.transform(cutouts).wcs[1].pixel_to_world(x, y)
        assert moved.separation(star).arcsec < 1e-6


def test_masked_pixels_have_no_weight_in_any_transformer(cutouts):
    images = cutouts.images.copy()
    images[cutouts.mask] = 1e9
    for transformer in (Downsampler(6), CenterCrop(8), Normalizer("minmax"), Normalizer("scale")):
        there, here = transformer.transform(cutouts.replace(images)), transformer.transform(cutouts)
        np.testing.assert_array_equal(np.asarray(there), np.asarray(here))
        np.testing.assert_array_equal(there.mask, here.mask)


def test_stretched_images_say_so(cutouts):
    made = make_pipeline(Downsampler(6), Normalizer("asinh")).fit_transform(cutouts)
    assert made.stretched
    assert made.noise is None
    assert made.zero_point is None
    assert made.pixel_scale == 0.4
    scaled = Normalizer("scale", scale=10.0).transform(cutouts)
    assert not scaled.stretched
    np.testing.assert_allclose(scaled.noise, cutouts.noise / 10, rtol=1e-6)
    np.testing.assert_allclose(scaled.gain, cutouts.gain * 10)
    np.testing.assert_allclose(scaled.zero_point, cutouts.zero_point - 2.5)


def test_what_cannot_stay_true_is_refused(cutouts):
    with pytest.raises(ValueError, match="pixels that are not square"):
        Downsampler((6, 4)).transform(cutouts)
    with pytest.raises(ValueError, match="give stamps, or an npix that divides 12"):
        Downsampler(5).transform(cutouts.replace(psf=MoffatPSF(0.8)))
    with pytest.raises(ValueError, match="does not conserve what Cutouts know of noise; use 'area'"):
        Downsampler(6, method="pil-bicubic").transform(cutouts)


def test_a_transformer_fills_a_memmap_as_it_fills_memory(cutouts, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, cutouts.images)
    mapped = cutouts.replace(np.load(path, mmap_mode="r"))
    np.testing.assert_array_equal(
        np.asarray(Downsampler(6).transform(mapped)), np.asarray(Downsampler(6).transform(cutouts))
    )
