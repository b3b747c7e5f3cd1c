import inspect

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter
from scipy.special import gammainc, kv
from scipy.stats import spearmanr

from galestim._sdss_colors import sdss_colors
from galestim.datasets import _spin, make_spin_galaxies

FACE_ON, EDGE_ON = 1.0, 0.0  # cos i


def galaxy(**changes):
    """One galaxy of plain numbers, as the renderer takes it."""
    truth = {
        "bulge_to_total": 0.4,
        "axis_ratio": 0.5,
        "position_angle": 30.0,
        "half_light_radius": 4.0,
        "bulge_radius": 2.0,
        "bulge_axis_ratio": 0.8,
        "disk_radius": 5.0,
        "surface_brightness": 19.5,
        "x_offset": 0.05,
        "y_offset": -0.08,
    }
    return {name: np.array([value]) for name, value in (truth | changes).items()}


def flux(truth):
    """Flux in nanomaggies: half of it lies within the half-light radius at the mean surface brightness."""
    brightness = 10 ** (0.4 * (22.5 - truth["surface_brightness"][0]))
    return 2 * np.pi * truth["half_light_radius"][0] ** 2 * brightness


GRAY = np.ones((1, 2, 3))  # flux relative to r, of bulge and disk, in three bands


def test_shapes_and_types():
    data = make_spin_galaxies(3, size=40, random_state=0)
    assert data.images.shape == (3, 40, 40, 3)
    assert data.images.dtype == np.uint8
    assert data.lambda_r.shape == (3,)
    assert {values.shape for values in data.parameters.values()} == {(3,)}
    assert make_spin_galaxies.__doc__ == data.DESCR


@pytest.mark.parametrize("size", [1, 2, 7, 33, 100])
def test_any_size(size):
    assert make_spin_galaxies(2, size=size, random_state=0).images.shape == (2, size, size, 3)


def test_same_seed_same_galaxies():
    first, second, other = (make_spin_galaxies(5, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.lambda_r, second.lambda_r)
    assert not np.array_equal(first.lambda_r, other.lambda_r)
    images, lambda_r = make_spin_galaxies(5, random_state=0, return_X_y=True)
    np.testing.assert_array_equal(images, first.images)
    np.testing.assert_array_equal(lambda_r, first.lambda_r)


def test_batches_do_not_show(monkeypatch):
    expected = make_spin_galaxies(5, random_state=0).images
    monkeypatch.setattr(_spin, "BATCH", 2)
    np.testing.assert_array_equal(make_spin_galaxies(5, random_state=0).images, expected)


def test_random_state_instance_moves_on():
    rng = np.random.RandomState(0)
    first, second = (make_spin_galaxies(2, random_state=rng) for _ in range(2))
    assert not np.array_equal(first.images, second.images)


def test_noise_and_scatter_leave_the_galaxies_alone():
    plain = make_spin_galaxies(4, random_state=0)
    changed = make_spin_galaxies(4, noise=0, intrinsic_scatter=0, random_state=0)
    for name, values in plain.parameters.items():
        np.testing.assert_array_equal(changed.parameters[name], values)
    np.testing.assert_array_equal(changed.lambda_r, plain.parameters["expected_lambda_r"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"n_samples": 0},
            r"The 'n_samples' parameter of make_spin_galaxies must be an int in the range \[1, inf\)",
        ),
        ({"size": 0}, r"The 'size' parameter of make_spin_galaxies must be an int in the range \[1, inf\)"),
        (
            {"noise": -1},
            r"The 'noise' parameter of make_spin_galaxies must be a float in the range \[0\.0, inf\)",
        ),
        (
            {"intrinsic_scatter": -0.1},
            r"The 'intrinsic_scatter' parameter of make_spin_galaxies must be a float in",
        ),
    ],
)
def test_bad_parameters(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_spin_galaxies(**options)


def test_documented_defaults_are_those_of_the_code():
    for name, parameter in inspect.signature(make_spin_galaxies).parameters.items():
        assert f"    {name} : " in make_spin_galaxies.__doc__
        line = next(x for x in make_spin_galaxies.__doc__.splitlines() if x.strip().startswith(f"{name} : "))
        assert line.endswith(f"default={parameter.default}")


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
    expected = _spin._draw_parameters(2000, np.random.default_rng(0))["expected_lambda_r"]
    assert expected.min() >= 0
    assert expected.max() < 1
    np.testing.assert_allclose(np.quantile(expected, [0.05, 0.95]), [0.1, 0.85], atol=0.06)


@pytest.mark.parametrize("scatter", [0.0, 0.05, 0.13, 0.3])
def test_ceiling_is_the_correlation_with_the_expected_spin(scatter, monkeypatch):
    monkeypatch.setattr(_spin, "_render", lambda truth, colors, size: np.zeros((len(colors), size, size, 3)))
    data = make_spin_galaxies(10_000, size=1, intrinsic_scatter=scatter, random_state=0)
    measured = np.corrcoef(data.lambda_r, data.parameters["expected_lambda_r"])[0, 1]
    # Four standard errors of a correlation, and of the variance of the prior in a finite sample.
    assert data.pearson_ceiling == pytest.approx(measured, abs=4 * max(1e-9, (1 - measured**2) / 100))


def test_ceiling_of_the_default_scatter():
    assert 0.8 < make_spin_galaxies(1, size=1, random_state=0).pearson_ceiling < 0.9


# --- the picture --------------------------------------------------------------------------------------------


def exponential_disk(truth, size, oversampling=8):
    """The disk of `truth` in real space: profile on a fine grid, blurred, averaged over each pixel."""
    fine = size * oversampling
    step = 8.48 * truth["half_light_radius"][0] / fine  # arcsec
    row, column = np.indices((fine, fine)) - (fine - 1) / 2
    radius_e = truth["half_light_radius"][0]
    west = column * step - truth["x_offset"][0] * radius_e
    north = -(row * step - truth["y_offset"][0] * radius_e)
    angle = np.radians(truth["position_angle"][0])
    along = north * np.cos(angle) - west * np.sin(angle)  # from north towards east
    across = north * np.sin(angle) + west * np.cos(angle)
    scale = truth["disk_radius"][0] / 1.67834699
    profile = np.exp(-np.hypot(along, across / truth["axis_ratio"][0]) / scale)
    profile /= 2 * np.pi * scale**2 * truth["axis_ratio"][0]
    blurred = gaussian_filter(profile, 1.3 / 2.354820045 / step, truncate=6)
    return flux(truth) * blurred.reshape(size, oversampling, size, oversampling).mean(axis=(1, 3))


@pytest.mark.parametrize("position_angle", [0.0, 30.0, 120.0])
@pytest.mark.parametrize("size", [80, 100])
def test_disk_agrees_with_real_space(position_angle, size):
    truth = galaxy(bulge_to_total=0.0, position_angle=position_angle)
    expected = exponential_disk(truth, size)
    image = _spin._render(truth, GRAY, size)[0, :, :, 1]
    inner = np.s_[4:-4, 4:-4]  # the reference lacks light from outside the frame
    np.testing.assert_allclose(image[inner], expected[inner], atol=1e-3 * expected.max())


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.5, 1.0])
def test_pixels_are_integrals(bulge_to_total):
    # Compact galaxies on coarse pixels, the hardest case: the largest galaxy is the sharpest.
    truth = galaxy(
        bulge_to_total=bulge_to_total,
        half_light_radius=6.0,
        bulge_radius=1.0,
        disk_radius=6.0,
        axis_ratio=0.2,
    )
    fine = _spin._render(truth, GRAY, 480)[0]
    for size in (20, 40, 80):
        expected = fine.reshape(size, 480 // size, size, 480 // size, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(_spin._render(truth, GRAY, size)[0], expected, atol=5e-3 * expected.max())


def spergel_share(radius, half_light_radius, nu):
    """Share of light within `radius` by quadrature of the profile, normalized by its integral to infinity."""
    unit = [quad(lambda x: x ** (nu + 1) * kv(nu, x), 0, end)[0] for end in (_half_light(nu), 60)]
    assert unit[0] / unit[1] == pytest.approx(0.5, abs=1e-4)
    end = radius / half_light_radius * _half_light(nu)
    return quad(lambda x: x ** (nu + 1) * kv(nu, x), 0, end)[0] / unit[1]


def _half_light(nu):
    return {0.5: 1.67834699, -0.6: _spin.HALF_LIGHT[-0.6]}[nu]


def test_bulge_light_in_apertures():
    truth = galaxy(bulge_to_total=1.0, bulge_axis_ratio=1.0, x_offset=0.0, y_offset=0.0)
    size = 400
    image, step = _spin._render(truth, GRAY, size)[0, :, :, 1], 8.48 * 4.0 / size
    distance = np.hypot(*(np.indices((size, size)) - (size - 1) / 2)) * step
    for radius in (4.0, 8.0, 14.0):  # arcsec, beyond the blur of the point-spread function
        light = image[distance < radius].sum() * step**2 / flux(truth)
        assert light == pytest.approx(spergel_share(radius, 2.0, -0.6), abs=0.01)


def test_bulge_is_close_to_de_vaucouleurs():
    for radius in (0.3, 0.5, 2.0):
        sersic_share = gammainc(8, 7.66925 * radius**0.25)
        assert spergel_share(radius, 1.0, -0.6) == pytest.approx(sersic_share, abs=0.05)


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("radius_ratio", [0.2, 0.6])
def test_half_light_radius_is_that_of_the_sum(bulge_to_total, radius_ratio):
    disk_radius = _spin._disk_radius(np.array([bulge_to_total]), np.array([radius_ratio]))[0]
    share = bulge_to_total * spergel_share(1.0, radius_ratio * disk_radius, -0.6)
    share += (1 - bulge_to_total) * spergel_share(1.0, disk_radius, 0.5)
    assert share == pytest.approx(0.5, abs=1e-3)


def test_noise_has_the_variance_of_sky_and_photons():
    sky = np.full((1, 200, 200, 3), 5.0, dtype=np.float32)
    noise = _spin._camera_noise(sky, np.array([0.5]), np.random.default_rng(0))
    expected = np.sqrt(5.0 / 900 + np.array([0.10, 0.06, 0.045]) ** 2) / 0.5  # independent pixels of 0.25 arcsec²
    np.testing.assert_allclose(noise.std(axis=(0, 1, 2)), expected, rtol=0.02)
    assert abs(noise.mean()) < 0.005


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
    data = make_spin_galaxies(200, size=40, random_state=0)
    red, _, blue = data.images[:, 15:25, 15:25].reshape(200, -1, 3).mean(axis=1).T
    assert spearmanr(red / blue, data.parameters["bulge_to_total"]).statistic > 0.7
