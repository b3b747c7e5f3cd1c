"""A recalibrated estimator is one like others: folds, weights, metadata, searches, and errors that say what to do."""

import pickle

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import spearmanr
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RepeatedKFold, ShuffleSplit, cross_validate
from sklearn.utils import check_array
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import NotFittedError

from galestim.calibration import coverage
from galestim.calibration._recalibrate import RecalibratedRegressor
from galestim.model_selection import PosteriorScorer, make_pipeline, posterior_scorers
from galestim.posteriors import MixturePosterior

from ._claim import METHODS, Claim, galaxies

# ---- who is held out


class Overfit(LinearRegression):
    """Its widths are its residuals on the galaxies it was fitted to, which it knows by heart."""

    def fit(self, X, y):
        super().fit(X, y)
        self.std_ = np.std(y - self.predict(X))
        return self

    def predict_posterior(self, X):
        mean = self.predict(X)[:, None, None]
        return MixturePosterior(mean, np.full((*mean.shape, 1), self.std_))


@pytest.fixture(scope="module")
def few():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1300, 60))
    return X[:300], X[:300, 0] + rng.normal(size=300), X[300:], X[300:, 0] + rng.normal(size=1000)


def test_folds_see_what_training_rows_hide(few):
    X, y, new_X, new_y = few
    fitted = Overfit().fit(X, y)
    rates = [
        coverage(model.predict_posterior(new_X), new_y, [0.9]).coverage.item()
        for model in (
            fitted,
            RecalibratedRegressor(fitted, cv="prefit").fit(X, y),
            RecalibratedRegressor(Overfit(), random_state=0).fit(X, y),
            RecalibratedRegressor(Overfit(), cv=ShuffleSplit(1, test_size=0.3, random_state=0)).fit(X, y),
        )
    ]
    assert max(rates[:2]) < 0.85
    assert min(rates[2:]) > 0.87


def test_of_several_splits_the_estimator_sees_all_rows_and_of_one_its_own(few):
    X, y, *_ = few
    several = RecalibratedRegressor(Overfit(), cv=3).fit(X, y)
    np.testing.assert_array_equal(several.estimator_.coef_, Overfit().fit(X, y).coef_)
    assert several.n_held_out_ == 300
    train, test = np.arange(200), np.arange(200, 290)
    one = RecalibratedRegressor(Overfit(), cv=[(train, test)]).fit(X, y)
    np.testing.assert_array_equal(one.estimator_.coef_, Overfit().fit(X[train], y[train]).coef_)
    assert one.n_held_out_ == 90
    prefit = RecalibratedRegressor(one.estimator_, cv="prefit").fit(X[test], y[test])
    np.testing.assert_array_equal(one.curves_, prefit.curves_)


def test_an_int_makes_shuffled_folds(few):
    X, y, *_ = few
    curves = RecalibratedRegressor(Overfit(), cv=4, random_state=3).fit(X, y).curves_
    folds = KFold(4, shuffle=True, random_state=3)
    with parallel_config(backend="threading"):
        parallel = RecalibratedRegressor(Overfit(), cv=folds, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(parallel.curves_, curves)


def test_frozen_estimators_stay_as_they_are(few):
    X, y, *_ = few
    fitted = Overfit().fit(X[:150], y[:150])
    coef = fitted.coef_.copy()
    frozen = RecalibratedRegressor(FrozenEstimator(fitted)).fit(X[150:], y[150:])
    prefit = RecalibratedRegressor(fitted, cv="prefit").fit(X[150:], y[150:])
    np.testing.assert_array_equal(frozen.curves_, prefit.curves_)
    np.testing.assert_array_equal(fitted.coef_, coef)
    assert frozen.n_held_out_ == 150
    assert clone(frozen).fit(X[150:], y[150:]).predict(X).shape == (300,)


# ---- weights and metadata


@pytest.mark.parametrize("method", METHODS)
def test_galaxies_of_no_weight_count_nothing(method):
    X, y = galaxies(400, 0)
    weight = np.tile([3.0, 0.0], 200)
    spoilt = np.where(weight[:, None] > 0, y, 1e3)
    model = RecalibratedRegressor(Claim(width=0.5), method=method, cv="prefit")
    expected = clone(model).fit(X[::2], y[::2]).curves_
    np.testing.assert_array_equal(model.fit(X, spoilt, sample_weight=weight).curves_, expected)


@pytest.mark.parametrize("method", METHODS)
def test_weights_say_what_galaxies_to_be_right_for(method):
    # Of the galaxies at hand few are biased; among those to come they are as many as the others.
    X, y = galaxies(4000, 0)
    biased = np.arange(4000) % 5 == 0
    y[biased] += 2.0
    weight = np.where(biased, 4.0, 1.0)
    model = RecalibratedRegressor(Claim(), method=method, cv="prefit")
    weighted = clone(model).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(4000), weight.astype(int))
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:2000]]
    for fitted, off in ((weighted, 0.0), (model.fit(X, y), 0.2)):
        cdf = fitted.predict_posterior(X[rows], n_samples=200).cdf(y[rows])
        assert np.mean(cdf > 0.7) == pytest.approx(0.3 + off, abs=0.05)


def test_what_the_estimator_is_given():
    X, y = galaxies(60, 0)
    rows = np.arange(60.0)
    model = RecalibratedRegressor(Claim(), cv=[(np.arange(40), np.arange(40, 60))])
    model.fit(X, y, sample_weight=rows + 1, seen=rows)
    np.testing.assert_array_equal(model.estimator_.sample_weight_, rows[:40] + 1)
    np.testing.assert_array_equal(model.estimator_.seen_, rows[:40])
    with pytest.warns(UserWarning, match=r"^Overfit\.fit takes no sample_weight, so weights are used for the recali"):
        RecalibratedRegressor(Overfit()).fit(X, y[:, 0], sample_weight=rows + 1)


def test_metadata_is_routed():
    X, y = galaxies(60, 0)
    groups = np.repeat(np.arange(6), 10)
    with config_context(enable_metadata_routing=True):
        claim = Claim().set_fit_request(sample_weight=True, seen=True)
        model = RecalibratedRegressor(claim, cv=GroupKFold(3)).fit(
            X, y, sample_weight=groups + 1.0, seen=groups, groups=groups
        )
    np.testing.assert_array_equal(model.estimator_.sample_weight_, groups + 1)
    np.testing.assert_array_equal(model.estimator_.seen_, groups)


# ---- an estimator like others


class Ridge(BayesianRidge):
    def predict_posterior(self, X):
        mean, std = self.predict(check_array(X, dtype=float), return_std=True)
        return MixturePosterior(mean[:, None, None], std[:, None, None, None])


def test_passes_every_check_of_scikit_learn():
    results = check_estimator(RecalibratedRegressor(Ridge()), on_fail=None, on_skip=None)
    failed = [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"]
    assert len(results) > 50
    assert failed == []


def test_predictions_are_those_of_the_posterior(few):
    X, y, new_X, _ = few
    model = RecalibratedRegressor(Overfit(), random_state=0).fit(X, y)
    new_X = new_X[:100]
    posterior = model.predict_posterior(new_X)
    mean, std = model.predict(new_X, return_std=True)
    assert mean.shape == std.shape == (100,)
    np.testing.assert_array_equal(mean, posterior.mean()[:, 0])
    np.testing.assert_array_equal(std, posterior.std()[:, 0])
    np.testing.assert_allclose(model.predict(new_X, return_cov=True)[1][:, 0, 0], std**2)
    np.testing.assert_array_equal(model.predict_posterior(new_X, random_state=5).median(), posterior.median())
    with pytest.raises(RuntimeError, match="At most one of return_std or return_cov"):
        model.predict(new_X, return_std=True, return_cov=True)


def test_sample_y_and_arguments_of_the_estimator():
    X, y = galaxies(200, 0)
    model = RecalibratedRegressor(Claim(), cv="prefit").fit(X, y)
    draws = model.sample_y(np.repeat(X[:1], 200, axis=0), n_samples=20, random_state=0)
    assert draws.shape == (200, 20, 2)
    std = model.predict(X[:1], return_std=True)[1]
    np.testing.assert_allclose(draws.std(axis=(0, 1)), std[0], rtol=0.05)
    assert spearmanr(draws.reshape(-1, 2)).statistic == pytest.approx(0.8, abs=0.05)
    assert (model.predict_posterior(X, width=3.0).std() > 2 * model.predict_posterior(X).std()).all()


@pytest.mark.parametrize("method", METHODS)
def test_pickles(method):
    X, y = galaxies(200, 0)
    model = RecalibratedRegressor(Claim(), method=method, random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_posterior(X).draws, model.predict_posterior(X).draws)


def test_cross_validation_and_search(few):
    X, y, *_ = few
    scorers = posterior_scorers(n_samples=300)
    plain, recalibrated = (
        cross_validate(model, X, y, scoring=scorers, cv=3, error_score="raise")
        for model in (Overfit(), make_pipeline(RecalibratedRegressor(Overfit(), random_state=0)))
    )
    for name in scorers:
        assert recalibrated[f"test_{name}"].mean() > plain[f"test_{name}"].mean()
    search = GridSearchCV(
        RecalibratedRegressor(Overfit(), random_state=0), {"method": METHODS, "estimator__fit_intercept": [False]},
        scoring=PosteriorScorer("neg_crps"), cv=2,
    )  # fmt: skip
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    assert not search.best_estimator_.estimator_.fit_intercept


# ---- errors


def test_errors_say_what_to_do():
    X, y = galaxies(60, 0)
    with pytest.raises(ValueError, match=r"^9 galaxies were held out; expected at least 10, better some hundreds"):
        RecalibratedRegressor(Claim(), cv="prefit").fit(X[:9], y[:9])
    with pytest.raises(ValueError, match=r"^cv tests row 0 2 times; expected each row in one test set at most, as"):
        RecalibratedRegressor(Claim(), cv=RepeatedKFold(n_repeats=2)).fit(X, y)
    with pytest.raises(ValueError, match=r"^a: row \d+ is -.*, outside \(0, inf\), which LogTransform takes;"):
        RecalibratedRegressor(Claim(transforms="log"), cv="prefit").fit(X, y)
    with pytest.raises(ValueError, match=r"^y has shape \(60, 1\); expected \(60, 2\)"):
        RecalibratedRegressor(Claim(), cv="prefit").fit(X, y[:, 0])
    with pytest.raises(InvalidParameterError, match="'method' parameter of RecalibratedRegressor must be a str"):
        RecalibratedRegressor(Claim(), method="isotonic").fit(X, y)
    with pytest.raises(InvalidParameterError, match="'estimator' parameter of RecalibratedRegressor must be an"):
        RecalibratedRegressor(LinearRegression()).fit(X, y)
    with pytest.raises(NotFittedError):
        RecalibratedRegressor(Claim()).predict_posterior(X)
    with pytest.raises(NotFittedError):
        RecalibratedRegressor(Ridge(), cv="prefit").fit(X, y[:, 0])
