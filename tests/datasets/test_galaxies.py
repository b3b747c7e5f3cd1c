from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import fftconvolve

from galestim.datasets import _galaxies, make_galaxies
from galestim.simulation import (
    ImagePSF,
    LogUniform,
    MoffatPSF,
    Uniform,
    half_light_radius,
    hsc_like,
    render,
    sim_v1_prior,
)

PIXEL, FWHM = 0.168, 0.58  # arcsec
HSC, PRIOR = hsc_like("i"), sim_v1_prior()


def galaxy(**changes):
    """One galaxy of plain numbers, as the renderer takes it."""
    truth = {
        "bulge_to_total": 0.4,
        "flux": 100.0,
        "bulge_radius": 0.5,
        "disk_radius": 1.2,
        "bulge_sersic_index": 4.0,
        "disk_sersic_index": 1.0,
        "bulge_axis_ratio": 0.8,
        "disk_axis_ratio": 0.5,
        "bulge_position_angle": 40.0,
        "disk_position_angle": 30.0,
        "x_offset": 0.3,
        "y_offset": -0.4,
    }
    return {name: np.array([value]) for name, value in (truth | changes).items()}


def draw(truth, size=64, pixel_scale=PIXEL, psf=None):
    return render(truth, npix=size, pixel_scale=pixel_scale, psf=psf or MoffatPSF(FWHM))[0].numpy()


def distances(shape, center=(0.0, 0.0)):
    """Rows and columns from the middle of an image, minus `center`."""
    row, column = np.indices(shape, dtype=float)
    return row - (shape[0] - 1) / 2 - center[0], column - (shape[1] - 1) / 2 - center[1]


def moffat(shape, fwhm, center=(0.0, 0.0)):
    """The Moffat profile at the pixel centers."""
    scale = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    row, column = distances(shape, center)
    return 2 / (np.pi * scale**2) * (1 + (row**2 + column**2) / scale**2) ** -3


def averaged(image, factor):
    height, width = (side // factor for side in image.shape)
    return image.reshape(height, factor, width, factor).mean(axis=(1, 3))


# --- what comes back ----------------------------------------------------------------------------------------


def test_shapes_and_types():
    data = make_galaxies(3, npix=20, n_neighbors=1, random_state=0)
    assert data.images.shape == (3, 20, 20)
    assert data.images.dtype == np.float32
    assert data.target.shape == (3, 3)
    assert data.target.dtype == np.float64
    assert data.target_names == ["bulge_to_total", "half_light_radius", "flux"]
    assert {values.shape for values in data.parameters.values()} == {(3,)}
    assert data.band == HSC
    assert make_galaxies.__doc__ == data.DESCR
    for column, name in zip(data.target.T, data.target_names):
        np.testing.assert_array_equal(column, data.parameters[name])


@pytest.mark.parametrize("size", [1, 2, 7, 33])
def test_any_size(size):
    images = make_galaxies(2, npix=size, random_state=0).images
    assert images.shape == (2, size, size)
    assert np.isfinite(images).all()


def test_same_seed_same_galaxies():
    first, second, other = (make_galaxies(5, n_neighbors=1, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.target, second.target)
    assert not np.array_equal(first.target, other.target)
    images, target = make_galaxies(5, n_neighbors=1, random_state=0, return_X_y=True)
    np.testing.assert_array_equal(images, first.images)
    np.testing.assert_array_equal(target, first.target)


def test_random_state_instance_moves_on():
    rng = np.random.RandomState(0)
    first, second = (make_galaxies(2, random_state=rng) for _ in range(2))
    assert not np.array_equal(first.target, second.target)


def test_galaxies_stay_when_noise_neighbors_and_camera_change():
    plain = make_galaxies(4, random_state=0)
    for options in (
        {"noise_factor": 0},
        {"n_neighbors": 2},
        {"band": replace(HSC, psf=MoffatPSF(0.7))},
        {"band": hsc_like("g")},
    ):
        changed = make_galaxies(4, random_state=0, **options)
        np.testing.assert_array_equal(changed.target, plain.target)
        np.testing.assert_array_equal(changed.parameters["x_offset"], plain.parameters["x_offset"])


def test_batches_do_not_show(monkeypatch):
    expected = make_galaxies(8, n_neighbors=1, noise_factor=0, random_state=0).images
    monkeypatch.setattr(_galaxies, "BATCH_PIXELS", 1)  # one at a time, each on a grid of its own
    images = make_galaxies(8, n_neighbors=1, noise_factor=0, random_state=0).images
    peaks = expected.max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(images / peaks, expected / peaks, atol=1e-3)


def test_galaxies_are_those_of_the_benchmark():
    drawn, truth = sim_v1_prior().draw(50, random_state=3), make_galaxies(50, npix=1, random_state=3).parameters
    for name, values in drawn.items():
        np.testing.assert_allclose(truth[name], values, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(truth["half_light_radius"], half_light_radius(drawn), rtol=1e-12)


def test_range_of_one_value():
    prior = PRIOR.replace(magnitude=Uniform(20, 20), bulge_radius=LogUniform(0.5, 0.5))
    data = make_galaxies(5, npix=1, prior=prior, random_state=0)
    np.testing.assert_allclose(data.parameters["magnitude"], 20, rtol=1e-12)
    np.testing.assert_allclose(data.parameters["bulge_radius"], 0.5, rtol=1e-12)


def test_prior():
    prior = PRIOR.replace(magnitude=Uniform(18, 20), bulge_radius=LogUniform(0.2, 0.8))
    data = make_galaxies(3000, npix=1, prior=prior, band=replace(HSC, zero_point=25.0), random_state=0)
    truth = data.parameters
    for name, low, high in (
        ("bulge_to_total", 0, 1),
        ("magnitude", 18, 20),
        ("bulge_sersic_index", 2.5, 5),
        ("disk_sersic_index", 0.8, 1.2),
        ("bulge_axis_ratio", 0.6, 1),
        ("disk_axis_ratio", 0.25, 1),
        ("bulge_position_angle", 0, 180),
        ("disk_position_angle", 0, 180),
        ("x_offset", -0.5, 0.5),
        ("y_offset", -0.5, 0.5),
    ):
        uniform = (np.sort(truth[name]) - low) / (high - low)
        np.testing.assert_allclose(uniform, np.linspace(0, 1, 3000), atol=0.035, err_msg=name)
    for name, low, high in (("bulge_radius", 0.2, 0.8), ("disk_radius", 0.35, 2.5)):
        uniform = (np.log(np.sort(truth[name]) / low)) / np.log(high / low)
        np.testing.assert_allclose(uniform, np.linspace(0, 1, 3000), atol=0.035, err_msg=name)
    twist = (truth["bulge_position_angle"] - truth["disk_position_angle"] + 90) % 180 - 90
    assert 14.5 < abs(twist).max() <= 15
    np.testing.assert_allclose(truth["flux"], 10 ** (-0.4 * (truth["magnitude"] - 25.0)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_samples": 0}, r"The 'n_samples' parameter of make_galaxies must be an int in the range \[1, inf\)"),
        (
            {"noise_factor": -1},
            r"The 'noise_factor' parameter of make_galaxies must be a float in the range \[0\.0, inf\)",
        ),
        ({"band": "i"}, r"^band='i'; expected a galestim\.simulation\.Band, such as hsc_like\('i'\), or None\.$"),
        ({"prior": "sim"}, r"^prior='sim'; expected a galestim\.simulation\.GalaxyPrior, such as sim_v1_prior\(\)"),
        (
            {"band": replace(HSC, psf=MoffatPSF(0.05))},
            r"^MoffatPSF\(fwhm=0\.05, beta=3\.0\) is too sharp for pixel_scale=0\.168; expected a full width of half",
        ),
        (
            {"n_neighbors": 5, "npix": 4, "prior": PRIOR.replace(disk_radius=LogUniform(2, 2))},
            r"^\d+ neighbors find no place outside of the half-light radius of their galaxy, which is up to "
            r"\d+\.\d pixels in a stamp of npix=4; enlarge npix or pass n_neighbors=0\.$",
        ),
    ],
)
def test_bad_parameters(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_galaxies(**{"n_samples": 3, "random_state": 0} | options)


# --- light --------------------------------------------------------------------------------------------------


def test_images_are_those_that_the_simulator_draws():
    band = replace(HSC, pixel_scale=0.2, psf=MoffatPSF(0.7))
    data = make_galaxies(8, npix=40, band=band, noise_factor=0, random_state=0)
    expected = render(data.parameters, npix=40, pixel_scale=0.2, psf=MoffatPSF(0.7))
    np.testing.assert_array_equal(data.images, expected)


def test_flux_is_that_of_the_image():
    compact = PRIOR.replace(bulge_radius=LogUniform(0.15, 0.2))  # whose wings are inside
    data = make_galaxies(8, npix=400, noise_factor=0, prior=compact, random_state=0)
    np.testing.assert_allclose(data.images.sum(axis=(1, 2), dtype=float), data.target[:, 2], rtol=1e-3)


def test_light_outside_of_the_stamp_is_lost():
    small, large = (make_galaxies(8, npix=size, noise_factor=0, random_state=0) for size in (16, 400))
    np.testing.assert_array_equal(small.target, large.target)
    peaks = large.images.max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(small.images / peaks, large.images[:, 192:208, 192:208] / peaks, atol=1e-3)


@pytest.mark.parametrize("bulge_to_total", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("bulge_radius", [0.5, 2.5])
def test_half_light_radius_holds_half_of_the_light(bulge_to_total, bulge_radius):
    # Bulge and disk of the same shape, so that half of the light is in an ellipse; pixels so fine that no blur shows.
    truth = galaxy(
        bulge_to_total=bulge_to_total,
        bulge_radius=bulge_radius,
        disk_axis_ratio=0.8,
        disk_position_angle=40.0,
        disk_radius=1.5,
    )
    pixel_scale, size = 0.04, 300
    radius = half_light_radius(truth)[0]
    image = draw(truth, size, pixel_scale, MoffatPSF(0.06))
    row, column = distances(image.shape, (truth["y_offset"][0], truth["x_offset"][0]))
    angle = np.radians(40.0)
    along = -row * np.cos(angle) - column * np.sin(angle)  # from north (row 0) towards east (left)
    across = -row * np.sin(angle) + column * np.cos(angle)
    inside = along**2 * 0.8 + across**2 / 0.8 < (radius / pixel_scale) ** 2
    assert image[inside].sum(dtype=float) / truth["flux"][0] == pytest.approx(0.5, abs=3e-3)


# --- the picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("position_angle", "bright", "dark"), [(0, "N", "E"), (90, "E", "N"), (45, "NE", "NW")])
def test_position_angle_runs_from_north_to_east(position_angle, bright, dark):
    angle = float(position_angle)
    truth = galaxy(bulge_to_total=0.0, disk_axis_ratio=0.3, disk_position_angle=angle, x_offset=0.0, y_offset=0.0)
    image = draw(truth, size=33)
    pixel = {"N": image[8, 16], "E": image[16, 8], "NE": image[10, 10], "NW": image[10, 22]}
    assert pixel[bright] > 3 * pixel[dark]


@pytest.mark.parametrize("position_angle", [0.0, 30.0, 120.0])
def test_disk_agrees_with_real_space(position_angle):
    truth = galaxy(bulge_to_total=0.0, disk_position_angle=position_angle)
    size, fine = 97, 7  # an odd number of fine pixels, so that the convolution keeps the center
    row, column = distances((size * fine, size * fine), (-0.4 * fine, 0.3 * fine))
    north, west = -row * PIXEL / fine, column * PIXEL / fine
    angle = np.radians(position_angle)
    along, across = north * np.cos(angle) - west * np.sin(angle), north * np.sin(angle) + west * np.cos(angle)
    semi_major, axis_ratio = 1.2 / np.sqrt(0.5) / 1.67834699, 0.5
    profile = np.exp(-np.hypot(along, across / axis_ratio) / semi_major)
    profile *= 100.0 * PIXEL**2 / (2 * np.pi * semi_major**2 * axis_ratio)
    expected = averaged(fftconvolve(profile, moffat(profile.shape, FWHM / PIXEL * fine), mode="same"), fine)
    image, inner = draw(truth, size), np.s_[16:-16, 16:-16]  # the reference lacks light from outside
    np.testing.assert_allclose(image[inner], expected[inner], atol=1e-3 * expected.max())


@pytest.mark.parametrize("fwhm", [0.6, 1.0, 2.0, 3.5])  # pixels; sharp ones have light beyond Nyquist's frequency
def test_pixels_are_integrals(fwhm):
    truth = galaxy(bulge_to_total=0.8, bulge_radius=0.15, x_offset=0.0, y_offset=0.0)
    fine = draw(truth, 32 * 5, PIXEL / 5, MoffatPSF(fwhm * PIXEL))
    expected = 25 * averaged(fine, 5)
    image = draw(truth, 32, PIXEL, MoffatPSF(fwhm * PIXEL))
    np.testing.assert_allclose(image, expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize("offset", [0.0, 32.0])
@pytest.mark.parametrize("bulge_to_total", [0.0, 1.0])
def test_no_light_comes_around(offset, bulge_to_total):
    # The largest galaxies of the prior, along the rows; also as a neighbor at the edge of the stamp.
    shape = {"bulge_radius": 1.5, "disk_radius": 2.5, "bulge_axis_ratio": 0.6, "disk_axis_ratio": 0.25}
    angles = {"bulge_position_angle": 90.0, "disk_position_angle": 90.0}
    truth = galaxy(bulge_to_total=bulge_to_total, x_offset=offset, y_offset=0.0, **shape, **angles)
    whole = draw(truth, 464)[200:264, 200:264]
    np.testing.assert_allclose(draw(truth), whole, atol=1e-3 * whole.max())


@pytest.mark.parametrize("shape", [(51, 51), (50, 52)])
@pytest.mark.parametrize("center", [(0.0, 0.0), (0.3, -1.2)])
def test_image_of_the_psf_stands_for_it(shape, center):
    fine = moffat((shape[0] * 9, shape[1] * 9), FWHM / PIXEL * 9, (9 * center[0], 9 * center[1]))
    measured = 7.0 * averaged(fine, 9)  # of any flux; through the pixel, as a star is seen
    expected = make_galaxies(10, noise_factor=0, random_state=0).images
    band = replace(HSC, psf=ImagePSF(measured, PIXEL))
    images = make_galaxies(10, noise_factor=0, band=band, random_state=0).images
    peaks = expected.max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(images / peaks, expected / peaks, atol=1.5e-3)


def test_a_point_looks_like_the_psf():
    psf = np.zeros((5, 7))  # upright and not mirrored: no two directions are alike
    psf[2, 3], psf[0, 3], psf[4, 3], psf[2, 0], psf[2, 4] = 4, 1, 1, 1, 3
    psf[1, 3] = psf[3, 2] = psf[3, 4] = 0.5
    psf[0, 3] += 0.25  # the centroid is the pixel of 4
    np.testing.assert_allclose(np.average(np.argwhere(psf + 1), axis=0, weights=psf.ravel()), (2, 3))
    point = galaxy(bulge_to_total=0.0, disk_radius=1e-6, x_offset=0.0, y_offset=0.0)
    image = draw(point, size=15, psf=ImagePSF(psf, PIXEL))
    expected = np.zeros((15, 15))
    expected[5:10, 4:11] = 100.0 * psf / psf.sum()
    np.testing.assert_allclose(image, expected, atol=1e-4 * 100.0)


# --- noise and neighbors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [3000.0, 5.0])
def test_noise_has_the_variance_of_sky_and_photons(gain):
    bright, band = PRIOR.replace(magnitude=Uniform(17.5, 19)), replace(HSC, gain=gain)
    clean, noisy = (
        make_galaxies(100, noise_factor=factor, prior=bright, band=band, random_state=0).images for factor in (0, 1)
    )
    deviate = (noisy - clean) / np.sqrt(0.055**2 + clean / gain)
    for pixels in (clean < 0.1, (clean > 0.1) & (clean < 5), clean > 5):
        assert deviate[pixels].std() == pytest.approx(1, abs=4 / np.sqrt(2 * pixels.sum()))
        assert deviate[pixels].mean() == pytest.approx(0, abs=4 / np.sqrt(pixels.sum()))
    assert abs(np.corrcoef(deviate[:, 1:].ravel(), deviate[:, :-1].ravel())[0, 1]) < 0.01


def test_noise_without_photons_and_its_factor():
    band = replace(HSC, gain=None, sky_noise=0.2)
    clean, noisy, noisier = (
        make_galaxies(20, noise_factor=factor, band=band, random_state=0).images for factor in (0, 1, 3)
    )
    assert (noisy - clean).std() == pytest.approx(0.2, rel=0.02)
    np.testing.assert_allclose(noisier - clean, 3 * (noisy - clean), atol=1e-4)


def test_neighbors_are_outside_of_the_half_light_radius_and_in_the_stamp():
    prior = PRIOR.replace(disk_radius=LogUniform(1.0, 2.5))
    options = {"npix": 32, "prior": prior, "random_state": 0, "noise_factor": 0}
    data = make_galaxies(400, n_neighbors=1.5, **options)
    neighbors, owner = data.neighbors, data.neighbors["galaxy"]
    np.testing.assert_array_equal(np.bincount(owner, minlength=400), data.parameters["n_neighbors"])
    assert len(owner) == pytest.approx(600, abs=4 * np.sqrt(600))
    apart = [neighbors[name] - data.parameters[name][owner] for name in ("x_offset", "y_offset")]
    radius = data.parameters["half_light_radius"][owner] / 0.168
    assert (np.hypot(*apart) >= radius).all()
    assert np.hypot(*apart).min() < 5  # they do come close to small galaxies
    for name in ("x_offset", "y_offset"):
        assert 15.5 < abs(neighbors[name]).max() <= 16


def test_neighbors_are_added_where_they_are_said_to_be():
    compact = PRIOR.replace(bulge_radius=LogUniform(0.15, 0.15), disk_radius=LogUniform(0.35, 0.35))
    options = {"prior": compact, "random_state": 0, "noise_factor": 0}
    alone, data = make_galaxies(60, **options), make_galaxies(60, n_neighbors=1, **options)
    added = data.images - alone.images
    number = data.parameters["n_neighbors"]
    assert not added[number == 0].any()
    single = np.isin(data.neighbors["galaxy"], np.flatnonzero(number == 1))
    assert single.sum() > 10
    for row in np.flatnonzero(single):
        image = added[data.neighbors["galaxy"][row]]
        peak = np.array(np.unravel_index(image.argmax(), image.shape)) - 31.5
        place = [data.neighbors[name][row] for name in ("y_offset", "x_offset")]
        np.testing.assert_allclose(peak, place, atol=1)
