import numpy as np
import pytest
import torch
from scipy.stats import kstest

from galestim.simulation import (
    AiryPSF,
    CameraPrior,
    DoubleMoffatPSF,
    GaussianPSF,
    ImagePSF,
    LogUniform,
    MoffatPSF,
    Near,
    Uniform,
    cramer_rao_bound,
    render,
    render_stars,
    sim_v2_cameras,
    sim_v2_prior,
)
from galestim.simulation._psf import Widened

STAR = ImagePSF(render_stars(npix=41, pixel_scale=1.0, psf=MoffatPSF(4.0, ellipticity=0.1))[0].numpy(), 1.0)
PLAIN = {"fwhm": 3.0, "pixel_scale": 0.2, "sky_noise": 0.1}


def cameras(**entries):
    return CameraPrior(**{**PLAIN, **entries})


def seen(n=4000, **entries):
    """Galaxies, and cameras given as what is seen of these."""
    galaxies = sim_v2_prior().draw(n, random_state=0)
    relative = {"relative_radius": LogUniform(0.25, 3.0), "signal_to_noise": LogUniform(10.0, 3000.0)}
    prior = CameraPrior(**{"fwhm": LogUniform(1.8, 8.0), **relative, **entries})
    return galaxies, prior.draw(n, random_state=0, galaxies=galaxies)


def pixels(band):
    return np.array([psf.fwhm for psf in band.psf]) / band.pixel_scale


def is_uniform(values, low, high):
    return kstest((values - low) / (high - low), "uniform").pvalue > 0.001


def test_entries_have_their_priors():
    prior = cameras(
        fwhm=LogUniform(1.8, 8.0),
        beta=Uniform(2.0, 5.0),
        ellipticity=Uniform(0.0, 0.1),
        pixel_scale=Uniform(0.1, 0.3),
        sky_noise=LogUniform(0.1, 10.0),
        gain=Uniform(1.0, 9.0),
        psf_error=Uniform(0.01, 0.05),
    )
    band = prior.draw(2000, random_state=0)
    assert is_uniform(np.log(pixels(band)), np.log(1.8), np.log(8))
    assert is_uniform(np.array([psf.beta for psf in band.psf]), 2, 5)
    assert is_uniform(np.array([psf.ellipticity for psf in band.psf]), 0, 0.1)
    assert is_uniform(np.array([psf.position_angle for psf in band.psf]), 0, 180)
    assert is_uniform(band.pixel_scale, 0.1, 0.3)
    assert is_uniform(np.log(band.sky_noise), np.log(0.1), np.log(10))
    assert is_uniform(band.gain, 1, 9)
    assert is_uniform(band.psf_error, 0.01, 0.05)
    assert (band.sky_error == 0.1).all()
    assert band.correlation is None


def test_no_two_entries_are_drawn_alike():
    prior = cameras(fwhm=Uniform(1.0, 2.0), pixel_scale=Uniform(1.0, 2.0), sky_noise=Uniform(1.0, 2.0))
    band = prior.draw(2000, random_state=0)
    galaxies = sim_v2_prior().draw(2000, random_state=0)
    drawn = [pixels(band), band.pixel_scale, band.sky_noise, galaxies["bulge_to_total"], galaxies["magnitude"]]
    assert abs(np.corrcoef(drawn)[np.triu_indices(5, 1)]).max() < 0.1


def test_profiles_have_their_shares():
    prior = cameras(gaussian_share=0.2, double_share=0.3, stamps=[STAR], stamp_share=0.1, airy_share=0.15)
    psfs = prior.draw(4000, random_state=0).psf
    counts = [
        sum(isinstance(psf, kind) for psf in psfs)
        for kind in (GaussianPSF, DoubleMoffatPSF, Widened, AiryPSF, MoffatPSF)
    ]
    error = 4 * np.sqrt(4000 * 0.25)
    np.testing.assert_allclose(counts, [800, 1200, 400, 600, 1000], atol=error)


def test_entries_stay_as_they_were_when_others_change():
    few, more = (cameras(airy_share=share, beta=Uniform(2.0, 5.0)).draw(200, random_state=0) for share in (0.0, 0.5))
    kept = [(a.beta, b.beta) for a, b in zip(few.psf, more.psf) if isinstance(b, MoffatPSF)]
    assert 50 < len(kept) < 150
    assert all(a == b for a, b in kept)


def test_measured_stars_have_the_width_that_is_drawn_and_are_turned():
    band = cameras(stamps=[STAR], stamp_share=1.0, fwhm=5.0).draw(50, random_state=0)
    stars = render_stars(npix=41, pixel_scale=0.2, psf=band.psf).double()
    widths = [ImagePSF(star.numpy(), 1.0).fwhm for star in stars]
    np.testing.assert_allclose(widths, 5.0, rtol=0.02)
    assert len({psf.psf for psf in band.psf}) == 8
    y, x = np.indices((41, 41)) - 20
    moments = (stars.numpy() * (x**2 - y**2)).sum((1, 2))
    assert moments.min() < 0 < moments.max()


def test_scale_follows_the_galaxy():
    galaxies, band = seen()
    relative = galaxies["half_light_radius"] / band.pixel_scale / pixels(band)
    assert is_uniform(np.log(relative), np.log(0.25), np.log(3))
    assert is_uniform(np.log(pixels(band)), np.log(1.8), np.log(8))


def test_limit_of_the_radius_is_that_of_the_joint_prior():
    """As of pairs that are thrown away where the radius is larger."""
    galaxies, band = seen(max_radius=12.0)
    radius, width = galaxies["half_light_radius"] / band.pixel_scale, pixels(band)
    assert radius.max() <= 12
    rng = np.random.default_rng(0)
    widths, ratios = (np.exp(rng.uniform(np.log(low), np.log(high), 40000)) for low, high in ((1.8, 8), (0.25, 3)))
    inside = widths * ratios <= 12
    assert kstest(width, widths[inside]).pvalue > 0.001
    assert kstest(radius, (widths * ratios)[inside]).pvalue > 0.001


def test_signal_to_noise_is_that_of_the_image():
    galaxies = sim_v2_prior().draw(40, random_state=1)
    for name in ("bulge_axis_ratio", "disk_axis_ratio"):
        galaxies[name] = np.ones(40)
    prior = sim_v2_cameras().replace(ellipticity=0.0, signal_to_noise=77.0)
    band = prior.draw(40, random_state=0, galaxies=galaxies)
    images = render(galaxies, npix=128, pixel_scale=band.pixel_scale, psf=band.psf).double().numpy()
    np.testing.assert_allclose(np.sqrt((images**2).sum((1, 2))) / band.sky_noise, 77.0, rtol=0.02)


def test_photons_make_their_share_of_the_variance_in_the_center():
    galaxies = sim_v2_prior().draw(40, random_state=1)
    for name, value in (("bulge_axis_ratio", 1), ("disk_axis_ratio", 1), ("x_offset", 0), ("y_offset", 0)):
        galaxies[name] = np.full(40, float(value))
    band = sim_v2_cameras().replace(ellipticity=0.0, photon_share=0.6).draw(40, random_state=0, galaxies=galaxies)
    images = render(galaxies, npix=65, pixel_scale=band.pixel_scale, psf=band.psf).double().numpy()
    photons = images[:, 32, 32] / band.gain
    np.testing.assert_allclose(photons / (photons + band.sky_noise**2), 0.6, atol=0.01)


def test_noise_is_correlated_over_less_than_a_star():
    band = cameras(fwhm=Uniform(2.0, 8.0), correlation_length=Uniform(1.0, 4.0), correlated_share=0.5)
    band = band.draw(4000, random_state=0)
    correlated = band.correlation > 0
    assert correlated.mean() == pytest.approx(0.5, abs=0.04)
    assert (band.correlation <= 0.8 * pixels(band)).all()
    wide = correlated & (pixels(band) > 5)
    assert is_uniform(band.correlation[wide], 1, 4)
    assert not cameras(fwhm=1.0, correlation_length=3.0).draw(5, random_state=0).correlation.any()


def test_random_state():
    galaxies = sim_v2_prior().draw(20, random_state=0)
    first, again, other = (sim_v2_cameras().draw(20, random_state=s, galaxies=galaxies) for s in (0, 0, 1))
    assert first.psf == again.psf
    np.testing.assert_array_equal(first.sky_noise, again.sky_noise)
    assert not np.isin(first.sky_noise, other.sky_noise).any()
    wider = sim_v2_cameras().replace(photon_share=0.5).draw(20, random_state=0, galaxies=galaxies)
    assert wider.psf == first.psf  # others stay


def test_rows_of_cameras_are_replaced():
    prior = cameras(sky_noise=Uniform(1.0, 2.0), gain=5.0, correlation_length=Uniform(1.0, 2.0))
    first, second = prior.draw(5, random_state=0), prior.draw(2, random_state=1)
    both = first.with_rows(np.array([1, 3]), second)
    np.testing.assert_array_equal(both.sky_noise[[0, 1, 3]], [first.sky_noise[0], *second.sky_noise])
    np.testing.assert_array_equal(both.correlation[[2, 3]], [first.correlation[2], second.correlation[1]])
    assert both.psf == [first.psf[0], second.psf[0], first.psf[2], second.psf[1], first.psf[4]]
    assert both.of_rows([3]).psf == [second.psf[1]]


def test_prior_of_galaxies_whose_camera_is_known():
    """Flux as wide as the ratio to the noise; a radius up to 12 pixels."""
    galaxies = sim_v2_prior().draw(2, random_state=0)
    cameras, prior = sim_v2_cameras(), sim_v2_prior()
    band = cameras.draw(2, random_state=0, galaxies=galaxies)
    known = cameras.given(band, prior)
    assert known.variance["flux"] == pytest.approx(np.log(300) ** 2 / 12)
    largest = np.minimum(3, 12 / pixels(band))
    np.testing.assert_allclose(known.variance["half_light_radius"], np.log(largest / 0.25) ** 2 / 12)
    bound = cramer_rao_bound(galaxies, band, prior=known, npix=48)
    assert (bound.std[:, 1] ** 2 < known.variance["half_light_radius"]).all()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"signal_to_noise": 10.0}, "sky_noise and signal_to_noise given; expected sky_noise or signal_to_noise"),
        ({"pixel_scale": None}, r"neither given; expected pixel_scale or relative_radius, one"),
        ({"gain": 1.0, "photon_share": 0.5}, "gain and photon_share given"),
        ({"max_radius": 12.0}, "max_radius is that of relative_radius, which is not given"),
        ({"fwhm": -1.0}, r"fwhm=-1\.0; expected positive"),
        ({"fwhm": "wide"}, r"fwhm='wide'; expected a prior, such as Uniform\(…\), or a number"),
        ({"fwhm": Near("beta", 1.0)}, "expected a prior, such as Uniform"),
        ({"beta": Uniform(0.5, 3.0)}, r"beta=Uniform\(low=0.5, high=3.0\); expected more than 1"),
        ({"photon_share": 1.0}, "photon_share=1.0; expected from 0 to below 1"),
        ({"gaussian_share": 0.7, "double_share": 0.7}, "expected 0 to 1, and a sum of at most 1"),
        ({"gaussian_share": 1.7}, "gaussian_share is no share"),
        ({"stamp_share": 0.2}, "stamps has 0 entries with stamp_share=0.2"),
        ({"stamp_npix": 64}, "stamp_npix=64; expected a positive odd number"),
        ({"random_mask": 1.5}, "random_mask=1.5; expected from 0 to below 1"),
    ],
)
def test_what_is_no_camera(entries, message):
    with pytest.raises(ValueError, match=message):
        cameras(**entries)


def test_galaxies_that_are_needed():
    with pytest.raises(ValueError, match=r"expected draw\(n, random_state, galaxies\)"):
        sim_v2_cameras().draw(3, random_state=0)
    with pytest.raises(ValueError, match=r"max_radius=0\.1 leaves next to no pair"):
        seen(5, max_radius=0.1)


def test_sim_v2_is_as_published():
    """Marginals that no condition touches; radii of at most 12 pixels."""
    prior, n = sim_v2_prior(), 2000
    galaxies = prior.draw(n, random_state=0)
    band = sim_v2_cameras().draw(n, random_state=0, galaxies=galaxies)
    assert is_uniform(galaxies["bulge_to_total"], 0, 1)
    assert is_uniform(galaxies["bulge_sersic_index"], 0.5, 6)
    assert is_uniform(galaxies["disk_sersic_index"], 0.7, 1.3)
    assert is_uniform(np.log(galaxies["bulge_radius"] / galaxies["disk_radius"]), np.log(0.15), np.log(1.5))
    assert (galaxies["half_light_radius"] / band.pixel_scale).max() <= 12
    share = np.mean([isinstance(psf, GaussianPSF) for psf in band.psf])
    assert share == pytest.approx(0.2, abs=0.04)
    assert sum(isinstance(psf, DoubleMoffatPSF) for psf in band.psf) == pytest.approx(400, abs=80)
    measured = sim_v2_cameras([STAR]).draw(200, random_state=0, galaxies={k: v[:200] for k, v in galaxies.items()})
    assert sum(isinstance(psf, Widened) for psf in measured.psf) == pytest.approx(40, abs=24)


def test_images_need_no_more_than_what_is_drawn():
    galaxies = sim_v2_prior().draw(3, random_state=0)
    band = sim_v2_cameras([STAR]).replace(stamp_share=0.8, gaussian_share=0.0).draw(3, 0, galaxies)
    images = render(galaxies, npix=64, pixel_scale=band.pixel_scale, psf=band.psf)
    assert torch.isfinite(images).all()
    assert (images.sum((1, 2)).numpy() < 1.01 * galaxies["flux"]).all()
