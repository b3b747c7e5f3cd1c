import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.distance import pdist
from scipy.special import gamma, hyp1f1
from scipy.stats import multivariate_normal, norm
from sklearn.utils._param_validation import InvalidParameterError

from galestim.calibration import _inputs, crps, energy_score, log_score
from galestim.posteriors import DrawsPosterior, MixturePosterior


def gaussian(mean, std, **options):
    """Posteriors of one target with mean and standard deviation of shape (n,)."""
    mean, std = np.broadcast_arrays(np.asarray(mean, dtype=float), std)
    return MixturePosterior(mean[:, None, None], std[:, None, None, None], **options)


def gaussian_crps(mean, std, y):
    z = (y - mean) / std
    return std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def isotropic_energy(k, distance):
    """Energy score of a standard Gaussian in k dimensions, of a truth at some distance."""
    mean_norm = np.sqrt(2) * gamma((k + 1) / 2) / gamma(k / 2)
    return mean_norm * (hyp1f1(-0.5, k / 2, -(distance**2) / 2) - np.sqrt(2) / 2)


def assert_mean(values, expected):
    """The mean of independent values agrees with `expected` within four standard errors."""
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(len(values))


# --- log score ----------------------------------------------------------------------------------------------


def test_log_score_of_a_joint_gaussian():
    mean, tril = np.array([1.0, -2.0]), np.array([[2.0, 0.0], [1.0, 0.5]])
    y = np.array([[0.0, 0.0], [1.0, -2.0]])
    posterior = MixturePosterior(np.tile(mean, (2, 1, 1)), np.tile(tril, (2, 1, 1, 1)))
    np.testing.assert_allclose(log_score(posterior, y), multivariate_normal(mean, tril @ tril.T).logpdf(y))


def test_draws_have_no_log_score():
    with pytest.raises(TypeError):
        log_score(np.zeros((2, 10, 1)), [0.0, 0.0])


# --- CRPS ---------------------------------------------------------------------------------------------------


def test_crps_of_gaussians_is_exact():
    mean, std, y = np.array([0.0, 1.0, -30.0]), np.array([1.0, 0.1, 5.0]), np.array([0.0, 3.0, -31.0])
    np.testing.assert_allclose(crps(gaussian(mean, std), y)[:, 0], gaussian_crps(mean, std, y), rtol=1e-12)


def test_crps_of_a_mixture_is_the_integral_of_its_definition():
    means, stds, weights = np.array([-1.0, 2.0, 2.5]), np.array([0.5, 1.0, 0.2]), np.array([0.5, 0.3, 0.2])
    posterior = MixturePosterior(means[None, :, None], stds[None, :, None, None], weights[None])

    def squared_difference(t, y):
        return (weights @ norm.cdf((t - means) / stds) - (t >= y)) ** 2

    for y in (-3.0, 0.4, 2.4):
        pieces = [quad(squared_difference, *ends, args=(y,), limit=200)[0] for ends in ((-10, y), (y, 15))]
        assert crps(posterior, [y]).item() == pytest.approx(sum(pieces), rel=1e-6)


def test_crps_of_a_joint_posterior_is_that_of_its_marginals():
    tril = np.array([[2.0, 0.0], [3.0, 4.0]])
    posterior = MixturePosterior(np.zeros((1, 1, 2)), tril[None, None])
    expected = [gaussian_crps(0.0, 2.0, 1.0), gaussian_crps(0.0, 5.0, -1.0)]
    np.testing.assert_allclose(crps(posterior, [[1.0, -1.0]])[0], expected)


def test_crps_of_a_transformed_target():
    # Log-normal: Baran & Lerch 2015, QJRMS 141, 2289. Only the transformed target needs draws.
    n, sigma, y = 2000, 0.5, 1.3
    posterior = MixturePosterior(
        np.zeros((n, 1, 2)), np.tile(np.diag([sigma, 1.0]), (n, 1, 1, 1)), transforms=["log", "identity"]
    )
    z = np.log(y) / sigma
    expected = y * (2 * norm.cdf(z) - 1) - 2 * np.exp(sigma**2 / 2) * (
        norm.cdf(z - sigma) + norm.cdf(sigma / np.sqrt(2)) - 1
    )
    scores = crps(posterior, np.tile([y, 0.7], (n, 1)), n_samples=20)
    assert_mean(scores[:, 0], expected)
    np.testing.assert_allclose(scores[:, 1], gaussian_crps(0.0, 1.0, 0.7))


@pytest.mark.parametrize("n_draws", [2, 3, 10])
def test_crps_of_few_draws_is_unbiased(n_draws):
    draws = np.random.default_rng(n_draws).normal(size=(20_000, n_draws, 1))
    assert_mean(crps(draws, np.full(20_000, 0.4))[:, 0], gaussian_crps(0.0, 1.0, 0.4))


def test_crps_of_draws_is_over_all_their_pairs():
    draws, y = np.random.default_rng(0).normal(size=(4, 30, 2)), np.ones((4, 2))
    expected = [[np.abs(x - 1.0).mean() - 0.5 * pdist(x[:, None]).mean() for x in galaxy.T] for galaxy in draws]
    np.testing.assert_allclose(crps(draws, y), expected)
    np.testing.assert_allclose(crps(DrawsPosterior(draws), y), expected)


def test_many_components_are_scored_by_draws():
    means = np.random.default_rng(0).normal(size=(300, 150, 1))
    posterior = MixturePosterior(means, np.full((300, 150, 1, 1), 0.5))
    scores = crps(posterior, np.full(300, 0.4), n_samples=200)[:, 0]
    few = MixturePosterior(means[:, :100], np.full((300, 100, 1, 1), 0.5))
    assert abs(scores.mean() - crps(few, np.full(300, 0.4)).mean()) < 0.02


# --- energy score -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_draws", [2, 3, 10])
@pytest.mark.parametrize(("k", "distance"), [(1, 0.5), (3, 0.0), (3, 2.0)])
def test_energy_score_is_unbiased(k, distance, n_draws):
    y = np.zeros((20_000, k))
    y[:, 0] = distance
    posterior = MixturePosterior(np.zeros((20_000, 1, k)), np.tile(np.eye(k), (20_000, 1, 1, 1)))
    assert_mean(energy_score(posterior, y, n_samples=n_draws), isotropic_energy(k, distance))


def test_energy_score_of_one_target_is_its_crps():
    assert isotropic_energy(1, 0.7) == pytest.approx(gaussian_crps(0.0, 1.0, 0.7))
    y = np.linspace(-2, 2, 50)
    scores = energy_score(gaussian(np.zeros(50), 1.0), y, n_samples=5000)
    np.testing.assert_allclose(scores, gaussian_crps(0.0, 1.0, y), atol=0.08)


def test_draws_may_come_in_any_order():
    # As from a chain that moves slowly: neighbors are close, so pairs of neighbors would say "too sharp".
    draws = np.sort(np.random.default_rng(0).normal(size=(1, 100, 1)), axis=1)
    scores = [energy_score(draws, [0.0], random_state=seed).item() for seed in range(500)]
    assert_mean(scores, np.abs(draws).mean() - 0.5 * pdist(draws[0]).mean())


def test_energy_score_sees_correlations_that_crps_does_not():
    rng = np.random.default_rng(0)
    tril = np.array([[1.0, 0.0], [0.9, np.sqrt(1 - 0.9**2)]])
    y = rng.normal(size=(500, 2)) @ tril.T
    right, wrong = (MixturePosterior(np.zeros((500, 1, 2)), np.tile(t, (500, 1, 1, 1))) for t in (tril, np.eye(2)))
    np.testing.assert_allclose(crps(right, y), crps(wrong, y))
    assert energy_score(right, y).mean() < energy_score(wrong, y).mean() - 0.02


def test_scale_undoes_a_change_of_units():
    draws, y = np.random.default_rng(0).normal(size=(3, 50, 2)), np.ones((3, 2))
    units = np.array([1.0, 1e5])
    np.testing.assert_allclose(energy_score(draws * units, y * units, scale=units), energy_score(draws, y))
    for scale in ([1.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="expected a positive number for each of 2 targets"):
            energy_score(draws, y, scale=scale)


# --- all ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [log_score, crps, energy_score])
def test_missing_cutouts_have_no_score(score):
    mean = np.array([0.0, np.nan, 1.0])
    scores = score(gaussian(mean, np.where(np.isnan(mean), np.nan, 1.0), transforms="asinh"), np.zeros(3))
    np.testing.assert_array_equal(np.isnan(scores.reshape(3)), [False, True, False])


@pytest.mark.parametrize("score", [crps, energy_score])
def test_draws_that_overflow_have_no_score(score):
    scores = score(gaussian(np.zeros(2), np.array([1.0, 1e4]), transforms="log"), np.ones(2)).reshape(2)
    np.testing.assert_array_equal(np.isnan(scores), [False, True])


@pytest.mark.parametrize("score", [crps, energy_score])
def test_same_seed_same_draws(score):
    posterior = gaussian(np.zeros(3), 1.0, transforms="log")
    first, second, other = (score(posterior, np.ones(3), n_samples=10, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != other).all()


@pytest.mark.parametrize("score", [crps, energy_score])
def test_galaxies_keep_their_place_in_chunks(score, monkeypatch):
    mean = np.arange(50.0)
    monkeypatch.setattr(_inputs, "_CHUNK", 3 * 200)
    scores = score(gaussian(mean, 0.1, transforms="asinh"), np.sinh(mean), n_samples=200).reshape(50)
    assert (scores < 0.1 * np.cosh(mean)).all()


@pytest.mark.parametrize("score", [crps, energy_score])
def test_weighted_draws_count_by_their_weight(score):
    draws, y = np.random.default_rng(0).normal(size=(300, 400, 1)), np.zeros(300)
    weights = norm.pdf(draws[..., 0] - 1) / norm.pdf(draws[..., 0])  # as if drawn about 1
    scores = score(DrawsPosterior(draws, weights), y).mean()
    assert scores == pytest.approx(gaussian_crps(1.0, 1.0, 0.0), abs=0.03)


@pytest.mark.parametrize("score", [crps, energy_score])
def test_one_draw_is_too_few(score):
    with pytest.raises(ValueError, match="needs at least 2 draws per galaxy; got 1"):
        score(np.zeros((3, 1, 1)), np.zeros(3))
    with pytest.raises(InvalidParameterError, match="'n_samples' parameter of"):
        score(gaussian(np.zeros(3), 1.0), np.zeros(3), n_samples=1)
