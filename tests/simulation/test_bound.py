from dataclasses import replace

import numpy as np
import pytest
import torch

from galestim.simulation import (
    Band,
    MoffatPSF,
    Uniform,
    add_noise,
    cramer_rao_bound,
    hsc_like,
    noise_variance,
    render,
    sim_v1_prior,
    sim_v2_prior,
)
from galestim.simulation._bound import _jacobian
from galestim.simulation._galaxy_prior import LOGARITHMIC
from galestim.simulation._parameters import PARAMETERS, as_tensors

BAND, PRIOR = hsc_like("i"), sim_v1_prior()


def test_shapes_and_names():
    bound = cramer_rao_bound(PRIOR.draw(3, random_state=0), BAND, prior=PRIOR, npix=48)
    assert bound.target_names == ("bulge_to_total", "ln_half_light_radius", "ln_flux")
    assert bound.parameter_names == tuple(PARAMETERS)
    assert bound.covariance.shape == (3, 3, 3)
    assert bound.parameter_covariance.shape == (3, 12, 12)
    assert bound.signal_to_noise.shape == (3,)
    np.testing.assert_allclose(bound.std**2, bound.covariance.diagonal(axis1=1, axis2=2))
    assert (np.linalg.eigvalsh(bound.covariance) > 0).all()


def test_no_worse_than_the_prior_and_better_with_it():
    galaxies = PRIOR.draw(20, random_state=0)
    galaxies["bulge_to_total"] = galaxies["bulge_to_total"].clip(0.2, 0.8)
    known, unknown = (cramer_rao_bound(galaxies, BAND, prior=prior, npix=48) for prior in (PRIOR, None))
    variance = np.array([PRIOR.variance()[name] for name in PARAMETERS])
    assert (known.parameter_covariance.diagonal(axis1=1, axis2=2) <= variance * (1 + 1e-9)).all()
    assert (known.std < unknown.std).all()


def test_the_benchmark_s_table():
    """Magnitudes 21 to 22, within the scatter of so few galaxies."""
    galaxies = PRIOR.draw(60, random_state=0)
    galaxies["flux"] = 10 ** (-0.4 * (np.linspace(21, 22, 60) - BAND.zero_point))
    bound = cramer_rao_bound(galaxies, BAND, prior=PRIOR)
    assert np.median(bound.signal_to_noise) == pytest.approx(174, rel=0.2)
    np.testing.assert_allclose(np.sqrt((bound.std**2).mean(axis=0)), (0.084, 0.045, 0.028), rtol=0.2)


def test_exact_for_a_flux_alone():
    """With all else known, the bound of a flux is 1 / (S/N) without photon noise."""
    galaxies = PRIOR.draw(4, random_state=0)
    tensors = as_tensors(galaxies, dtype=torch.float64)
    images, slopes = _jacobian(tensors, BAND, 48)
    np.testing.assert_allclose(slopes[list(PARAMETERS).index("flux")], images, atol=1e-9)
    bound = cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=48)
    variance = noise_variance(images, BAND.sky_noise, BAND.gain)
    np.testing.assert_allclose(bound.signal_to_noise, (images**2 / variance).sum((1, 2)).sqrt())
    assert (bound.std[:, 2] >= 1 / np.hypot(bound.signal_to_noise, PRIOR.variance()["flux"] ** -0.5)).all()


def test_jacobian_is_that_of_finite_differences():
    tensors = as_tensors(PRIOR.draw(2, random_state=3), dtype=torch.float64)
    _, slopes = _jacobian(tensors, BAND, 40)
    for name, slope in zip(PARAMETERS, slopes):
        unit = tensors[name] if name in LOGARITHMIC else torch.ones(2)
        up, down = (
            render(tensors | {name: tensors[name] + step * unit}, npix=40, pixel_scale=0.168, psf=BAND.psf)
            for step in (1e-5, -1e-5)
        )
        np.testing.assert_allclose(slope, (up - down) / 2e-5, atol=1e-3 * slope.abs().max().item())


def test_maximum_likelihood_reaches_it():
    """Newton's step from the truth scatters over draws of the noise as the bound says."""
    galaxies = {name: np.repeat(values, 400) for name, values in PRIOR.draw(1, random_state=5).items()}
    one = as_tensors({name: values[:1] for name, values in galaxies.items()}, dtype=torch.float64)
    bound = cramer_rao_bound(one, BAND, npix=40)
    images, slopes = _jacobian(one, BAND, 40)
    noise = add_noise(images.expand(400, -1, -1), sky_noise=BAND.sky_noise, gain=BAND.gain, random_state=0) - images
    score = (noise / noise_variance(images, BAND.sky_noise, BAND.gain)).flatten(1) @ slopes[:, 0].flatten(1).T
    estimates = score.numpy() @ bound.parameter_covariance[0]
    ratio = estimates.std(axis=0) / np.sqrt(bound.parameter_covariance[0].diagonal())
    np.testing.assert_allclose(ratio, 1, atol=0.12)


def test_unconstrained_parameters_need_a_prior():
    galaxies = PRIOR.draw(2, random_state=0)
    galaxies["bulge_to_total"][1] = 0.0  # a bulge without light has no shape
    with pytest.raises(ValueError, match="the image of galaxy 1 does not constrain all of its parameters"):
        cramer_rao_bound(galaxies, BAND, npix=40)
    assert np.isfinite(cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=40).std).all()


def test_a_camera_per_galaxy(monkeypatch):
    galaxies = PRIOR.draw(3, random_state=0)
    psfs, noise, scales, gains = (
        [MoffatPSF(0.5), MoffatPSF(0.9), MoffatPSF(0.5)],
        [0.05, 0.1, 0.2],
        [0.17, 0.2, 0.25],
        [9e2, 1e3, 2e3],
    )
    band = Band(psfs, np.array(noise), np.array(scales), np.array(gains))
    monkeypatch.setattr("galestim.simulation._bound.GALAXIES", 2)
    bound = cramer_rao_bound(galaxies, band, prior=PRIOR, npix=40)
    for i, camera in enumerate(zip(psfs, noise, scales, gains)):
        one = {name: values[i : i + 1] for name, values in galaxies.items()}
        alone = cramer_rao_bound(one, Band(*camera), prior=PRIOR, npix=40)
        np.testing.assert_allclose(bound.covariance[i], alone.covariance[0], rtol=1e-4)


def test_what_the_prior_knows_exactly():
    known = cramer_rao_bound(PRIOR.draw(2, random_state=0), BAND, prior=PRIOR.replace(magnitude=Uniform(20, 20)))
    assert known.std[:, 2].max() < 1e-5


def test_no_galaxies():
    nothing = {name: values[:0] for name, values in PRIOR.draw(1, random_state=0).items()}
    assert cramer_rao_bound(nothing, BAND, prior=PRIOR, npix=40).std.shape == (0, 3)


# ---- a camera that is not known exactly


def test_unknown_cameras_are_marginalized():
    """Against a Fisher matrix of 14 parameters from finite differences, of which 12 are reported."""
    galaxies = as_tensors(PRIOR.draw(2, random_state=4), dtype=torch.float64)
    sky_error, psf_error = np.array([0.1, 0.3]), 0.02
    found = cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=40, sky_error=sky_error, psf_error=psf_error)
    images, slopes = _jacobian(galaxies, BAND, 40)
    up, down = (
        render(galaxies, npix=40, pixel_scale=0.168, psf=MoffatPSF(BAND.psf.fwhm * (1 + step)))
        for step in (1e-4, -1e-4)
    )
    slopes = torch.cat([slopes, torch.ones_like(images)[None], ((up - down) / 2e-4)[None]]).flatten(2).numpy()
    weight = 1 / noise_variance(images, BAND.sky_noise, BAND.gain).flatten(1).numpy()
    for i in range(2):
        precision = [1 / max(PRIOR.variance()[name], 1e-12) for name in PARAMETERS]
        precision += [1 / (sky_error[i] * BAND.sky_noise) ** 2, 1 / psf_error**2]
        fisher = (slopes[:, i] * weight[i]) @ slopes[:, i].T + np.diag(precision)
        expected = np.linalg.inv(fisher)[:12, :12]
        std = np.sqrt(expected.diagonal())
        np.testing.assert_allclose(
            found.parameter_covariance[i] / np.outer(std, std), expected / np.outer(std, std), atol=1e-3
        )


def test_price_of_not_knowing_the_camera():
    """Ratios of rms bounds that were measured by another program, with other galaxies."""
    galaxies = PRIOR.draw(60, random_state=1)
    galaxies["flux"] = 10 ** (-0.4 * (np.linspace(21, 23, 60) - BAND.zero_point))
    known = cramer_rao_bound(galaxies, BAND, prior=PRIOR)
    for errors, price in (({"psf_error": 0.1}, (1.06, 1.57, 1.01)), ({"sky_error": np.inf}, (1.05, 1.28, 1.31))):
        unknown = cramer_rao_bound(galaxies, BAND, prior=PRIOR, **errors)
        ratio = np.sqrt((unknown.std**2).mean(axis=0) / (known.std**2).mean(axis=0))
        np.testing.assert_allclose(ratio, price, rtol=0.15)


def test_an_error_of_the_camera_is_a_number_or_one_per_galaxy():
    galaxies = PRIOR.draw(3, random_state=0)
    for errors in ({"sky_error": -0.1}, {"psf_error": [0.1, 0.2]}, {"psf_error": np.nan}):
        with pytest.raises(ValueError, match=r"expected a number or \(3,\), at least 0"):
            cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=16, **errors)


# ---- noise that is correlated, and priors of other coordinates


def test_correlated_noise_against_the_inverse_of_its_covariance():
    """Of draws of the noise themselves, and of the matrix that they have on average."""
    galaxies = PRIOR.draw(3, random_state=3)
    lengths = np.array([0.0, 1.5, 2.4])
    band = Band(MoffatPSF(0.6), sky_noise=0.05, pixel_scale=0.168, gain=100.0, correlation=lengths)
    bound = cramer_rao_bound(galaxies, band, npix=16, prior=PRIOR)
    images, slopes = _jacobian(
        as_tensors(galaxies, dtype=torch.float64), Band(band.psf, sky_noise=1.0, pixel_scale=0.168), 16
    )
    precision = np.diag([1 / PRIOR.variance()[name] for name in PARAMETERS])
    for i, length in enumerate(lengths):
        sigma = noise_variance(images[i : i + 1], 0.05, 100.0).sqrt().numpy().ravel()
        correlation = _correlation(length)
        drawn = add_noise(
            torch.zeros(20000, 16, 16), sky_noise=1.0, correlation=float(length), random_state=0
        ).flatten(1)
        np.testing.assert_allclose(drawn.T.cov(), correlation, atol=0.045)
        covariance = sigma[:, None] * correlation * sigma
        jacobian = slopes[:, i].flatten(1).numpy()
        expected = np.linalg.inv(jacobian @ np.linalg.solve(covariance, jacobian.T) + precision)
        np.testing.assert_allclose(bound.parameter_covariance[i], expected, rtol=1e-6, atol=1e-12)
        flat = images[i].numpy().ravel()
        assert bound.signal_to_noise[i] == pytest.approx(np.sqrt(flat @ np.linalg.solve(covariance, flat)))


def _correlation(length):
    """Of a 16 by 16 image: a Gaussian over a distance that is the root of two times as wide, and 1 % white."""
    if length == 0:
        return np.eye(256)
    reach = int(np.ceil(3.5 * length / 2.3548))
    position = np.arange(-reach, reach + 1)
    taps = np.exp(-0.5 * (position * 2.354820045 / length) ** 2) * (abs(position) <= 3.5 * length / 2.354820045 + 0.5)
    whole = np.correlate(taps, taps, "full") / (taps**2).sum()
    by_lag = np.r_[whole[len(whole) // 2 :], np.zeros(16)]
    axis = by_lag[abs(np.subtract.outer(np.arange(16), np.arange(16)))]
    return 0.99 * np.kron(axis, axis) + 0.01 * np.eye(256)


def test_errors_of_the_camera_are_those_of_the_band_unless_given():
    galaxies = PRIOR.draw(3, random_state=0)
    stated = replace(BAND, sky_error=np.array([0.1, 0.0, 0.3]), psf_error=0.02)
    given = cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=32, sky_error=[0.1, 0.0, 0.3], psf_error=0.02)
    np.testing.assert_array_equal(cramer_rao_bound(galaxies, stated, prior=PRIOR, npix=32).std, given.std)
    without = cramer_rao_bound(galaxies, stated, prior=PRIOR, npix=32, sky_error=0.0, psf_error=0.0)
    np.testing.assert_array_equal(without.std, cramer_rao_bound(galaxies, BAND, prior=PRIOR, npix=32).std)


def test_prior_of_the_total_radius_where_the_image_tells_nothing():
    """The bound of a galaxy without signal is the prior's own width."""
    prior = sim_v2_prior()
    galaxies = prior.draw(4, random_state=0)
    dark = Band(MoffatPSF(0.6), sky_noise=1e6, pixel_scale=0.2)
    bound = cramer_rao_bound(galaxies, dark, prior=prior, npix=16)
    np.testing.assert_allclose(bound.std[:, 1], np.log(10) / np.sqrt(12), rtol=1e-4)
    np.testing.assert_allclose(bound.std[:, 0], 1 / np.sqrt(12), rtol=1e-4)
    radii = [list(PARAMETERS).index(name) for name in ("bulge_radius", "disk_radius")]
    of_radii = bound.parameter_covariance[:, radii][:, :, radii]
    ratio = of_radii[:, 0, 0] + of_radii[:, 1, 1] - 2 * of_radii[:, 0, 1]
    np.testing.assert_allclose(ratio, np.log(10) ** 2 / 12, rtol=1e-4)
    assert (of_radii[:, 0, 1] > 0.01).all()
