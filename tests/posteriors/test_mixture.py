import tracemalloc

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from galestim.posteriors import MixturePosterior
from galestim.targets import LogitTransform

LEVELS = [0.6827, 0.9545, 0.9973]
N_BATCHES, BATCH = 20, 50_000  # 10⁶ draws, whose scatter between batches is the error to expect


def skewed():
    """One galaxy of three targets, correlated and far from Gaussian."""
    means = [[[-1.0, 0.0, 0.5], [0.5, 0.4, -0.3]]]
    scale_trils = [[[[0.5, 0, 0], [0.2, 0.3, 0], [-0.3, 0.2, 0.4]], [[0.3, 0, 0], [-0.2, 0.2, 0], [0.1, 0.1, 0.5]]]]
    return MixturePosterior(means, scale_trils, [[0.3, 0.7]], transforms=["logit", "log", "asinh"])


@pytest.fixture(scope="module")
def drawn():
    return skewed().sample(N_BATCHES * BATCH, random_state=1)[0]


def assert_within_monte_carlo_error(value, of_batches):
    error = np.std(of_batches, axis=0, ddof=1) / np.sqrt(N_BATCHES)
    assert np.all(error < 0.05 * np.maximum(np.abs(value), 0.1))  # the comparison means something
    assert np.all(np.abs(np.mean(of_batches, axis=0) - value) < 5 * error)


@pytest.mark.parametrize("statistic", ["mean", "std", "var", "skew", "kurtosis"])
def test_moments_are_those_of_a_million_draws(drawn, statistic):
    compute = {"skew": stats.skew, "kurtosis": stats.kurtosis}.get(statistic) or getattr(np, statistic)
    of_batches = [compute(batch, axis=0) for batch in drawn.reshape(N_BATCHES, BATCH, 3)]
    assert_within_monte_carlo_error(getattr(skewed(), statistic)()[0], of_batches)


def test_covariance_is_that_of_a_million_draws(drawn):
    of_batches = [np.cov(batch.T) for batch in drawn.reshape(N_BATCHES, BATCH, 3)]
    assert_within_monte_carlo_error(skewed().cov()[0], of_batches)


def test_quantiles_and_intervals_hold_their_share_of_a_million_draws(drawn):
    q = np.array([0.001, 0.16, 0.5, 0.9])
    share = (drawn <= skewed().quantile(q)[0][:, None]).mean(axis=1)
    assert np.all(np.abs(share - q[:, None]) < 5 * np.sqrt(q * (1 - q) / len(drawn))[:, None])
    for level in LEVELS:
        for kind in ("equal_tailed", "hdi"):
            low, high = skewed().credible_interval(level, kind)[0].T
            share = ((drawn > low) & (drawn < high)).mean(axis=0)
            assert np.all(np.abs(share - level) < 5 * np.sqrt(level * (1 - level) / len(drawn)))


def test_std_is_the_root_of_the_diagonal_of_cov():
    np.testing.assert_allclose(np.diagonal(skewed().cov(), axis1=1, axis2=2), skewed().var(), rtol=1e-12)
    np.testing.assert_allclose(skewed().std() ** 2, skewed().var(), rtol=1e-12)


def test_untransformed_moments_are_exact():
    posterior = MixturePosterior([[[0.0, 1.0], [2.0, -1.0]]], [np.linalg.cholesky([[[2, 0.5], [0.5, 1]]] * 2)])
    np.testing.assert_allclose(posterior.mean(), [[1, 0]])
    np.testing.assert_allclose(posterior.cov(), [[[3, -0.5], [-0.5, 2]]])
    np.testing.assert_allclose(posterior.cov(), posterior.latent_cov())


def test_log_prob_is_that_of_scipy():
    rng = np.random.default_rng(0)
    means, weights = rng.normal(size=(2, 3, 4)), rng.dirichlet(np.ones(3), size=2)
    scale_trils = np.tril(rng.normal(size=(2, 3, 4, 4)), -1) + np.eye(4)
    y = rng.normal(size=(2, 5, 4))
    got = MixturePosterior(means, scale_trils, weights).log_prob(y)
    for i in range(2):
        parts = [
            stats.multivariate_normal(mean, factor @ factor.T).logpdf(y[i])
            for mean, factor in zip(means[i], scale_trils[i])
        ]
        np.testing.assert_allclose(got[i], logsumexp(parts, axis=0, b=weights[i][:, None]), rtol=1e-12)


@pytest.mark.parametrize("transform", ["identity", "log", "logit", "asinh"])
def test_density_of_one_target_integrates_to_1(transform):
    posterior = MixturePosterior([[[-4.0], [0.5]]], [[[[1.0]], [[0.3]]]], transforms=transform)
    y = posterior.transforms[0].inverse(np.linspace(-12, 4, 20001))[None, :, None]
    density = np.exp(posterior.log_prob(y))[0]
    assert np.trapezoid(density, y[0, :, 0]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(posterior.pdf(y)[0, :, 0], density, rtol=1e-12)


@pytest.mark.parametrize(
    "transforms", [("identity", "log"), ("logit", "log"), ("asinh", "logit"), (LogitTransform(-2, 7), "identity")]
)
def test_density_of_two_targets_integrates_to_1_and_to_the_marginals(transforms):
    scale_trils = [[[[0.6, 0], [-0.5, 0.3]], [[0.3, 0], [0.2, 0.5]]]]
    posterior = MixturePosterior([[[-0.5, 1.0], [0.4, 0.0]]], scale_trils, [[0.2, 0.8]], transforms=list(transforms))
    x, y = (transform.inverse(np.linspace(-5, 5, 601)) for transform in posterior.transforms)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(1, -1, 2)
    over_x = np.trapezoid(np.exp(posterior.log_prob(points)).reshape(601, 601), y, axis=1)
    assert np.trapezoid(over_x, x) == pytest.approx(1, abs=1e-3)
    marginal = posterior.pdf(np.stack([x, y], axis=-1)[None])[0, :, 0]
    np.testing.assert_allclose(over_x, marginal, atol=1e-3 * marginal.max())


def test_outside_the_support_log_prob_is_minus_infinity():
    posterior = MixturePosterior(np.zeros((1, 1, 2)), np.eye(2)[None, None], transforms=["logit", "log"])
    y = [[[-0.1, 1], [0, 1], [1, 1], [1.1, 1], [0.5, 0], [0.5, -2], [0.5, np.inf], [np.nan, 1]]]
    np.testing.assert_array_equal(posterior.log_prob(y)[0], [-np.inf] * 7 + [np.nan])


def test_a_single_target_takes_a_flat_y():
    posterior = MixturePosterior(np.zeros((3, 1, 1)), np.ones((3, 1, 1, 1)))
    np.testing.assert_array_equal(posterior.log_prob([0, 1, 2]), posterior.log_prob([[0], [1], [2]]))
    assert posterior.cdf([0, 1, 2]).shape == (3, 1)


def test_samples_are_seeded_and_follow_the_weights():
    posterior = MixturePosterior([[[0.0], [9.0], [50.0]]], np.full((1, 3, 1, 1), 0.1), [[1, 3, 0]])
    draws = posterior.sample(20_000, random_state=0)[0, :, 0]
    np.testing.assert_array_equal(draws, posterior.sample(20_000, random_state=0)[0, :, 0])
    assert not np.array_equal(draws, posterior.sample(20_000, random_state=1)[0, :, 0])
    assert draws.max() < 12
    assert (draws > 4).mean() == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / 20_000))


def total_covariance(weights, means, covariances):
    mean = weights @ means
    return np.einsum("m,mij->ij", weights, covariances), np.cov(means.T, aweights=weights, ddof=0), mean


def test_law_of_total_covariance():
    """Two passes, of which the second is a mixture of two, against their closed forms."""
    means = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 2.0]])
    covariances = np.array([[[1, 0.5], [0.5, 1]], [[2, 0], [0, 1]], [[1, -0.3], [-0.3, 2]]])
    weights = np.array([0.5, 0.2, 0.3])
    posterior = MixturePosterior(means[None], np.linalg.cholesky(covariances)[None], weights[None], groups=[7, 3, 3])
    within, between, pass_mean = total_covariance(np.array([0.4, 0.6]), means[1:], covariances[1:])
    pass_means, pass_covariances = np.stack([means[0], pass_mean]), np.stack([covariances[0], within + between])
    aleatoric, epistemic, mean = total_covariance(np.array([0.5, 0.5]), pass_means, pass_covariances)
    np.testing.assert_allclose(posterior.latent_mean()[0], mean, rtol=1e-12)
    np.testing.assert_allclose(posterior.aleatoric_covariance()[0], aleatoric, rtol=1e-12)
    np.testing.assert_allclose(posterior.epistemic_covariance()[0], epistemic, rtol=1e-12)


@pytest.mark.parametrize("groups", [None, [0, 0, 0, 0, 0], [2, 0, 2, 1, 0]])
def test_aleatoric_and_epistemic_sum_to_the_latent_covariance(groups):
    rng = np.random.default_rng(0)
    scale_trils = np.tril(rng.normal(size=(6, 5, 3, 3)), -1) + np.eye(3)
    weights = rng.uniform(size=(6, 5))
    weights[0, 3] = 0  # a pass without weight
    posterior = MixturePosterior(rng.normal(size=(6, 5, 3)), scale_trils, weights, groups=groups)
    sum_ = posterior.aleatoric_covariance() + posterior.epistemic_covariance()
    np.testing.assert_allclose(sum_, posterior.latent_cov(), rtol=0, atol=1e-12)
    if groups == [0] * 5:
        np.testing.assert_allclose(posterior.epistemic_covariance(), 0, atol=1e-12)


def test_many_galaxies_are_each_as_if_alone(galaxies):
    """Chunks do not mix rows: more galaxies than fit in one."""
    rng = np.random.default_rng(0)
    n, m = 3000, 40
    posterior = MixturePosterior(rng.normal(size=(n, m, 2)), np.tile(0.3 * np.eye(2), (n, m, 1, 1)), transforms="log")
    for compute in (
        MixturePosterior.mean,
        MixturePosterior.cov,
        MixturePosterior.median,
        MixturePosterior.latent_cov,
    ):
        np.testing.assert_allclose(
            compute(posterior)[[0, 1234, 2999]], compute(posterior[[0, 1234, 2999]]), rtol=1e-12
        )
    y = np.ones((n, 2))
    np.testing.assert_allclose(posterior.log_prob(y)[2345], posterior[2345].log_prob(y[:1])[0], rtol=1e-12)


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    posterior = MixturePosterior(rng.normal(size=(5000, 32, 1)), np.full((5000, 32, 1, 1), 0.5), transforms="logit")
    tracemalloc.start()
    posterior.mean(), posterior.log_prob(np.full((5000, 1), 0.5)), posterior.sample(10), posterior.cov()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 35e6  # the quadrature nodes of all are 82 MB


def test_weights_are_normalized_once():
    weights = np.random.default_rng(0).uniform(size=(10, 7))
    arguments = np.zeros((10, 7, 1)), np.ones((10, 7, 1, 1))
    posterior = MixturePosterior(*arguments, weights)
    np.testing.assert_allclose(posterior.weights, weights / weights.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(MixturePosterior(*arguments, posterior.weights).weights, posterior.weights)


def test_arguments_stay_as_they_are():
    means, scale_trils, weights = np.zeros((2, 3, 1)), np.ones((2, 3, 1, 1)), np.ones((2, 3))
    means[1] = np.nan
    MixturePosterior(means, scale_trils, weights)
    assert weights.sum() == 6
    assert scale_trils.sum() == 6


GOOD = {"means": np.zeros((3, 2, 2)), "scale_trils": np.tile(np.eye(2), (3, 2, 1, 1))}


def with_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": np.zeros((3, 2))}, r"means has shape \(3, 2\); expected \(n, m, k\), m components in k targets"),
        ({"means": np.zeros((3, 0, 2))}, r"means has shape \(3, 0, 2\)"),
        (
            {"means": with_value(GOOD["means"], (1, 0, 0), np.nan)},
            "row 1: means are NaN or infinite in part; expected",
        ),
        ({"means": with_value(GOOD["means"], 2, np.inf)}, "row 2: means are NaN or infinite in part"),
        (
            {"scale_trils": np.eye(2)},
            r"scale_trils has shape \(2, 2\); expected \(3, 2, 2, 2\), a \(k, k\) factor per",
        ),
        (
            {"scale_trils": with_value(GOOD["scale_trils"], (2, 0, 0, 1), 0.1)},
            "row 2: scale_trils; expected finite lower",
        ),
        ({"scale_trils": with_value(GOOD["scale_trils"], (1, 0, 0, 0), 0.0)}, "row 1: .* with a positive diagonal"),
        ({"scale_trils": with_value(GOOD["scale_trils"], (0, 1, 1, 0), np.nan)}, "row 0: scale_trils"),
        ({"weights": np.ones(2)}, r"weights has shape \(2,\); expected \(3, 2\), one for each component"),
        (
            {"weights": [[1, 1], [0, 0], [1, 1]]},
            r"row 1: weights \[0. 0.\]; expected finite ones, not negative and not",
        ),
        ({"weights": [[1, 1], [1, 1], [2, -1]]}, r"row 2: weights \[ 2. -1.\]"),
        ({"groups": [0]}, r"groups has shape \(1,\) of int64; expected \(2,\) ints, the pass of each component"),
        ({"groups": [0.0, 1.0]}, r"groups has shape \(2,\) of float64"),
        ({"transforms": ["log"]}, "1 transforms; expected 2"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        MixturePosterior(**{**GOOD, **change})


def test_wrong_points(galaxies):
    with pytest.raises(ValueError, match=r"y has shape \(4, 2\); expected \(4, 3\) or \(4, q, 3\), a row per"):
        galaxies.log_prob(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"y has shape \(3, 3\)"):
        galaxies.cdf(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"y has shape \(4, 1\)"):
        galaxies.pdf(np.zeros(4))


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "many"])
def test_wrong_number_of_samples(galaxies, n_samples):
    with pytest.raises(ValueError, match=f"n_samples={n_samples!r}; expected a positive int."):
        galaxies.sample(n_samples)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 1e300])
def test_components_of_weight_0_count_for_nothing(galaxies, nothing):
    means, trils, weights = (np.array(part) for part in (galaxies.means, galaxies.scale_trils, galaxies.weights))
    means, trils, weights = (
        np.insert(part, 1, value, axis=1) for part, value in [(means, nothing), (trils, nothing), (weights, 0.0)]
    )
    means[2] = np.nan  # the missing one
    named = {"target_names": galaxies.target_names, "transforms": galaxies.transforms}
    posterior = MixturePosterior(means, trils, weights, **named)
    for statistic in ("mean", "std", "median", "mode", "skew", "cov", "latent_cov"):
        np.testing.assert_allclose(getattr(posterior, statistic)(), getattr(galaxies, statistic)(), rtol=2e-5)
    np.testing.assert_allclose(posterior.log_prob(galaxies.median()), galaxies.log_prob(galaxies.median()))
    for kind in ("hdi", "equal_tailed"):
        np.testing.assert_allclose(
            posterior.credible_interval(0.9, kind), galaxies.credible_interval(0.9, kind), rtol=1e-6
        )
    assert np.isfinite(posterior[0].sample(200, random_state=0)).all()


@pytest.mark.parametrize("scale", [1e-250, 1e200])
def test_huge_and_tiny_mixtures_have_the_shape_of_others(scale):
    rng = np.random.default_rng(0)
    means, trils = rng.normal(size=(4, 5, 1)), rng.uniform(0.2, 1, (4, 5, 1, 1))
    one, scaled = MixturePosterior(means, trils), MixturePosterior(means * scale, trils * scale)
    for statistic in ("mean", "std", "median", "mode"):
        np.testing.assert_allclose(getattr(scaled, statistic)() / scale, getattr(one, statistic)(), rtol=1e-6)
    np.testing.assert_allclose(scaled.kurtosis(), one.kurtosis(), rtol=1e-9)
    draws = scaled.sample(100, random_state=0) / scale
    np.testing.assert_allclose(draws, one.sample(100, random_state=0), rtol=1e-4, atol=1e-5)
    for kind in ("hdi", "equal_tailed"):
        ends = scaled.credible_interval(0.8, kind) / scale
        np.testing.assert_allclose(ends, one.credible_interval(0.8, kind), rtol=1e-5)
