import numpy as np
import pytest
from scipy.stats import kstest, norm

from galestim.calibration import pit, pit_uniformity
from galestim.posteriors import DrawsPosterior, MixturePosterior


def standard(n, width=1.0):
    return MixturePosterior(np.zeros((n, 1, 1)), np.full((n, 1, 1, 1), width))


# --- the transform ------------------------------------------------------------------------------------------


def test_it_is_the_probability_below_the_truth(simulate):
    posterior, y, _ = simulate(n=50)
    z = (y - posterior.mean()) / posterior.std()
    np.testing.assert_allclose(pit(posterior, y), norm.cdf(z), atol=1e-9)


@pytest.mark.parametrize("n_draws", [1, 3, 20])
def test_it_is_uniform_whatever_the_number_of_draws(n_draws):
    values = np.random.default_rng(n_draws).normal(size=(5000, n_draws + 1, 1))
    assert kstest(pit(values[:, 1:], values[:, 0]).ravel(), "uniform").pvalue > 0.01


def test_truths_that_equal_draws_are_put_among_them_at_random():
    values = np.random.default_rng(0).integers(3, size=(5000, 11, 1))  # as B/T at its bounds
    assert kstest(pit(values[:, 1:], values[:, 0]).ravel(), "uniform").pvalue > 0.01


def test_weighted_draws_count_by_their_weight():
    rng = np.random.default_rng(0)
    draws, y = rng.normal(size=(3000, 400, 1)), rng.normal(0.5, size=(3000, 1))
    weights = norm.pdf(draws[..., 0] - 0.5) / norm.pdf(draws[..., 0])  # as if drawn about 0.5
    assert kstest(pit(DrawsPosterior(draws, weights), y).ravel(), "uniform").pvalue > 0.01
    assert kstest(pit(draws, y).ravel(), "uniform").pvalue < 1e-6


def test_missing_cutouts_have_none_and_are_not_tested(simulate):
    posterior, y, _ = simulate(n=60)
    draws = posterior.sample(50, 0)
    draws[::3] = np.nan
    kept = np.arange(60) % 3 > 0
    np.testing.assert_array_equal(np.isnan(pit(draws, y)), np.repeat(~kept[:, None], 2, axis=1))
    means = np.where(kept[:, None, None], posterior.means, np.nan)
    with_missing = MixturePosterior(means, np.where(kept[:, None, None, None], posterior.scale_trils, np.nan))
    for ours, expected in zip(pit_uniformity(with_missing, y), pit_uniformity(posterior[kept], y[kept])):
        np.testing.assert_array_equal(ours, expected)


# --- its test -----------------------------------------------------------------------------------------------


def test_share_and_kolmogorov_smirnov(simulate):
    posterior, y, _ = simulate("biased", n=300)
    test, values = pit_uniformity(posterior, y), pit(posterior, y)
    np.testing.assert_allclose(test.ecdf, (values <= test.levels[:, None, None]).mean(axis=1))
    expected = [kstest(column, "uniform") for column in values.T]
    np.testing.assert_allclose(test.statistic, [one.statistic for one in expected])
    np.testing.assert_allclose(test.p_value, [one.pvalue for one in expected])


@pytest.mark.parametrize("n", [30, 400])
def test_the_band_is_that_of_arviz(n):
    test = pit_uniformity(standard(n), np.zeros(n), confidence=0.9)
    theirs = pytest.importorskip("arviz.stats.ecdf_utils", reason="arviz 1 has it no more")
    ends = theirs.ecdf_confidence_band(n, test.levels, test.levels, prob=0.9, method="optimized")
    for ours, theirs in zip((test.low, test.high), ends):  # theirs may be a count wider
        np.testing.assert_allclose(ours, theirs, atol=1.01 / n)


@pytest.mark.parametrize("n", [10, 300, 150_000])
def test_the_band_holds_its_share_of_uniform_values_at_all_levels_at_once(n):
    rng = np.random.default_rng(0)
    test = pit_uniformity(standard(n), np.zeros(n), confidence=0.8)
    counts = rng.multinomial(n, np.full(100, 0.01), size=4000).cumsum(axis=1)[:, :-1] / n
    held = ((counts >= test.low - 1e-9) & (counts <= test.high + 1e-9)).all(axis=1)
    assert 0.775 < held.mean() < (0.92 if n == 10 else 0.825)  # few values leave few bands to choose from


def test_its_p_value_says_whether_the_band_is_left():
    rng = np.random.default_rng(1)
    found, left = [], []
    for width in np.repeat([0.8, 1.0], 40):
        test = pit_uniformity(standard(150), rng.normal(scale=width, size=150), confidence=0.9)
        found.append(test.band_p_value[0] < 0.1)
        left.append(((test.ecdf[:, 0] < test.low) | (test.ecdf[:, 0] > test.high)).any())
    assert found == left
    assert 0 < sum(found) < 80


def test_bad_input_is_told(simulate):
    posterior, y, _ = simulate(n=5)
    with pytest.raises(ValueError, match="'confidence' parameter of pit_uniformity"):
        pit_uniformity(posterior, y, confidence=1.0)
