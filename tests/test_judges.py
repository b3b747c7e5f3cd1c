"""The fits and the photometry that real galaxies are judged by, on simulated ones."""

from pathlib import Path

import numpy as np
import pytest

galsim = pytest.importorskip("galsim")
pytest.importorskip("photutils")

PSF = galsim.Moffat(beta=3, fwhm=3.2).shear(g1=0.03)
GAIN = 5.0


@pytest.fixture
def judges(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    import _bulge_disk_fit
    import _curve_of_growth

    return _bulge_disk_fit, _curve_of_growth


def stamp(psf):
    return psf.drawImage(nx=41, ny=41, scale=1).array.astype(float)


def observed(profile, seed, npix=61):
    light = galsim.Convolve(profile.shift(0.3, -0.2), PSF).drawImage(nx=npix, ny=npix, scale=1).array.astype(float)
    sigma = np.sqrt(1 + light / GAIN)
    return light + sigma * np.random.default_rng(seed).normal(size=light.shape)


def test_bulge_and_disk_are_recovered(judges):
    fit, _ = judges
    bulge = galsim.Sersic(n=3, half_light_radius=1.5).shear(g1=0.05)
    disk = galsim.Exponential(half_light_radius=5).shear(g1=-0.2, g2=0.1)
    image = observed(2e5 * (0.3 * bulge + 0.7 * disk), seed=1)
    mask = np.zeros(image.shape, dtype=bool)
    mask[5:12, 40:50] = True
    image[mask] = 1e6  # masked pixels do not matter
    found = fit.fit(image, stamp(PSF), 1.0, mask, gain=GAIN)
    radius = fit.half_light_radius([0.3, 0.7], [1.5, 5.0], [3.0, 1.0])
    assert found["flux"] == pytest.approx(2e5, abs=4 * found["flux_error"])
    assert found["flux_error"] < 1000
    assert found["half_light_radius"] == pytest.approx(radius, abs=4 * found["radius_error"])
    assert found["bulge_to_total"] == pytest.approx(0.3, abs=4 * found["bulge_to_total_error"])
    assert found["chi2"] / found["dof"] == pytest.approx(1, abs=0.1)
    assert (found["x_offset"], found["y_offset"]) == pytest.approx((0.3, -0.2), abs=0.02)


def test_one_sersic_profile_is_recovered(judges):
    fit, _ = judges
    image = observed(galsim.Sersic(n=2.5, half_light_radius=3, flux=3e4).shear(g1=0.2), seed=2)
    found = fit.fit(image, stamp(PSF), 1.0, gain=GAIN, single=True)
    assert found["flux"] == pytest.approx(3e4, rel=0.03)
    assert found["half_light_radius"] == pytest.approx(3, rel=0.03)  # circularized: shear keeps the area
    assert found["sersic_index"] == pytest.approx(2.5, rel=0.1)
    assert found["axis_ratio"] == pytest.approx(0.8 / 1.2, rel=0.03)


def test_half_light_radius_of_one_component(judges):
    fit, _ = judges
    assert fit.half_light_radius([1.0, 0.0], [2.0, 9.0], [4.0, 1.0]) == pytest.approx(2.0)
    assert fit.half_light_radius([1.0, 1.0], [2.0, 2.0], [1.0, 4.0]) == pytest.approx(2.0)


def test_curve_of_growth(judges):
    _, growth = judges
    gaussian = galsim.Gaussian(half_light_radius=4, flux=1e5)
    psf = galsim.Gaussian(half_light_radius=1.5)
    light = galsim.Convolve(gaussian, psf).drawImage(nx=61, ny=61, scale=1).array
    image = light + 7 + np.random.default_rng(3).normal(size=light.shape)
    mask = np.zeros(image.shape, dtype=bool)
    mask[26:32, 36:44] = True
    image[mask] = 1e6
    found = growth.curve_of_growth(image, stamp(psf), 1.0, mask)
    assert found["flux"] == pytest.approx(1e5, rel=0.01)
    assert found["background"] == pytest.approx(7, abs=0.2)
    assert found["half_light_radius_seen"] == pytest.approx(np.hypot(4, 1.5), rel=0.03)
    assert found["half_light_radius"] == pytest.approx(4, rel=0.03)  # exact for Gaussians
    assert found["flags"] == ""
