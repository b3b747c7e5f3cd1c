import numpy as np
import pytest
from astropy.table import Table

from galestim import HarmonicNet, PosteriorRegressor, trust_report
from galestim.calibration import RecalibratedRegressor
from galestim.datasets import SimulatedGalaxies
from galestim.simulation import CameraPrior, LogUniform, sim_v2_prior
from galestim.trust import NoveltyDetector

CAMERAS = CameraPrior(
    fwhm=LogUniform(2.0, 4.0), relative_radius=LogUniform(0.4, 1.5), signal_to_noise=LogUniform(80.0, 800.0)
)


def named(galaxies, rows):
    return Table(galaxies.target[rows], names=galaxies.target_names)


@pytest.fixture(scope="module")
def galaxies():
    return SimulatedGalaxies(420, npix=40, band=CAMERAS, prior=sim_v2_prior(), random_state=0)


@pytest.fixture(scope="module")
def model(galaxies):
    net = HarmonicNet(hidden=16, blocks=1)
    model = PosteriorRegressor(net, target_transforms=["logit", "log", "log"], max_epochs=3, random_state=0)
    return model.fit(galaxies[:300], named(galaxies, slice(300)))


@pytest.fixture(scope="module")
def cutouts(galaxies):
    """Some of them masked in places, and one that is missing."""
    X = galaxies[300:]
    mask = np.random.default_rng(0).random(X.shape) < 0.02
    mask[7] = True
    return X.replace(mask=mask)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: RecalibratedRegressor(model, cv="prefit")])
def test_a_report_asks_the_estimator_for_its_domain(model, wrap, cutouts, galaxies):
    estimator = wrap(model)
    if estimator is not model:
        estimator.fit(galaxies[:300], named(galaxies, slice(300)))
    y = galaxies.target[300:]
    report = trust_report(estimator, cutouts, y, max_galaxies=30, n_angles=4, random_state=0)
    assert report.n_missing == 1
    assert (report.novelty["row"] != 7).all()
    np.testing.assert_array_equal(report.novelty["flagged"], ~model.in_domain(cutouts[report.novelty["row"]]))
    np.testing.assert_allclose(
        report.novelty["decision"], 1 - model.domain(cutouts[report.novelty["row"]])["score"], atol=1e-6
    )
    flips = report.stability[report.stability["change"] == "flips and quarter turns"]
    assert len(flips) == 3
    neighbor = report.shifts[report.shifts["variant"] == "a neighbor"]
    assert neighbor["flagged"][0] > 0.8


def test_flips_turn_the_star_with_the_galaxy(model, cutouts, galaxies):
    elongated = cutouts.psf * np.linspace(0.5, 1.5, cutouts.psf.shape[1])[:, None]
    elongated /= elongated.sum(axis=(1, 2), keepdims=True)
    turned = cutouts.replace(psf=elongated)
    report = trust_report(model, turned, galaxies.target[300:], max_galaxies=20, n_angles=1, random_state=0)
    flips = report.stability[report.stability["change"] == "flips and quarter turns"]
    assert (flips["largest_in_sigma"] < 0.01).all()


def test_a_detector_takes_cutouts_in_units_of_their_noise(galaxies, cutouts):
    detector = NoveltyDetector(random_state=0).fit(galaxies[:300])
    assert np.isnan(detector.score_samples(cutouts)).nonzero()[0].tolist() == [7]
    assert (detector.predict(cutouts) == -1).mean() < 0.1
    unit = cutouts.replace(1e3 * cutouts.images, noise=1e3 * cutouts.noise)
    np.testing.assert_allclose(detector.score_samples(unit), detector.score_samples(cutouts), rtol=1e-3, atol=1e-3)
    hidden = cutouts.replace(np.where(cutouts.mask, 1e9, cutouts.images))
    np.testing.assert_array_equal(detector.score_samples(hidden), detector.score_samples(cutouts))
    assert (detector.predict(cutouts.replace(noise=2 * cutouts.noise)) == -1).mean() > 0.95


def test_a_reference_takes_the_place_of_the_domain(model, cutouts, galaxies):
    report = trust_report(
        model, cutouts, galaxies.target[300:], reference=galaxies[:300], max_galaxies=20, n_angles=1, random_state=0
    )
    decision = NoveltyDetector(random_state=report.judged.random_state).fit(galaxies[:300]).decision_function(cutouts)
    np.testing.assert_allclose(report.novelty["decision"], decision[report.novelty["row"]], rtol=0.05, atol=0.05)
