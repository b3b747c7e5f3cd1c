from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from galestim._sdss_colors import sdss_colors
from galestim.datasets import _spin, make_spin_galaxies
from galestim.simulation import MoffatPSF, SpinPrior, Uniform, sdss_like
from galestim.simulation._sersic import enclosed_light

FACE_ON, EDGE_ON = 1.0, 0.0  # cos i
IRG = [sdss_like(name) for name in "irg"]


def galaxy(**changes):
    """One galaxy of plain numbers."""
    truth = {
        "bulge_to_total": 0.4,
        "axis_ratio": 0.5,
        "position_angle": 30.0,
        "half_light_semimajor_axis": 4.0,
        "bulge_semimajor_axis": 2.0,
        "bulge_axis_ratio": 0.8,
        "disk_semimajor_axis": 5.0,
        "magnitude": 14.5,
        "x_offset": 0.05,
        "y_offset": -0.08,
    }
    return {name: np.array([value]) for name, value in (truth | changes).items()}


def flux(truth):
    """Flux in nanomaggies."""
    return 10 ** (0.4 * (22.5 - truth["magnitude"][0]))


def draw(truth, npix):
    """Noiseless surface brightness in i, r and g of galaxies that are gray."""
    return _spin._sky(truth, np.ones((1, 2, 3)), IRG, npix, 0, np.random.RandomState(0))


def test_shapes_and_types():
    data = make_spin_galaxies(3, npix=40, random_state=0)
    assert data.images.shape == (3, 40, 40, 3)
    assert data.images.dtype == np.uint8
    assert data.lambda_r.shape == (3,)
    assert {values.shape for values in data.parameters.values()} == {(3,)}
    assert make_spin_galaxies.__doc__ == data.DESCR


@pytest.mark.parametrize("npix", [1, 2, 7, 33, 100])
def test_any_size(npix):
    assert make_spin_galaxies(2, npix=npix, random_state=0).images.shape == (2, npix, npix, 3)


def test_same_seed_same_galaxies():
    first, second, other = (make_spin_galaxies(5, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.lambda_r, second.lambda_r)
    assert not np.array_equal(first.lambda_r, other.lambda_r)
    images, lambda_r = make_spin_galaxies(5, random_state=0, return_X_y=True)
    np.testing.assert_array_equal(images, first.images)
    np.testing.assert_array_equal(lambda_r, first.lambda_r)


def test_batches_do_not_show(monkeypatch):
    expected = make_spin_galaxies(5, noise_factor=0, random_state=0).images.astype(int)
    monkeypatch.setattr(_spin, "BATCH", 2)
    images = make_spin_galaxies(5, noise_factor=0, random_state=0).images.astype(int)
    assert abs(images - expected).max() <= 1  # of rounding


def test_random_state_instance_moves_on():
    rng = np.random.RandomState(0)
    first, second = (make_spin_galaxies(2, random_state=rng) for _ in range(2))
    assert not np.array_equal(first.images, second.images)


def test_noise_and_scatter_leave_the_galaxies_alone():
    plain = make_spin_galaxies(4, random_state=0)
    changed = make_spin_galaxies(4, noise_factor=0, intrinsic_scatter=0, random_state=0)
    for name, values in plain.parameters.items():
        np.testing.assert_array_equal(changed.parameters[name], values)
    np.testing.assert_array_equal(changed.lambda_r, plain.parameters["expected_lambda_r"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_samples": 0}, r"The 'n_samples' parameter of make_spin_galaxies must be an int in the range \[1, inf\)"),
        ({"npix": 0}, r"The 'npix' parameter of make_spin_galaxies must be an int in the range \[1, inf\)"),
        (
            {"noise_factor": -1},
            r"The 'noise_factor' parameter of make_spin_galaxies must be a float in the range \[0\.0, inf\)",
        ),
        ({"intrinsic_scatter": -0.1}, r"The 'intrinsic_scatter' parameter of make_spin_galaxies must be a float in"),
        ({"band": sdss_like("r")}, r"^band=Band\(.*\); expected three, of i, r and g, or None\.$"),
        ({"band": ["i", "r", "g"]}, r"^band='i'; expected a galestim\.simulation\.Band"),
        ({"band": [replace(IRG[0], correlation=2.0)] * 3}, r"^band has correlated noise; expected correlation=None"),
        ({"prior": {}}, r"^prior=\{\}; expected a galestim\.simulation\.SpinPrior, or None\.$"),
    ],
)
def test_bad_parameters(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_spin_galaxies(**options)


# --- the spin -----------------------------------------------------------------------------------------------


def test_spin_of_simple_galaxies():
    spin = _spin._expected_lambda_r
    assert spin(0.0, FACE_ON) == 0
    assert spin(0.0, EDGE_ON) == pytest.approx(2.2 / np.sqrt(1 + 2.2**2))
    assert spin(1.0, EDGE_ON) == spin(1.0, FACE_ON) == pytest.approx(0.1)
    # At 60 degrees, by hand: V/σ = 2 (√3/2) / √(1 - 0.5/4) = 1.8516, λ = 2.0368 / √(1 + 2.0368²) = 0.89765.
    assert spin(0.0, 0.5) == pytest.approx(0.89765, abs=1e-5)
    assert spin(0.25, 0.5) == pytest.approx(0.75 * 0.89765 + 0.25 * 0.1, abs=1e-5)


def test_expected_spin_is_physical_and_spread():
    expected = _spin.draw_spin_galaxies(SpinPrior(), 2000, 0)[0]["expected_lambda_r"]
    assert expected.min() >= 0
    assert expected.max() < 1
    np.testing.assert_allclose(np.quantile(expected, [0.05, 0.95]), [0.1, 0.85], atol=0.06)


@pytest.mark.parametrize("scatter", [0.0, 0.13])
def test_ceiling_is_the_correlation_with_the_expected_spin(scatter, monkeypatch):
    monkeypatch.setattr(_spin, "_sky", lambda truth, *_: np.zeros((len(truth["magnitude"]), 1, 1, 3)))
    data = make_spin_galaxies(10_000, npix=1, intrinsic_scatter=scatter, random_state=0)
    measured = np.corrcoef(data.lambda_r, data.parameters["expected_lambda_r"])[0, 1]
    # Four standard errors of a correlation, and of the variance of the prior in a finite sample.
    assert data.pearson_ceiling == pytest.approx(measured, abs=4 * max(1e-9, (1 - measured**2) / 100))


def test_ceiling_is_that_of_the_prior():
    middle = (np.arange(1000) + 0.5) / 1000
    variance = _spin._expected_lambda_r(0.2 + 0.3 * middle[:, None], middle).var()
    prior = SpinPrior().replace(bulge_to_total=Uniform(0.2, 0.5))
    data = make_spin_galaxies(1, npix=1, prior=prior, random_state=0)
    assert data.pearson_ceiling == pytest.approx(np.sqrt(variance / (variance + 0.13**2)), abs=1e-3)
    assert 0.2 <= data.parameters["bulge_to_total"][0] <= 0.5


def test_ceiling_of_the_default_scatter():
    assert 0.8 < make_spin_galaxies(1, npix=1, random_state=0).pearson_ceiling < 0.9


# --- the picture --------------------------------------------------------------------------------------------


def exponential_disk(truth, npix, oversampling=8):
    """The disk of `truth` in real space: profile on a fine grid, blurred, averaged over each pixel."""
    fine = npix * oversampling
    step = 8.48 * truth["half_light_semimajor_axis"][0] / fine  # arcsec
    row, column = np.indices((fine, fine)) - (fine - 1) / 2
    radius_e = truth["half_light_semimajor_axis"][0]
    west = column * step - truth["x_offset"][0] * radius_e
    north = -(row * step - truth["y_offset"][0] * radius_e)
    angle = np.radians(truth["position_angle"][0])
    along = north * np.cos(angle) - west * np.sin(angle)  # from north towards east
    across = north * np.sin(angle) + west * np.cos(angle)
    scale = truth["disk_semimajor_axis"][0] / 1.67834699
    profile = np.exp(-np.hypot(along, across / truth["axis_ratio"][0]) / scale)
    profile /= 2 * np.pi * scale**2 * truth["axis_ratio"][0]
    blurred = gaussian_filter(profile, 1.3 / 2.354820045 / step, truncate=6)
    return flux(truth) * blurred.reshape(npix, oversampling, npix, oversampling).mean(axis=(1, 3))


@pytest.mark.parametrize(("position_angle", "npix"), [(30.0, 80), (120.0, 100)])
def test_disk_agrees_with_real_space(position_angle, npix):
    truth = galaxy(bulge_to_total=0.0, position_angle=position_angle)
    expected = exponential_disk(truth, npix)
    image = draw(truth, npix)[0, :, :, 1]
    inner = np.s_[4:-4, 4:-4]  # the reference lacks light from outside the frame
    np.testing.assert_allclose(image[inner], expected[inner], atol=1e-3 * expected.max())


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.5, 1.0])
def test_pixels_are_integrals(bulge_to_total):
    # Compact galaxies on coarse pixels, the hardest case: the largest galaxy is the sharpest.
    truth = galaxy(
        bulge_to_total=bulge_to_total,
        half_light_semimajor_axis=6.0,
        bulge_semimajor_axis=1.0,
        disk_semimajor_axis=6.0,
        axis_ratio=0.2,
    )
    fine = draw(truth, 480)[0]
    for npix in (8, 20, 40, 80):
        expected = fine.reshape(npix, 480 // npix, npix, 480 // npix, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(draw(truth, npix)[0], expected, atol=1e-3 * expected.max())


def test_bulge_light_in_apertures():
    truth = galaxy(bulge_to_total=1.0, bulge_axis_ratio=1.0, x_offset=0.0, y_offset=0.0)
    npix = 400
    image, step = draw(truth, npix)[0, :, :, 1], 8.48 * 4.0 / npix
    distance = np.hypot(*(np.indices((npix, npix)) - (npix - 1) / 2)) * step
    for radius in (4.0, 8.0, 14.0):  # arcsec, beyond the blur of the point-spread function
        light = image[distance < radius].sum() * step**2 / flux(truth)
        assert light == pytest.approx(enclosed_light(radius / 2.0, 4.0), abs=0.01)


def test_half_light_semimajor_axis_is_that_of_the_galaxy_face_on():
    truth, _ = _spin.draw_spin_galaxies(SpinPrior(), 200, 0)
    size, share = truth["half_light_semimajor_axis"], truth["bulge_to_total"]
    bulge = enclosed_light(size / truth["bulge_semimajor_axis"], 4.0)
    disk = enclosed_light(size / truth["disk_semimajor_axis"], 1.0)
    np.testing.assert_allclose(share * bulge + (1 - share) * disk, 0.5, atol=1e-9)
    ratio = truth["bulge_semimajor_axis"] / truth["disk_semimajor_axis"]
    assert 0.2 <= ratio.min() < ratio.max() <= 0.6
    brightness = truth["magnitude"] + 2.5 * np.log10(2 * np.pi * size**2)  # half of the light, over the area
    np.testing.assert_allclose(brightness, truth["surface_brightness"])


def test_radii_are_drawn_circularized():
    drawn = _spin._as_rendered(galaxy(), np.ones((1, 2, 3)), IRG, 80)
    assert drawn["disk_radius"] == pytest.approx(5.0 * np.sqrt(0.5))
    assert drawn["bulge_radius"] == pytest.approx(2.0 * np.sqrt(0.8))


@pytest.mark.parametrize("npix", [8, 80])
def test_noise_has_the_variance_of_sky_and_photons(npix):
    truth = {name: np.repeat(values, 200) for name, values in galaxy(magnitude=13.0).items()}
    colors, rng = np.ones((200, 2, 3)), np.random.RandomState(0)
    clean, noisy = (_spin._sky(truth, colors, IRG, npix, factor, rng) for factor in (0, 2.0))
    area = (8.48 * 4.0 / npix) ** 2
    sigma = 2 * np.sqrt((clean / 900 + np.array([0.10, 0.06, 0.045]) ** 2) / area)  # per arcsec²
    np.testing.assert_allclose(((noisy - clean) / sigma).std(axis=(0, 1, 2)), 1, rtol=0.03)


def test_bands_are_those_given():
    plain = make_spin_galaxies(3, noise_factor=0, random_state=0)
    other = [replace(band, zero_point=25.0, psf=MoffatPSF(2.5)) for band in IRG]
    blurred = make_spin_galaxies(3, noise_factor=0, random_state=0, band=other)
    middle = np.s_[:, 38:42, 38:42]
    assert blurred.images[middle].mean() < plain.images[middle].mean()
    np.testing.assert_array_equal(blurred.lambda_r, plain.lambda_r)
    same = make_spin_galaxies(3, noise_factor=0, random_state=0, band=[replace(b, zero_point=25.0) for b in IRG])
    assert abs(same.images.astype(int) - plain.images).max() <= 1


def test_stretch_keeps_colors_and_saturates_none_alone():
    sky = np.array([[3.0, 2.0, 1.0], [3000.0, 2000.0, 1000.0], [0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]], dtype=np.float32)
    faint, bright, black, below = sdss_colors(sky).astype(float)
    # Colors are ratios of the scaled bands, 4.9 i : 5.7 r : 7.8 g, at any brightness.
    np.testing.assert_allclose(faint / faint.max(), np.array([14.7, 11.4, 7.8]) / 14.7, atol=0.02)
    np.testing.assert_allclose(bright / bright.max(), np.array([14.7, 11.4, 7.8]) / 14.7, atol=0.02)
    assert bright.max() == 255
    assert not black.any()
    assert not below.any()


def test_bulges_are_red_and_disks_blue():
    data = make_spin_galaxies(200, npix=40, random_state=0)
    red, _, blue = data.images[:, 15:25, 15:25].reshape(200, -1, 3).mean(axis=1).T
    assert spearmanr(red / blue, data.parameters["bulge_to_total"]).statistic > 0.7


def table_of_real_galaxies(n=400):
    rng = np.random.default_rng(0)
    ellipticity, kind = rng.uniform(0, 0.8, n), rng.choice([0, 0.5, 1, 1.5, 2, 2.5, 3], n)
    lambda_r = 0.1 + 0.4 * ellipticity + 0.08 * kind + 0.08 * rng.standard_normal(n)
    return {"lambda_r": lambda_r, "ellipticity": ellipticity, "visual_type": kind}


def test_galaxies_like_those_of_a_table():
    table = pd.DataFrame(table_of_real_galaxies())
    table.loc[::7, "visual_type"] = np.nan  # unknown
    data = make_spin_galaxies(300, npix=8, like=table, random_state=0)
    rows = table.iloc[data.parameters["row"]]
    np.testing.assert_array_equal(data.lambda_r, rows["lambda_r"])
    flat = rows["ellipticity"] < 1 - _spin.DISK_THICKNESS
    np.testing.assert_allclose(data.parameters["axis_ratio"][flat], 1 - rows["ellipticity"][flat], rtol=1e-6)
    early = rows["visual_type"] < 1
    np.testing.assert_allclose(data.parameters["bulge_axis_ratio"][early], 1 - rows["ellipticity"][early], rtol=1e-6)
    assert data.parameters["bulge_to_total"][rows["visual_type"] == 0].mean() == pytest.approx(0.9, abs=0.05)
    truth = 0.1 + 0.4 * table["ellipticity"] + 0.08 * table["visual_type"]
    known = table["visual_type"].notna()
    best = np.corrcoef(truth[known], table["lambda_r"][known])[0, 1]
    assert best - 0.06 < data.pearson_ceiling < best + 0.01
    reached = np.corrcoef(data.parameters["expected_lambda_r"], data.lambda_r)[0, 1]
    assert reached == pytest.approx(data.pearson_ceiling, abs=0.04)


def test_galaxies_like_those_of_a_table_that_lacks_something():
    table = pd.DataFrame(table_of_real_galaxies())
    with pytest.raises(ValueError, match="like has no 'visual_type'; expected a table with the columns lambda_r"):
        make_spin_galaxies(2, like=table.drop(columns="visual_type"))
    with pytest.raises(ValueError, match="10 of 10 rows of like are finite; expected at least 50"):
        make_spin_galaxies(2, like=table[:10])
