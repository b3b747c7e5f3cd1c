from dataclasses import replace

import numpy as np
import pytest

from galestim.datasets import _galaxies, make_galaxies
from galestim.simulation import LogUniform, MoffatPSF, Uniform, half_light_radius, hsc_like, render, sim_v1_prior

HSC, PRIOR = hsc_like("i"), sim_v1_prior()


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


def test_galaxies_stay_when_noise_neighbors_camera_and_size_change():
    plain = make_galaxies(4, random_state=0)
    for options in (
        {"noise_factor": 0},
        {"n_neighbors": 2},
        {"band": replace(HSC, psf=MoffatPSF(0.7))},
        {"band": hsc_like("g")},
        {"npix": 16},
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


@pytest.mark.parametrize(
    ("prior", "zero_point"),
    [(PRIOR, 27.0), (PRIOR.replace(magnitude=Uniform(18, 20), disk_radius=LogUniform(1, 1)), 25.0)],
)
def test_galaxies_are_those_of_the_prior(prior, zero_point):
    band = replace(HSC, zero_point=zero_point)
    truth = make_galaxies(50, npix=1, prior=prior, band=band, random_state=3).parameters
    drawn = prior.draw(50, random_state=3, zero_point=zero_point)
    for name, values in drawn.items():
        np.testing.assert_allclose(truth[name], values, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(truth["half_light_radius"], half_light_radius(drawn), rtol=1e-12)


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


# --- the picture --------------------------------------------------------------------------------------------


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
