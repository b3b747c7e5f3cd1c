import tracemalloc

import numpy as np
import pytest
from scipy import stats

from galestim.posteriors._marginals import MixtureMarginal
from galestim.targets import AsinhTransform, IdentityTransform, LogitTransform, LogTransform

TRANSFORMS = [IdentityTransform(), LogTransform(), LogitTransform(), AsinhTransform(0.5)]
LEVELS = [0.3, 0.6827, 0.9545, 0.9973]


class Cube:
    """A transform that a user wrote."""

    def forward(self, y):
        return np.cbrt(y)

    def inverse(self, z):
        return z**3

    def log_abs_det_jacobian(self, y):
        return -np.log(3) - 2 / 3 * np.log(np.abs(y))


def marginal(mean, std, weight=None, transform=None, n=1):
    """`n` times the same mixture."""
    mean, std = np.broadcast_arrays(np.atleast_1d(mean).astype(float), std)
    weight = np.full(len(mean), 1 / len(mean)) if weight is None else np.asarray(weight)
    return MixtureMarginal(*(np.tile(v, (n, 1)) for v in (mean, std, weight)), transform or IdentityTransform())


def hard_mixtures(transform):
    rng = np.random.default_rng(0)
    return {
        "one": marginal(0.3, 1.5, transform=transform),
        "passes": marginal(rng.normal(0, 0.1, 32), rng.uniform(0.2, 0.5, 32), transform=transform),
        "unequal weights": marginal([-1, 0, 2], [0.5, 0.1, 1], [0.3, 0.69, 0.01], transform),
        "a needle": marginal([0, 0.5], [1, 1e-3], [0.9, 0.1], transform),
        "islands": marginal([-3, 0, 3], 0.1, [0.2, 0.45, 0.35], transform),
        "at the end": marginal([-7, -6], 1.5, transform=transform),
    }


MIXTURES = [
    pytest.param(mixture, id=f"{type(transform).__name__}-{name}")
    for transform in TRANSFORMS
    for name, mixture in hard_mixtures(transform).items()
]


def fine_grid(mixture, n_points=None):
    """Points so dense that a search among them needs no interpolation, with their cdf and density."""
    n_points = n_points or 4001 + 80_000 // mixture.mean.shape[1]
    around = (mixture.mean[0, :, None] + mixture.std[0, :, None] * np.linspace(-8, 8, n_points)).ravel()
    y = mixture.transform.inverse(np.unique(around))[None]
    return y[0], mixture.cdf(y)[0], mixture.pdf(y)[0]


@pytest.mark.parametrize("mixture", MIXTURES)
def test_quantiles_invert_the_cdf(mixture):
    q = np.array([1e-9, 1e-4, 0.01, 0.2, 0.5, 0.65, 0.84, 0.99, 1 - 1e-6])
    np.testing.assert_allclose(mixture.cdf(mixture.quantile(q))[0], q, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_mode_is_the_highest_point_of_the_density(mixture):
    y, _, density = fine_grid(mixture)
    mode = mixture.mode()[0]
    assert mixture.pdf(np.array([[mode]]))[0, 0] >= density.max() * (1 - 1e-6)
    assert abs(mode - y[density.argmax()]) < 1e-3 * np.sqrt(mixture.shape().variance[0])


@pytest.mark.parametrize("mixture", MIXTURES)
def test_hdi_holds_its_level_and_is_the_narrowest(mixture):
    y, cdf, _ = fine_grid(mixture)
    intervals = mixture.intervals(LEVELS, "hdi")
    np.testing.assert_allclose(np.diff(mixture.cdf(intervals.reshape(1, -1)).reshape(-1, 2))[:, 0], LEVELS, atol=1e-8)
    for level, (low, high) in zip(LEVELS, intervals[0]):
        upper = np.interp(cdf + level, cdf, y)
        narrowest = np.where(cdf + level < cdf[-1], upper - y, np.inf).min()
        assert high - low <= narrowest * (1 + 1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_hdi_is_narrower_than_the_equal_tailed_interval_where_it_is_skewed(transform):
    mixture = hard_mixtures(transform)["unequal weights"]
    hdi, equal = (np.diff(mixture.intervals(LEVELS, kind))[0, :, 0] for kind in ("hdi", "equal_tailed"))
    assert np.all(hdi < equal)


def scattered(m, width, seed):
    """Narrow components far from each other, of equal or of uneven weights."""
    rng = np.random.default_rng(seed)
    weight = np.full(m, 1 / m) if seed % 2 else rng.dirichlet(np.ones(m))
    return rng.normal(size=m), width * rng.uniform(0.5, 2, m), weight


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize(("m", "width"), [(2, 0.01), (5, 0.05), (20, 0.01), (24, 1e-4), (60, 0.003)])
def test_many_narrow_components_far_from_each_other(m, width, transform):
    for seed in range(2):
        mixture = marginal(*scattered(m, width, seed), transform)
        y, cdf, density = fine_grid(mixture, 1001)
        assert mixture.pdf(mixture.mode()[:, None])[0, 0] >= density.max() * (1 - 1e-5)
        levels = [0.3, 0.5, 0.6827, 0.9545]  # two of them in reach of equal weights
        intervals = mixture.intervals(levels, "hdi")
        held = np.diff(mixture.cdf(intervals.reshape(1, -1)).reshape(-1, 2))[:, 0]
        np.testing.assert_allclose(held, levels, atol=1e-8)
        for level, (low, high) in zip(levels, intervals[0]):
            narrowest = np.where(cdf + level < cdf[-1], np.interp(cdf + level, cdf, y) - y, np.inf).min()
            assert high - low <= narrowest * (1 + 1e-4)


@pytest.mark.parametrize("level", [0.3, 0.6, 0.9])
def test_an_interval_of_whole_components_crosses_no_gap(level):
    """Of ten equal needles a level of 0.3 takes the three that are nearest to each other."""
    place = np.array([0.0, 1, 3, 4.1, 9, 9.9, 10.7, 20, 21.3, 40])
    mixture = marginal(place, 1e-4)
    n = round(10 * level)
    low, high = mixture.intervals([level], "hdi")[0, 0]
    assert high - low == pytest.approx((place[n - 1 :] - place[: 11 - n]).min(), abs=2e-3)


def test_rows_that_are_scattered_do_not_change_others():
    smooth, wild = ([np.linspace(-0.3, 0.4, 20), np.full(20, 0.5)], scattered(20, 0.01, 1)[:2])
    both = MixtureMarginal(*(np.stack(pair) for pair in zip(smooth, wild)), np.full((2, 20), 0.05), TRANSFORMS[1])
    alone = [marginal(mean, std, transform=TRANSFORMS[1]) for mean, std in (smooth, wild)]
    for kind in ("hdi", "equal_tailed"):
        expected = np.concatenate([one.intervals(LEVELS, kind) for one in alone])
        np.testing.assert_allclose(both.intervals(LEVELS, kind), expected, rtol=1e-9)
    np.testing.assert_allclose(both.mode(), np.concatenate([one.mode() for one in alone]), rtol=1e-12)


def test_hdi_has_the_same_density_at_both_ends():
    mixture = marginal(np.linspace(-0.3, 0.4, 32), 0.5, transform=LogTransform())
    ends = mixture.intervals(LEVELS, "hdi")
    low, high = np.moveaxis([mixture.pdf(ends[..., i]) for i in (0, 1)], 0, 0)
    np.testing.assert_allclose(low, high, rtol=1e-4)


def test_a_gaussian():
    mixture = marginal(2.0, 3.0)
    oracle = stats.norm(2, 3)
    y = np.array([[-10.0, 0.0, 2.5, 30.0]])
    np.testing.assert_allclose(mixture.cdf(y)[0], oracle.cdf(y[0]), rtol=1e-12)
    np.testing.assert_allclose(mixture.pdf(y)[0], oracle.pdf(y[0]), rtol=1e-12)
    np.testing.assert_allclose(mixture.intervals(LEVELS, "equal_tailed")[0], np.transpose(oracle.interval(LEVELS)))
    np.testing.assert_allclose(mixture.intervals(LEVELS, "hdi")[0], np.transpose(oracle.interval(LEVELS)), atol=1e-4)
    assert mixture.mode() == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize("std", [0.01, 0.5, 2.0])
def test_a_lognormal(std):
    mixture = marginal(0.7, std, transform=LogTransform())
    oracle = stats.lognorm(std, scale=np.exp(0.7))
    q = np.array([0.001, 0.5, 0.9])
    np.testing.assert_allclose(mixture.quantile(q)[0], oracle.ppf(q), rtol=1e-10)
    np.testing.assert_allclose(mixture.pdf(oracle.ppf(q)[None])[0], oracle.pdf(oracle.ppf(q)), rtol=1e-10)
    assert mixture.mode() == pytest.approx(np.exp(0.7 - std**2), rel=1e-3 * std)


def test_a_transform_of_the_user():
    mixture = marginal([2.0, 3.0], [0.2, 0.1], transform=Cube())
    q = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(mixture.cdf(mixture.quantile(q))[0], q, atol=1e-10)
    y, _, density = fine_grid(mixture)
    assert np.trapezoid(density, y) == pytest.approx(1, abs=1e-5)
    assert mixture.mode()[0] == pytest.approx(y[density.argmax()], rel=1e-3)


@pytest.mark.parametrize(("transform", "low", "high"), [(LogTransform(), 0, np.inf), (LogitTransform(2, 5), 2, 5)])
def test_outside_the_support_there_is_nothing(transform, low, high):
    mixture = marginal(0.0, 1.0, transform=transform)
    y = np.array([[low - 1.0, low, high, high + 1.0, np.nan]])
    np.testing.assert_array_equal(mixture.pdf(y)[0], [0, 0, 0, 0, np.nan])
    np.testing.assert_array_equal(mixture.cdf(y)[0], [0, 0, 1, 1, np.nan])
    np.testing.assert_array_equal(mixture.quantile(np.array([0.0, 1.0]))[0], [low, high])


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    mixture = MixtureMarginal(
        rng.normal(size=(512, 32)), np.full((512, 32), 0.5), np.full((512, 32), 1 / 32), TRANSFORMS[2]
    )
    tracemalloc.start()
    mixture.intervals([0.6827], "hdi")
    mixture.mode()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # the kernels of the table are 38 MB
