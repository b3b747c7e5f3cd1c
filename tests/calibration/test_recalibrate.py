"""Recalibration: it mends each kind of wrong posterior, keeps joint draws joint, and has a density."""

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator

from galestim import CompactCNN, STNPosteriorRegressor
from galestim.calibration import coverage, crps, energy_score, log_score
from galestim.calibration._recalibrate import RecalibratedRegressor
from galestim.model_selection import make_pipeline
from galestim.posteriors import MixturePosterior, Posterior
from galestim.preprocessing import Normalizer

from ._claim import LEVELS, METHODS, Claim, found, galaxies

FAULTS = {
    "too wide": {"width": 2.0},
    "too narrow": {"width": 0.4},
    "biased": {"shift": 0.7},
    "light tails": {"noise": "student"},
    "symmetric": {"noise": "skewed"},
}


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
    with pytest.raises(TypeError, match=r"^method='conformal' makes posteriors without a density; for log_prob use"):
        RecalibratedRegressor(Claim(), method="conformal").fit(X, y).log_prob(X, y)
    with pytest.raises(TypeError, match="DrawsPosterior has no log_prob"):
        RecalibratedRegressor(Claim(form="draws")).fit(X, y).log_prob(X, y)


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
