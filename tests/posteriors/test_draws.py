import numpy as np
import pytest
from scipy import stats

from galestim.posteriors import DrawsPosterior, MixturePosterior

LEVELS = [0.3, 0.6827, 0.9545]


def weighted(n=3, s=400, k=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, size=(n, s, k)), rng.uniform(size=(n, s))


@pytest.mark.parametrize("q", [0.0, 0.01, 0.16, 0.5, 0.997, 1.0])
def test_quantiles_are_those_of_numpy(q):
    draws, weights = weighted()
    got = DrawsPosterior(draws, weights).quantile(q)
    for i in range(3):
        expected = np.quantile(draws[i], q, axis=0, weights=weights[i], method="inverted_cdf")
        np.testing.assert_array_equal(got[i], expected)


@pytest.mark.parametrize("statistic", ["mean", "var", "std", "skew", "kurtosis", "median", "cov"])
def test_an_integer_weight_is_that_many_equal_draws(statistic):
    draws, _ = weighted(s=50)
    counts = np.random.default_rng(1).integers(0, 4, 50)
    one = DrawsPosterior(draws, np.tile(counts, (3, 1)))
    many = DrawsPosterior(np.repeat(draws, counts, axis=1))
    np.testing.assert_allclose(getattr(one, statistic)(), getattr(many, statistic)(), rtol=1e-10)
    for kind in ("equal_tailed", "hdi"):
        np.testing.assert_allclose(one.credible_interval(0.8, kind), many.credible_interval(0.8, kind))


def test_moments_of_equal_draws_are_those_of_scipy():
    draws, _ = weighted()
    posterior = DrawsPosterior(draws)
    np.testing.assert_allclose(posterior.mean(), draws.mean(axis=1))
    np.testing.assert_allclose(posterior.std(), draws.std(axis=1))
    np.testing.assert_allclose(posterior.skew(), stats.skew(draws, axis=1))
    np.testing.assert_allclose(posterior.kurtosis(), stats.kurtosis(draws, axis=1))
    np.testing.assert_allclose(posterior.cov()[1], np.cov(draws[1].T, ddof=0))


def test_covariance_is_weighted():
    draws, weights = weighted()
    posterior = DrawsPosterior(draws, weights)
    np.testing.assert_allclose(posterior.cov()[2], np.cov(draws[2].T, aweights=weights[2], ddof=0))
    np.testing.assert_allclose(np.diagonal(posterior.cov(), axis1=1, axis2=2), posterior.var())


def test_cdf_is_the_weight_of_the_draws_below():
    posterior = DrawsPosterior([[[3.0], [1.0], [2.0]]], [[5, 2, 3]])
    y = np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, np.inf, np.nan])[None, :, None]
    np.testing.assert_allclose(posterior.cdf(y)[0, :, 0], [0, 0.2, 0.2, 0.5, 0.5, 1, 1, np.nan])
    assert posterior.cdf([[1.5]]).shape == (1, 1)


@pytest.mark.parametrize("level", LEVELS)
def test_hdi_is_the_narrowest_between_two_draws(level):
    draws, weights = weighted(s=60, k=1)
    intervals = DrawsPosterior(draws, weights).credible_interval(level, kind="hdi")[:, 0]
    for values, weight, (low, high) in zip(draws[..., 0], weights / weights.sum(axis=1, keepdims=True), intervals):
        pairs = [
            (b - a, a, b) for a in values for b in values if weight[(values >= a) & (values <= b)].sum() >= level
        ]
        assert (high - low, low, high) == min(pairs)


def test_weights_choose_the_samples():
    posterior = DrawsPosterior([[[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]]], [[1, 3, 0]])
    samples = posterior.sample(10_000, random_state=0)
    assert samples.shape == (1, 10_000, 2)
    np.testing.assert_array_equal(samples[..., 1], samples[..., 0] + 10)  # draws stay together
    assert samples[..., 0].mean() == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / 10_000))
    assert samples.max() == 11
    np.testing.assert_array_equal(samples, posterior.sample(10_000, random_state=0))


@pytest.mark.parametrize("transform", ["identity", "log", "logit"])
def test_summaries_approach_those_of_the_mixture(transform):
    mixture = MixturePosterior([[[0.2], [0.7]]], [[[[0.4]], [[0.3]]]], transforms=transform)
    posterior = DrawsPosterior(mixture.sample(200_000, random_state=0))
    std = mixture.std()[0, 0]
    assert posterior.mean() == pytest.approx(mixture.mean(), abs=0.01 * std)
    assert posterior.median() == pytest.approx(mixture.median(), abs=0.02 * std)
    assert posterior.mode() == pytest.approx(mixture.mode(), abs=0.2 * std)  # scatters by .06
    ends = mixture.credible_interval(0.6827, "hdi")
    np.testing.assert_allclose(posterior.credible_interval(0.6827, "hdi"), ends, atol=0.1 * std)


def test_the_mode_is_that_of_the_weighted_draws():
    rng = np.random.default_rng(0)
    draws = np.concatenate([rng.normal(0, 1, 3000), rng.normal(10, 1, 3000)])[None, :, None]
    for weight, peak in ([(1, 3), 10], [(3, 1), 0]):
        assert DrawsPosterior(draws, np.repeat(weight, 3000)[None]).mode() == pytest.approx(peak, abs=0.4)


def test_draws_that_are_all_the_same():
    posterior = DrawsPosterior(np.full((1, 10, 1), 3.0))
    assert posterior.mode() == posterior.median() == posterior.mean() == 3
    assert posterior.std() == 0
    assert np.isnan(posterior.skew())
    np.testing.assert_array_equal(posterior.credible_interval(0.9, "hdi"), [[[3, 3]]])


def test_a_draw_that_is_not_finite_hides_its_target_only():
    draws, weights = weighted()
    draws[1, 7, 0] = np.nan
    draws[2, 7, 1] = np.inf
    posterior = DrawsPosterior(draws, weights)
    hidden = [[False, False], [True, False], [False, True]]
    for statistic in ("mean", "std", "mode", "median", "kurtosis"):
        np.testing.assert_array_equal(np.isnan(getattr(posterior, statistic)()), hidden)
    covariance = np.isnan(posterior.cov())
    assert covariance[1].tolist() == [[True, True], [True, False]]
    assert not covariance[0].any()


@pytest.mark.parametrize("method", ["log_prob", "pdf"])
def test_draws_have_no_density(method):
    with pytest.raises(TypeError, match=f"a DrawsPosterior has no {method}: draws .* Use the MixturePosterior"):
        getattr(DrawsPosterior(np.zeros((1, 2, 1))), method)([[0.0]])


@pytest.mark.parametrize(
    ("draws", "weights", "message"),
    [
        (
            np.zeros((3, 2)),
            None,
            r"draws has shape \(3, 2\); expected \(n, s, k\), s draws of k targets for each of n",
        ),
        (np.zeros((3, 0, 2)), None, r"draws has shape \(3, 0, 2\)"),
        (np.zeros((1, 2, 1)), [1, 1], r"weights has shape \(2,\); expected \(1, 2\), one for each draw."),
        (np.zeros((1, 2, 1)), [[np.nan, 1]], r"row 0: weights \[nan  1.\]; expected finite ones"),
    ],
)
def test_wrong_arguments(draws, weights, message):
    with pytest.raises(ValueError, match=message):
        DrawsPosterior(draws, weights)


@pytest.mark.parametrize("value", [0.1, 7.3, -1e300, 5e-324, 0.0])
def test_constant_draws_have_no_spread(value):
    posterior = DrawsPosterior(np.full((2, 13, 2), value), target_names=["a", "b"])
    np.testing.assert_array_equal(posterior.std(), 0)
    np.testing.assert_array_equal(posterior.cov(), 0)
    assert np.isnan(posterior.kurtosis()).all()
    np.testing.assert_array_equal(posterior.mode(), value)
    assert posterior.summary(kind="hdi")["a_upper_95"].tolist() == [value, value]


@pytest.mark.parametrize("scale", [1e-300, 1e160, 1e200, 1e307])
def test_huge_and_tiny_draws_have_the_shape_of_others(scale):
    draws, weights = weighted()
    one, scaled = DrawsPosterior(draws, weights), DrawsPosterior(draws * scale, weights)
    for statistic in ("mean", "std", "median", "mode"):
        np.testing.assert_allclose(getattr(scaled, statistic)() / scale, getattr(one, statistic)(), rtol=1e-9)
    for statistic in ("skew", "kurtosis"):
        np.testing.assert_allclose(getattr(scaled, statistic)(), getattr(one, statistic)(), rtol=1e-7)
    for kind in ("hdi", "equal_tailed"):
        ends = scaled.credible_interval(0.8, kind) / scale
        np.testing.assert_allclose(ends, one.credible_interval(0.8, kind), rtol=1e-9)
    assert np.all(scaled.var() == (np.inf if scale > 1 else 0))


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -1e308])
def test_draws_of_weight_0_count_for_nothing(nothing):
    draws, weights = weighted(s=50)
    weights[:, ::3] = 0
    some = DrawsPosterior(draws[:, weights[0] > 0], weights[:, weights[0] > 0])
    draws[:, ::3] = nothing
    posterior = DrawsPosterior(draws, weights)
    for statistic in ("mean", "std", "median", "mode", "kurtosis", "cov"):
        np.testing.assert_allclose(getattr(posterior, statistic)(), getattr(some, statistic)(), rtol=1e-9)


def test_the_summary_warns_of_galaxies_without_moments():
    draws, _ = weighted()
    draws[1, 7, 0] = np.nan
    with pytest.warns(UserWarning, match="^y0: 1 of 3 galaxies, first row 1, have an image but no finite mean"):
        assert np.isnan(DrawsPosterior(draws).summary()["y0_mean"][1])
    draws[1] = np.nan
    DrawsPosterior(draws).summary()  # a missing cutout is none of them
