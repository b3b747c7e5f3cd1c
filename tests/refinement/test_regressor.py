"""Refinement: posteriors become those of the likelihood, and the estimator is one like others."""

import pickle
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import NotFittedError

from galestim import Cutouts
from galestim.calibration import RecalibratedRegressor
from galestim.model_selection import make_pipeline
from galestim.posteriors import DrawsPosterior
from galestim.preprocessing import Normalizer
from galestim.refinement import RefinedRegressor, broad_prior
from galestim.simulation import (
    Band,
    ImagePSF,
    MoffatPSF,
    Uniform,
    cramer_rao_bound,
    half_light_radius,
    render,
    render_stars,
    sim_v1_prior,
)

BAND = Band(MoffatPSF(1.0), sky_noise=0.05, pixel_scale=0.4, gain=3000.0)
NPIX, N = 40, 6
PRIOR = sim_v1_prior().replace(magnitude=Uniform(17.5, 18.5), bulge_to_total=Uniform(0.1, 0.9))


class Broad(RegressorMixin, BaseEstimator):
    """Has learned the prior of all galaxies, and gives it to each."""

    def __init__(self, n_draws=200, unit="arcsec", names=("bulge_to_total", "half_light_radius", "flux")):
        self.n_draws = n_draws
        self.unit = unit
        self.names = names

    def fit(self, X, y):
        self.y_ = np.asarray(y)
        return self

    def predict(self, X):
        return self.predict_posterior(X).mean()

    def predict_posterior(self, X, shift=0.0):
        of = PRIOR.draw(self.n_draws, random_state=0)
        radius = half_light_radius(of) * (1000 if self.unit == "marcsec" else 1)
        draws = np.column_stack([of["bulge_to_total"] + shift, radius, of["flux"]])
        missing = np.isnan(np.asarray(X)).all(axis=(1, 2))
        draws = np.where(missing[:, None, None], np.nan, draws)
        return DrawsPosterior(draws, target_names=self.names, units=[None, self.unit, None])


@pytest.fixture(scope="module")
def truth():
    return PRIOR.draw(N, random_state=1)


@pytest.fixture(scope="module")
def images(truth):
    clean = render(truth, npix=NPIX, pixel_scale=BAND.pixel_scale, psf=BAND.psf)
    return BAND.add_noise(clean, random_state=0).numpy()


@pytest.fixture(scope="module")
def target(truth):
    return np.column_stack([truth["bulge_to_total"], half_light_radius(truth), truth["flux"]])


@pytest.fixture(scope="module")
def cutouts(images):
    camera = {"noise": BAND.sky_noise, "gain": BAND.gain, "pixel_scale": BAND.pixel_scale, "zero_point": 27.0}
    return Cutouts(images, psf=BAND.psf, **camera, sky_error=0.0, psf_error=0.0)


@pytest.fixture(scope="module")
def star():
    return render_stars(npix=61, pixel_scale=BAND.pixel_scale, psf=BAND.psf)[0].numpy()


@pytest.fixture(scope="module")
def model(images, target):
    return RefinedRegressor(Broad(), prior=PRIOR, band=BAND, n_samples=1600).fit(images, target)


@pytest.fixture(scope="module")
def refined(model, images):
    return model.refine(images)


def test_posteriors_are_those_of_the_likelihood(refined, truth, target):
    posterior, report = refined
    assert (report["status"] == "refined").sum() >= N - 1
    rows = np.flatnonzero(report["status"] == "refined")
    limit = cramer_rao_bound(truth, BAND, npix=NPIX, prior=PRIOR).std[rows]
    std = posterior.std()[rows] / np.column_stack([np.ones(N), target[:, 1:]])[rows]
    assert 0.6 < np.median(std / limit) < 1.3
    pull = ((posterior.mean() - target) / posterior.std())[rows]
    assert np.sqrt((pull**2).mean()) < 1.8  # 18 numbers of 1 ± 0.17, three of a galaxy alike
    assert posterior.target_names == ["bulge_to_total", "half_light_radius", "flux"]


def test_the_report_says_how_it_went(refined):
    report = refined.report
    assert (report["effective"] > 10).all()
    assert (report["k_hat"] < 1).all()
    np.testing.assert_allclose(report["chi2"], 1, atol=5 * np.sqrt(2 / NPIX**2))
    assert (report["signal_to_noise"] > 500).all()
    assert (report["seconds"] > 0).all()
    assert (report["noise_factor"] == 1).all()


def test_the_same_number_gives_the_same_draws(model, images, refined):
    again = model.predict_posterior(images)
    np.testing.assert_array_equal(again.draws, refined.posterior.draws)
    other = clone(model).set_params(random_state=1, estimator=FrozenEstimator(model.estimator_))
    assert (other.predict_posterior(images).draws != again.draws).any()


def test_all_parameters(model, images, truth):
    posterior = model.predict_posterior(images, parameters="all")
    assert posterior.n_targets == 13
    place = posterior.target_names.index
    for name in ("x_offset", "disk_radius", "disk_axis_ratio"):
        values, known = posterior.draws[..., place(name)], truth[name]
        inside = (values.min(1) - 0.02 < known) & (known < values.max(1) + 0.02)
        assert inside.sum() >= N - 1
    assert str(posterior.units[place("bulge_radius")]) == "arcsec"
    angle = posterior.draws[..., place("disk_position_angle")]
    assert ((angle >= 0) & (angle < 180)).all()


def test_galaxies_that_do_not_gain_are_kept(model, images):
    kept = clone(model).set_params(estimator=FrozenEstimator(model.estimator_), when=1e6)
    posterior, report = kept.refine(images)
    assert set(report["status"]) == {"kept"}
    assert np.isnan(report["effective"]).all()
    assert set(posterior.draws[0, :, 0]) <= set(model.estimator_.predict_posterior(images).draws[0, :, 0])
    assert np.isnan(kept.predict_posterior(images, parameters="all").draws).all()


def test_missing_cutouts(model, images):
    holes = images.copy()
    holes[1] = np.nan
    holes[0, 3, 4] = np.nan
    posterior, report = model.refine(holes[:2])
    assert list(report["status"]) == ["refined", "missing"]
    assert np.isfinite(posterior.draws[0]).all()
    assert np.isnan(posterior.draws[1]).all()
    assert np.isnan(posterior.mean()[1]).all()


def test_cutouts_know_their_camera(cutouts, star, refined):
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, n_samples=800)
    posterior, report = own.refine(cutouts[[2, 5]].replace(psf=star))
    assert list(report["status"]) == ["refined", "refined"]
    off = (posterior.mean() - refined.posterior.mean()[[2, 5]]) / refined.posterior.std()[[2, 5]]
    assert (abs(off) < 0.8).all()  # both know their means to 0.2σ, and a star is not quite its profile


def test_a_star_with_too_large_pixels_is_noticed(cutouts, star):
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, n_samples=800)
    with pytest.warns(UserWarning, match="do not describe 1 of 1 galaxies"):  # 2.5 pixels wide, S/N of thousands
        own.refine(cutouts[:1].replace(psf=star))


def test_masked_pixels_may_hold_anything(cutouts):
    mask = np.zeros(cutouts.shape, dtype=bool)
    mask[:, 5:9, 30:34] = True
    wild = np.where(mask, 1e6, cutouts.images)
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, n_samples=800)
    first, second = (own.predict_posterior(cutouts[:1].replace(x[:1], mask=mask[:1])) for x in (cutouts.images, wild))
    np.testing.assert_array_equal(first.draws, second.draws)


def test_what_is_not_known_of_the_camera_widens_posteriors(cutouts):
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, n_samples=800)
    few = cutouts[[0, 2]]
    exact, unsure = (own.predict_posterior(few.replace(psf_error=e)).std()[:, 1] for e in (0.0, 0.05))
    assert (unsure > 1.3 * exact).all()
    _, unsure = (own.predict_posterior(few.replace(sky_error=e)).std()[:, 2] for e in (0.0, 0.5))
    exact = own.predict_posterior(few).std()[:, 2]
    assert (unsure > 1.1 * exact).all()


def test_a_model_error_widens_posteriors(images):
    off = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, band=BAND, n_samples=800)
    plain, wide = (clone_of(off, model_error=e).refine(images[:2]) for e in (None, 0.05))
    assert (wide.posterior.std() > 1.2 * plain.posterior.std()).all()
    inferred = clone_of(off, model_error="infer").refine(images[:2]).report
    assert (inferred["noise_factor"] < 1.3).all()  # these are a bulge and a disk


def clone_of(model, **changes):
    return clone(model).set_params(estimator=FrozenEstimator(model.estimator), **changes)


def test_galaxies_that_are_no_bulge_and_disk_are_noticed(images, refined):
    row, column = np.indices((NPIX, NPIX)) - (NPIX - 1) / 2
    ring = 1.0 * np.exp(-((np.hypot(row, column) - 9) ** 2) / 2) * np.cos(2 * np.arctan2(row, column))
    model = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, band=BAND, n_samples=800)
    odd = (images[:1] + ring).astype(np.float32)
    with pytest.warns(UserWarning, match="A bulge and a disk do not describe 1 of 1 galaxies, first row 0"):
        model.refine(odd)
    wide = clone_of(model, model_error="infer").refine(odd)
    assert wide.report["noise_factor"][0] > 1.5
    assert wide.report["status"][0] == "refined"
    assert (wide.posterior.std()[0] > 1.5 * refined.posterior.std()[0]).any()


def test_neighbors_that_are_told_are_marginalized(images, cutouts, refined):
    neighbor = {"flux": [500.0], "bulge_to_total": [0.3], "x_offset": [6.0], "y_offset": [-5.0], "galaxy": [0]}
    for name, index, radius in (("bulge", 3.0, 0.5), ("disk", 1.0, 1.0)):
        neighbor |= {f"{name}_radius": [radius], f"{name}_sersic_index": [index]}
        neighbor |= {f"{name}_axis_ratio": [0.7], f"{name}_position_angle": [20.0]}
    light = render(neighbor, npix=NPIX, pixel_scale=BAND.pixel_scale, psf=BAND.psf).numpy()
    crowded = cutouts[:1].replace(images[:1] + light)
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR, n_samples=800)
    place = {name: np.array(neighbor[name]) for name in ("galaxy", "x_offset", "y_offset")}
    place["x_offset"] = place["x_offset"] + 0.2
    told = own.refine(crowded, neighbors=place)
    assert told.report["status"][0] == "refined"
    assert told.report["chi2"][0] < 1.15
    off = (told.posterior.mean() - refined.posterior.mean()[:1]) / told.posterior.std()
    assert (abs(off) < 3).all()
    assert (told.posterior.std() < 15 * refined.posterior.std()[:1]).all()
    with pytest.warns(UserWarning, match="do not describe"):
        own.refine(crowded)


def test_units_are_those_of_the_estimator(images, refined):
    small = RefinedRegressor(Broad(unit="marcsec").fit(None, []), prior=PRIOR, band=BAND, n_samples=800)
    posterior = small.predict_posterior(images)
    assert str(posterior.units[1]) == "marcsec"
    np.testing.assert_allclose(posterior.mean()[:, 1], 1000 * refined.posterior.mean()[:, 1], rtol=0.05)


def test_pipelines_and_searches(cutouts, target):
    own = RefinedRegressor(Broad(), prior=PRIOR, n_samples=800)
    inside = make_pipeline(Normalizer("scale"), own)
    search = GridSearchCV(Broad(), {"n_draws": [100]}, cv=KFold(2))
    around = RefinedRegressor(make_pipeline(Normalizer("scale"), search), prior=PRIOR, n_samples=800)
    for model in (inside, around):
        posterior = model.fit(cutouts, target).predict_posterior(cutouts[:1])
        assert posterior.draws.shape == (1, 800, 3)


def test_behind_recalibration(images, target):
    recalibrated = RecalibratedRegressor(Broad().fit(None, []), cv="prefit")
    many = np.repeat(images, 2, axis=0)
    recalibrated.fit(many, np.repeat(target, 2, axis=0))
    model = RefinedRegressor(recalibrated, prior=PRIOR, band=BAND, n_samples=800)
    assert model.refine(images[:1]).report["status"][0] == "refined"


def test_the_estimator_is_cloned_fitted_and_pickled(model, images, target, refined):
    assert clone(model).get_params()["n_samples"] == 1600
    with pytest.raises(NotFittedError):
        clone(RefinedRegressor(Unfitted())).predict(images)
    assert model.estimator is not model.estimator_
    before = model.get_params(deep=False)
    loaded = pickle.loads(pickle.dumps(model))
    assert model.get_params(deep=False) == before
    np.testing.assert_array_equal(loaded.predict(images[:1]), model.predict(images[:1]))
    assert model.predict(images[:1]).shape == (1, 3)


class Unfitted(Broad):
    def __sklearn_is_fitted__(self):
        return hasattr(self, "y_")


def test_keywords_reach_the_estimator(model, images):
    kept = clone_of_fitted(model, when=1e6)
    shifted = kept.predict_posterior(images[:1], shift=5.0)
    assert shifted.draws[..., 0].min() > 5


def clone_of_fitted(model, **changes):
    return clone(model).set_params(estimator=FrozenEstimator(model.estimator_), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_samples": 10}, "The 'n_samples' parameter"),
        ({"when": "often"}, "The 'when' parameter"),
        ({"model_error": "big"}, "The 'model_error' parameter"),
        ({"prior": 3}, "The 'prior' parameter"),
        ({"estimator": 3}, "The 'estimator' parameter"),
    ],
)
def test_wrong_parameters(images, target, changes, message):
    with pytest.raises(InvalidParameterError, match=message):
        RefinedRegressor(Broad()).set_params(**changes).fit(images, target)


def test_wrong_images(cutouts, images, model):
    own = RefinedRegressor(Broad().fit(None, []), prior=PRIOR)
    sentence = "X is ndarray without a camera; expected Cutouts(images, psf=…, noise=…), or arrays with band=Band(…)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        own.predict(images)
    with pytest.raises(ValueError, match="X does not know its psf;"):
        own.predict(cutouts.replace(psf=None))
    with pytest.raises(ValueError, match="stretched, no longer linear"):
        own.predict(cutouts.replace(stretched=True))
    with pytest.raises(ValueError, match="X has 2 channels; expected images of one band"):
        own.predict(Cutouts(np.stack([images, images], -1), psf=np.ones((3, 3)) / 9, noise=0.1))
    with pytest.raises(ValueError, match="noise is 0 or less"):
        own.predict(cutouts.replace(noise=0.0))
    with pytest.raises(ValueError, match="the estimator predicts color; expected parameters of bulge and disk"):
        RefinedRegressor(Broad(names=("bulge_to_total", "color", "flux")).fit(None, []), band=BAND).predict(images)
    with pytest.raises(ValueError, match="parameters='some'; expected 'targets' or 'all'"):
        model.predict_posterior(images, parameters="some")


def test_stamps_that_are_equal_are_one_object(cutouts, star):
    from galestim.refinement._observed import observed

    each = np.repeat(star[None], N, axis=0)
    psfs = observed(cutouts.replace(psf=each), None).psf
    assert isinstance(psfs[0], ImagePSF)
    assert len(set(map(id, psfs))) == 1


def test_a_broad_prior_has_room_for_all_cameras():
    prior = broad_prior([0.1, 0.4], npix=64)
    assert prior.priors["half_light_radius"].low == pytest.approx(0.02)
    assert prior.priors["half_light_radius"].high == pytest.approx(12.8)
