import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator

from galestim import Cutouts
from galestim.displays import ResidualDisplay
from galestim.posteriors import DrawsPosterior
from galestim.refinement import RefinedRegressor, residuals
from galestim.simulation import Band, MoffatPSF, Uniform, half_light_radius, render, sim_v1_prior

BAND = Band(MoffatPSF(1.0), sky_noise=0.05, pixel_scale=0.4, gain=3000.0)
PRIOR = sim_v1_prior().replace(magnitude=Uniform(18, 18.5), bulge_to_total=Uniform(0.3, 0.7))
NPIX = 40


class Broad(BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.predict_posterior(X).mean()

    def predict_posterior(self, X):
        of = PRIOR.draw(100, random_state=0)
        draws = np.column_stack([of["bulge_to_total"], half_light_radius(of)])
        names = ["bulge_to_total", "half_light_radius"]
        return DrawsPosterior(np.repeat(draws[None], len(X), axis=0), target_names=names)


@pytest.fixture(scope="module")
def galaxies():
    return PRIOR.draw(3, random_state=5)


@pytest.fixture(scope="module")
def images(galaxies):
    clean = render(galaxies, npix=NPIX, pixel_scale=BAND.pixel_scale, psf=BAND.psf)
    return BAND.add_noise(clean, random_state=0).numpy()


def test_the_truth_leaves_noise(images, galaxies):
    found = residuals(images, galaxies, band=BAND)
    np.testing.assert_allclose(found.chi2, 1, atol=4 * np.sqrt(2 / NPIX**2))
    assert abs(found.residual.mean()) < 0.1
    np.testing.assert_allclose(found.image, images)


def test_a_level_of_the_sky_is_fitted_as_far_as_its_error_allows(images, galaxies):
    high = images + 0.05
    camera = {"psf": BAND.psf, "noise": 0.05, "gain": 3000.0, "pixel_scale": 0.4}
    free, fixed = (residuals(Cutouts(high, **camera, sky_error=e), galaxies).chi2 for e in (10.0, 0.0))
    assert (free < 1.2).all()
    assert (fixed > 1.5).all()


def test_from_parameters(images, galaxies):
    display = ResidualDisplay.from_parameters(images, galaxies, band=BAND, row=2)
    assert display.image.shape == display.model.shape == display.residual.shape == (NPIX, NPIX)
    assert display.parameters["flux"] == galaxies["flux"][2]
    assert [ax.get_title() for ax in display.axes_[:2]] == ["image", "model"]
    assert f"{display.chi2:.2f}" in display.axes_[2].get_title()
    assert display.images_[2].get_clim() == (-5, 5)
    _, axes = plt.subplots(1, 3)
    assert display.plot(axes, limit=3).images_[2].get_clim() == (-3, 3)


def test_bad_pixels_and_rectangles(images, galaxies):
    mask = np.zeros((3, 30, NPIX), dtype=bool)
    mask[:, 3, 4] = True
    camera = {"psf": BAND.psf, "noise": 0.05, "gain": 3000.0, "pixel_scale": 0.4}
    display = ResidualDisplay.from_parameters(Cutouts(images[:, 5:35], mask=mask, **camera), galaxies)
    assert display.image.shape == (30, NPIX)
    assert np.isnan(display.image[3, 4])
    assert np.isnan(display.residual[3, 4])
    assert np.isfinite(display.model).all()


def test_from_estimator(images):
    model = RefinedRegressor(Broad(), prior=PRIOR, band=BAND, n_samples=800, when=1e9).fit(images, np.ones((3, 2)))
    display = ResidualDisplay.from_estimator(model, images, row=1)
    assert display.chi2 < 1.2
    np.testing.assert_allclose(display.image, images[1])
    assert model.when == 1e9


def test_wrong_input(images, galaxies):
    with pytest.raises(ValueError, match="Broad has no refine"):
        ResidualDisplay.from_estimator(Broad(), images)
    with pytest.raises(ValueError, match="row"):
        ResidualDisplay.from_parameters(images, galaxies, band=BAND, row=3)
    with pytest.raises(ValueError, match="limit=0; expected a positive number"):
        ResidualDisplay.from_parameters(images, galaxies, band=BAND, limit=0)
    with pytest.raises(ValueError, match="axes holds 2 Axes; expected three"):
        ResidualDisplay.from_parameters(images, galaxies, band=BAND, axes=plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="row 0 of X is a missing cutout"):
        residuals(np.full_like(images, np.nan), galaxies, band=BAND)
    with pytest.raises(ValueError, match="parameters lack flux"):
        residuals(images, {name: v for name, v in galaxies.items() if name != "flux"}, band=BAND)
