"""Recalibration: it mends each kind of wrong posterior, keeps joint draws joint, and is an estimator like others."""

import pickle

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import kstest, spearmanr
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RepeatedKFold, ShuffleSplit, cross_validate
from sklearn.utils import check_array
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import NotFittedError

from galestim import CompactCNN, STNPosteriorRegressor
from galestim.calibration import coverage, crps, energy_score, log_score
from galestim.calibration._recalibrate import RecalibratedRegressor
from galestim.model_selection import PosteriorScorer, make_pipeline, posterior_scorers
from galestim.posteriors import DrawsPosterior, MixturePosterior, Posterior
from galestim.preprocessing import Normalizer

LEVELS = np.array([0.2, 0.5, 0.6827, 0.9, 0.9545])
CORRELATED = np.array([[1.0, 0.0], [0.8, 0.6]])
FAULTS = {
    "too wide": {"width": 2.0},
    "too narrow": {"width": 0.4},
    "biased": {"shift": 0.7},
    "light tails": {"noise": "student"},
    "symmetric": {"noise": "skewed"},
}
METHODS = ["pit", "local", "conformal"]


class Claim(RegressorMixin, BaseEstimator):
    """Takes its two columns for the latent means of two correlated targets, `shift`, and `width` times as wide."""

    def __init__(self, shift=0.0, width=1.0, transforms=None, form="mixture"):
        self.shift = shift
        self.width = width
        self.transforms = transforms
        self.form = form

    def fit(self, X, y, sample_weight=None, seen=None):
        self.n_features_in_ = 2
        self.y_, self.sample_weight_, self.seen_ = y, sample_weight, seen
        return self

    def predict(self, X):
        return self.predict_posterior(X).mean()

    def predict_posterior(self, X, width=None):
        trils = np.tile(CORRELATED * (width or self.width), (len(X), 1, 1, 1))
        trils[np.isnan(X[:, 0])] = np.nan
        posterior = MixturePosterior(
            X[:, None] + self.shift,
            trils,
            transforms=self.transforms,
            target_names=["a", "b"],
            units=["arcsec", None],
        )
        if self.form == "mixture":
            return posterior
        draws = posterior.sample(300, random_state=0)
        if self.form == "array":
            return draws
        return DrawsPosterior(draws, np.random.default_rng(0).uniform(size=draws.shape[:2]))


def galaxies(n, seed, noise="normal"):
    """Predictors and truths, for which ``Claim()`` is right if the noise is normal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    drawn = {
        "normal": lambda: rng.normal(size=(n, 2)),
        "student": lambda: rng.standard_t(3, size=(n, 2)),
        "skewed": lambda: rng.gamma(1.5, size=(n, 2)) - 1.5,
    }[noise]()
    return X, X + drawn @ CORRELATED.T


def found(posterior, y):
    return coverage(posterior, y, LEVELS).coverage


# ---- what it mends


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_mends_what_is_wrong(fault, method):
    options = dict(FAULTS[fault])
    noise = options.pop("noise", "normal")
    X, y = galaxies(3000, 0, noise)
    new_X, new_y = galaxies(3000, 1, noise)
    model = RecalibratedRegressor(Claim(**options), method=method, cv="prefit").fit(X, y)
    before, after = model.estimator_.predict_posterior(new_X), model.predict_posterior(new_X, n_samples=200)
    assert np.abs(found(before, new_y) - LEVELS[:, None]).max() > 0.05
    assert np.abs(found(after, new_y) - LEVELS[:, None]).max() < 0.03
    for side in after.cdf(new_y).T:  # each side by itself, which intervals do not look at
        assert kstest(side, "uniform").statistic < 0.04
    assert (crps(after, new_y).mean(axis=0) < crps(before, new_y).mean(axis=0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_leaves_right_posteriors_alone(method):
    (X, y), (new_X, new_y) = galaxies(3000, 0), galaxies(1500, 1)
    model = RecalibratedRegressor(Claim(), method=method, random_state=0).fit(X, y)
    right, after = Claim().predict_posterior(new_X), model.predict_posterior(new_X, n_samples=400)
    np.testing.assert_allclose(crps(after, new_y).mean(axis=0), crps(right, new_y).mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(found(after, new_y), found(right, new_y), atol=0.03)


@pytest.mark.parametrize("form", ["mixture", "draws", "array"])
def test_three_sigma_from_many_galaxies(form):
    # Posteriors of 300 draws end before 3 σ of the truth, which is 7.5 of theirs.
    (X, y), (new_X, new_y) = galaxies(6000, 0), galaxies(6000, 1)
    model = RecalibratedRegressor(Claim(width=0.4, form=form), cv="prefit").fit(X, y)
    assert (coverage(Claim(width=0.4).predict_posterior(new_X), new_y, [0.9973]).coverage < 0.8).all()
    after = coverage(model.predict_posterior(new_X, n_samples=700), new_y, [0.9973]).coverage
    np.testing.assert_allclose(after, 0.9973, atol=0.004)


def test_the_local_method_mends_what_differs_between_galaxies():
    # Twice too narrow for the bright, twice too wide for the faint: right on average.
    def observed(n, seed):
        X, y = galaxies(n, seed)
        bright = X[:, 0] > 0
        return X, X + (y - X) * np.where(bright, 2.0, 0.5)[:, None], bright

    X, y, _ = observed(5000, 0)
    new_X, new_y, bright = observed(2000, 1)
    share = {}
    for method in ("pit", "local"):
        model = RecalibratedRegressor(Claim(), method=method, cv="prefit").fit(X, y)
        posterior = model.predict_posterior(new_X, n_samples=200)
        share[method] = [coverage(posterior[of], new_y[of], [0.6827]).coverage for of in (bright, ~bright)]
        np.testing.assert_allclose(found(posterior, new_y), LEVELS[:, None] * [1, 1], atol=0.03)
    assert np.abs(np.array(share["pit"]) - 0.6827).min() > 0.2
    assert np.abs(np.array(share["local"]) - 0.6827).max() < 0.08


def test_conformal_intervals_are_guaranteed_for_few_galaxies():
    # Of 19 held out: 0.75 leaves 0.125 · 20 = 2.5 of 20 places on either side, of which 2 are given, so 0.8.
    levels, rates = np.array([0.75, 0.85, 0.9]), []
    for seed in range(150):
        (X, y), (new_X, new_y) = galaxies(19, seed), galaxies(40, 1000 + seed)
        model = RecalibratedRegressor(Claim(shift=0.5, width=0.5), method="conformal", cv="prefit").fit(X, y)
        rates.append(coverage(model.predict_posterior(new_X, n_samples=200), new_y, levels).coverage.mean(axis=1))
    error = 3 * np.std(rates, axis=0) / np.sqrt(len(rates))
    assert (np.mean(rates, axis=0) > levels - error).all()
    assert (np.abs(np.mean(rates, axis=0) - [0.8, 0.9, 0.9]) < error).all()


# ---- what it keeps


@pytest.mark.parametrize("method", METHODS)
def test_every_joint_draw_keeps_its_ranks(method):
    X, y = galaxies(500, 0, "skewed")
    model = RecalibratedRegressor(Claim(width=2.0, transforms="log"), method=method, cv="prefit").fit(X, np.exp(y))
    draws = model.predict_posterior(X[:20], n_samples=400, random_state=3).draws
    own = model.estimator_.predict_posterior(X[:20]).sample(400, random_state=3)
    tied = 0 if method != "conformal" else 1e-12  # where the curve has steps, neighbors get the same value
    taken = np.take_along_axis(draws, own.argsort(axis=1), axis=1)
    assert (np.diff(taken, axis=1) > -tied).all()
    for one, other in zip(draws, own):
        assert spearmanr(one).statistic == pytest.approx(spearmanr(other).statistic, abs=0.02)


def test_joint_posteriors_get_better_as_a_whole():
    (X, y), (new_X, new_y) = galaxies(2000, 0), galaxies(1000, 1)
    model = RecalibratedRegressor(Claim(width=2.0), random_state=0).fit(X, y)
    posteriors = [model.estimator_.predict_posterior(new_X), model.predict_posterior(new_X, n_samples=400)]
    wide, after, right = (
        energy_score(posterior, new_y, n_samples=400).mean()
        for posterior in [*posteriors, Claim().predict_posterior(new_X)]
    )
    assert wide > 1.05 * right
    assert after == pytest.approx(right, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_draws_stay_within_the_support(method):
    X, z = galaxies(1000, 0)
    y = np.column_stack([1 / (1 + np.exp(-z[:, 0])), np.exp(z[:, 1])])
    model = RecalibratedRegressor(Claim(width=0.3, transforms=["logit", "log"]), method=method, cv="prefit").fit(X, y)
    posterior = model.predict_posterior(X, n_samples=300)
    assert (posterior.draws > 0).all()
    assert (posterior.draws[..., 0] < 1).all()
    np.testing.assert_allclose(found(posterior, y), LEVELS[:, None] * [1, 1], atol=0.03)  # learned from them
    assert posterior.target_names == ["a", "b"]
    assert posterior.units == Claim().predict_posterior(X[:1]).units


def test_draws_keep_their_number_and_weights():
    X, y = galaxies(500, 0)
    model = RecalibratedRegressor(Claim(width=0.5, form="draws"), cv="prefit").fit(X, y)
    posterior, own = model.predict_posterior(X[:5], n_samples=7), model.estimator_.predict_posterior(X[:5])
    np.testing.assert_array_equal(posterior.weights, own.weights)
    np.testing.assert_array_equal(posterior.draws.argsort(axis=1), own.draws.argsort(axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_missing_cutouts(method):
    X, y = galaxies(300, 0)
    missing = np.arange(300) % 3 == 0
    holey = np.where(missing[:, None], np.nan, X)
    model = RecalibratedRegressor(Claim(width=0.5), method=method, cv="prefit")
    curves = clone(model).fit(X[~missing], y[~missing]).curves_
    model.fit(holey, y)
    np.testing.assert_array_equal(model.curves_, curves)
    assert model.n_held_out_ == 200
    np.testing.assert_array_equal(np.isnan(model.predict_posterior(holey).draws).all(axis=(1, 2)), missing)
    np.testing.assert_array_equal(np.isnan(model.predict(holey)[:, 0]), missing)
    assert model.score(holey, y) == pytest.approx(model.score(X[~missing], y[~missing]))
    np.testing.assert_array_equal(np.isnan(model.predict(holey[missing])), True)


# ---- densities


@pytest.mark.parametrize("method", ["pit", "local"])
def test_log_prob_is_the_density_of_the_draws(method):
    X, z = galaxies(1000, 0, "skewed")
    model = RecalibratedRegressor(Claim(width=1.5, transforms="log"), method=method, cv="prefit").fit(X, np.exp(z))
    posterior = model.predict_posterior(X[:1], n_samples=20000)
    x = np.linspace(-7, 7, 140) + X[0, 0]
    b = np.linspace(-7, 7, 140) + X[0, 1]
    points = np.exp(np.stack(np.meshgrid(x, b, indexing="ij"), axis=-1).reshape(-1, 2))
    density = np.exp(model.log_prob(np.repeat(X[:1], len(points), axis=0), points)) * points.prod(axis=1)
    share = density.reshape(140, 140) * (x[1] - x[0]) ** 2
    assert share.sum() == pytest.approx(1, abs=0.02)
    for axis, grid in enumerate((x, b)):
        marginal = share.sum(axis=1 - axis)
        cdf = marginal.cumsum() - marginal / 2
        below = (np.log(posterior.draws[0, :, axis]) <= grid[:, None]).mean(axis=1)
        np.testing.assert_allclose(cdf, below, atol=0.03)
    assert model.log_prob(X[:1], [[-1.0, 1.0]]) == -np.inf


@pytest.mark.parametrize("options", [{"width": 2.0}, {"width": 0.4}, {"shift": 0.7}])
def test_log_scores_become_those_of_right_posteriors(options):
    (X, y), (new_X, new_y) = galaxies(5000, 0), galaxies(2000, 1)
    model = RecalibratedRegressor(Claim(**options), cv="prefit").fit(X, y)
    right = log_score(Claim().predict_posterior(new_X), new_y).mean()
    assert log_score(model.estimator_.predict_posterior(new_X), new_y).mean() < right - 0.2
    assert model.log_prob(new_X, new_y).mean() == pytest.approx(right, abs=0.03)


def test_steps_and_draws_have_no_density():
    X, y = galaxies(100, 0)
    with pytest.raises(
        TypeError, match=r"^method='conformal' makes posteriors without a density; for log_prob use 'pi"
    ):
        RecalibratedRegressor(Claim(), method="conformal").fit(X, y).log_prob(X, y)
    with pytest.raises(TypeError, match="DrawsPosterior has no log_prob"):
        RecalibratedRegressor(Claim(form="draws")).fit(X, y).log_prob(X, y)


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


def test_recalibrates_a_network():
    # A few epochs of a tiny network, with widths twice too large: what a pipeline of images gives in the end.
    rng = np.random.default_rng(0)
    radius, flux = rng.uniform(1, 3, 900), rng.uniform(1, 2, 900)
    r2 = np.sum((np.indices((10, 10)) - 4.5) ** 2, axis=0)
    images = (flux / radius**2)[:, None, None] * np.exp(-r2 / (2 * radius[:, None, None] ** 2))
    images += 0.02 * rng.normal(size=images.shape)
    y = np.column_stack([radius, flux])
    network = STNPosteriorRegressor(
        CompactCNN(widths=(2, 4), readout="radial"), max_epochs=8, n_passes=4, lr=1e-2, target_transforms="log",
        random_state=0, device="cpu",
    )  # fmt: skip
    pipeline = make_pipeline(Normalizer("asinh", softening=1.0), network).fit(images[:300], y[:300])
    pipeline[-1].width_factors_ = pipeline[-1].width_factors_ * 2.5
    model = RecalibratedRegressor(FrozenEstimator(pipeline)).fit(images[300:600], y[300:600])
    own, posterior = pipeline.predict_posterior(images[600:]), model.predict_posterior(images[600:])
    before, after = (np.abs(found(one, y[600:]) - LEVELS[:, None]).mean() for one in (own, posterior))
    assert before > 0.1
    assert after < 0.04
    ours, theirs = (np.array([spearmanr(one).statistic for one in p.sample(1000, 0)]) for p in (posterior, own))
    np.testing.assert_allclose(ours, theirs, atol=0.15)
    assert model.log_prob(images[600:], y[600:]).mean() > log_score(own, y[600:]).mean() + 0.3
    assert posterior.target_names == own.target_names


# ---- errors


def test_errors_say_what_to_do():
    X, y = galaxies(60, 0)
    with pytest.raises(
        ValueError, match=r"^9 galaxies were held out; expected at least 10, better some hundreds, to "
    ):
        RecalibratedRegressor(Claim(), cv="prefit").fit(X[:9], y[:9])
    with pytest.raises(
        ValueError, match=r"^cv tests row 0 2 times; expected each row in one test set at most, as KF"
    ):
        RecalibratedRegressor(Claim(), cv=RepeatedKFold(n_repeats=2)).fit(X, y)
    with pytest.raises(ValueError, match=r"^a: row \d+ is -.*, outside \(0, inf\), which LogTransform takes;"):
        RecalibratedRegressor(Claim(transforms="log"), cv="prefit").fit(X, y)
    with pytest.raises(ValueError, match=r"^y has shape \(60, 1\); expected \(60, 2\)"):
        RecalibratedRegressor(Claim(), cv="prefit").fit(X, y[:, 0])
    with pytest.raises(
        InvalidParameterError, match="'method' parameter of RecalibratedRegressor must be a str among"
    ):
        RecalibratedRegressor(Claim(), method="isotonic").fit(X, y)
    with pytest.raises(
        InvalidParameterError, match="'estimator' parameter of RecalibratedRegressor must be an objec"
    ):
        RecalibratedRegressor(LinearRegression()).fit(X, y)
    with pytest.raises(NotFittedError):
        RecalibratedRegressor(Claim()).predict_posterior(X)
    with pytest.raises(NotFittedError):
        RecalibratedRegressor(Ridge(), cv="prefit").fit(X, y[:, 0])


class Honest(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return np.asarray(X)

    def predict_posterior(self, X):
        return MixturePosterior(
            np.asarray(X)[:, None], np.full((len(X), 1, 1, 1), 0.5), transforms="log", target_names=["flux"]
        )


@pytest.mark.parametrize("n", [10, 39, 120])
def test_conformal_intervals_beyond_the_held_out_galaxies_end_where_the_target_does(n, tmp_path):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n + 50, 1))
    y = np.exp(X + rng.normal(size=X.shape))
    model = RecalibratedRegressor(Honest(), method="conformal", cv="prefit").fit(X[:n], y[:n])
    posterior = model.predict_posterior(X[n:])
    posterior.write(tmp_path / "conformal.fits")
    known = 1 - 2 / (n + 1)
    said = rf"flux: intervals are guaranteed up to the level {known:.4g}; those of 0.99 reach to .*at least 199,"
    for one in (posterior, posterior[:20], posterior["flux"], Posterior.read(tmp_path / "conformal.fits")):
        assert np.isfinite(one.credible_interval(known)).all()
        assert np.isfinite(one.mean()).all()
        for kind in ("hdi", "equal_tailed"):
            with pytest.warns(UserWarning, match=said):
                ends = one.credible_interval(0.99, kind)
            np.testing.assert_array_equal(ends, np.broadcast_to([0, np.inf], ends.shape))
    with pytest.warns(UserWarning, match=said):
        assert coverage(posterior, y[n:], [0.5, 0.99]).coverage[1] == 1
    with pytest.warns(UserWarning, match="flux: intervals are guaranteed"):
        assert np.isinf(posterior.summary(kind="equal_tailed")["flux_upper_99"]).all()
    with pytest.warns(UserWarning, match="flux: intervals are guaranteed"):
        np.testing.assert_array_equal(posterior.quantile([0.0, 1.0])[:, :, 0], np.tile([0, np.inf], (50, 1)))
