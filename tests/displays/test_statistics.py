import numpy as np
import pytest
from scipy import stats
from sklearn.utils._param_validation import InvalidParameterError

from galestim.displays._statistics import (
    binned_means,
    bootstrap_correlations,
    midranks,
    p_value,
    pearson,
    resample_counts,
    root_mean_squared_error,
    spearman,
)


def correlated(n, r, seed=0):
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([0, 0], [[1, r], [r, 1]], size=n).T


@pytest.mark.parametrize("n", [3, 20, 501])
def test_point_values_agree_with_scipy(n):
    x, y = correlated(n, 0.7)
    r, rho = bootstrap_correlations(x, y, n_bootstrap=5, random_state=0)
    assert r.value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert rho.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert r.p_value == pytest.approx(stats.pearsonr(x, y).pvalue, rel=1e-9)
    assert rho.p_value == pytest.approx(stats.spearmanr(x, y).pvalue, rel=1e-9)


def test_each_resample_agrees_with_scipy_on_the_repeated_galaxies():
    x, y = np.round(correlated(60, 0.6), 1)  # rounded, so that there are ties to rank
    counts = resample_counts(60, 8, np.random.RandomState(0))
    for k, row in enumerate(counts.astype(int)):
        xs, ys = np.repeat(x, row), np.repeat(y, row)
        assert len(xs) == 60
        assert pearson(x, y, counts)[k] == pytest.approx(stats.pearsonr(xs, ys).statistic, abs=1e-12)
        assert spearman(x, y, counts)[k] == pytest.approx(stats.spearmanr(xs, ys).statistic, abs=1e-12)
        np.testing.assert_allclose(np.repeat(midranks(x, counts)[k], row), stats.rankdata(xs))


def test_a_large_offset_costs_no_digits():
    x, y = correlated(100, 0.5)
    r, _ = bootstrap_correlations(x + 1e8, y, n_bootstrap=1)
    assert r.value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_interval_agrees_with_fisher_z(level):
    x, y = correlated(2000, 0.75)
    r, _ = bootstrap_correlations(x, y, n_bootstrap=4000, confidence_level=level, random_state=0)
    low, high = stats.pearsonr(x, y).confidence_interval(level)  # Fisher's z: exact for these Gaussian pairs
    assert (r.low, r.high) == pytest.approx((low, high), abs=0.004)
    assert high - low > 4 * 0.004  # the tolerance means something


def test_interval_agrees_with_scipy_bootstrap_for_spearman():
    x, y = correlated(300, 0.6)
    reference = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=0,
    ).confidence_interval
    _, rho = bootstrap_correlations(x, y, n_bootstrap=2000, random_state=0)
    assert (rho.low, rho.high) == pytest.approx(tuple(reference), abs=0.012)


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = []
    for seed in range(300):
        r, _ = bootstrap_correlations(*correlated(100, 0.75, seed), n_bootstrap=200, random_state=seed)
        covered.append(r.low <= 0.75 <= r.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)  # three binomial standard errors


def test_intervals_repeat_with_the_seed_whatever_the_chunks(monkeypatch):
    x, y = correlated(50, 0.5)
    whole = bootstrap_correlations(x, y, n_bootstrap=100, random_state=3)
    assert bootstrap_correlations(x, y, n_bootstrap=100, random_state=4) != whole
    monkeypatch.setattr("galestim.displays._statistics._CHUNK", 50 * 7)
    assert bootstrap_correlations(x, y, n_bootstrap=100, random_state=3) == whole


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_correlations_do_not_depend_on_the_unit(unit):
    x, y = correlated(100, 0.5)
    one, other = (bootstrap_correlations(x * u, y, n_bootstrap=20, random_state=0) for u in (1, unit))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_constant_has_no_correlation():
    x = np.linspace(0, 1, 30)
    for r in bootstrap_correlations(x, np.full(30, 0.1), n_bootstrap=20, random_state=0):
        assert np.isnan(r).all()


def test_resamples_of_one_repeated_galaxy_are_ignored():
    x = np.array([0.1, 0.2, 0.7])  # one resample in nine repeats a single galaxy
    r, rho = bootstrap_correlations(x, 3 * x + 0.1, n_bootstrap=200, random_state=0)
    assert r == pytest.approx((1, 1, 1, 0), abs=1e-7)
    assert rho == pytest.approx((1, 1, 1, 0), abs=1e-7)


@pytest.mark.parametrize(
    ("parameter", "value", "sentence"),
    [
        ("n_bootstrap", 0, r"must be an int in the range \[1, inf\). Got 0 instead"),
        ("confidence_level", 95, r"must be a float in the range \(0.0, 1.0\). Got 95 instead"),
    ],
)
def test_bootstrap_parameters_are_checked(parameter, value, sentence):
    with pytest.raises(InvalidParameterError, match=sentence):
        bootstrap_correlations(np.arange(5.0), np.arange(5.0), **{parameter: value})


def test_quantile_bins_by_a_loop(spins):
    x, y = spins
    bins = binned_means(x, y, n_bins=8)
    order = np.argsort(x)
    for k, members in enumerate(np.split(order, 8)):
        assert bins.n_points[k] == 50
        assert bins.center[k] == pytest.approx(x[members].mean())
        assert bins.mean[k] == pytest.approx(y[members].mean())
        assert bins.std[k] == pytest.approx(y[members].std())


def test_uniform_bins_by_scipy_and_without_empty_ones():
    x = np.concatenate([np.linspace(0, 0.29, 30), np.linspace(0.8, 1, 30)])
    y = np.sin(9 * x)
    bins = binned_means(x, y, n_bins=10, bin_strategy="uniform")
    for name, statistic in [("n_points", "count"), ("mean", "mean"), ("std", "std")]:
        reference = stats.binned_statistic(x, y, statistic, bins=10).statistic
        filled = stats.binned_statistic(x, y, "count", bins=10).statistic > 0
        np.testing.assert_allclose(getattr(bins, name), reference[filled])
    assert len(bins.mean) == 5


def test_there_are_never_more_bins_than_galaxies_can_fill():
    x = np.arange(20.0)
    np.testing.assert_array_equal(binned_means(x, x, n_bins=10).n_points, [5, 5, 5, 5])
    np.testing.assert_array_equal(binned_means(x[:3], x[:3], n_bins=10).n_points, [3])


def test_equal_values_share_a_bin():
    x = np.repeat([0.0, 1.0], [70, 30])
    bins = binned_means(x, x, n_bins=10)
    np.testing.assert_array_equal(bins.center, [0, 1])
    np.testing.assert_array_equal(bins.n_points, [70, 30])


def test_a_wrong_bin_strategy_names_the_right_ones(spins):
    with pytest.raises(InvalidParameterError, match=r"'bin_strategy' parameter .* Got 'kmeans' instead"):
        binned_means(*spins, bin_strategy="kmeans")


def test_root_mean_squared_error():
    assert root_mean_squared_error(np.array([1.0, 2.0]), np.array([4.0, 6.0])) == pytest.approx(12.5**0.5)


def test_p_values_are_uniform_without_a_correlation():
    rng, once = np.random.default_rng(0), np.ones((1, 12))
    p = [p_value(pearson(*rng.normal(size=(2, 12)), once)[0], 12) for _ in range(500)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_two_points_say_nothing():
    assert np.isnan(p_value(1.0, 2))
