import numpy as np
from scipy.stats import chi2

from galestim.calibration import coverage, joint_coverage
from galestim.posteriors import DrawsPosterior, MixturePosterior


def test_regions_of_a_gaussian_are_ellipsoids(simulate):
    posterior, y, _ = simulate("too narrow", n=2000)
    z = np.linalg.solve(posterior.scale_trils[:, 0], (y - posterior.mean())[..., None])[..., 0]
    level = chi2(2).cdf((z**2).sum(axis=1))
    expected = (level <= np.arange(1, 100)[:, None] / 100).mean(axis=1)
    for form in (posterior, DrawsPosterior(posterior.sample(300, 1))):
        np.testing.assert_allclose(joint_coverage(form, y, n_samples=300).ecdf, expected, atol=0.02)


def test_of_one_target_it_is_the_coverage_of_the_narrowest_intervals():
    rng = np.random.default_rng(0)
    posterior = MixturePosterior(np.zeros((1000, 1, 1)), np.full((1000, 1, 1, 1), 0.7), transforms="log")
    y = np.exp(rng.normal(size=1000))
    test = joint_coverage(posterior, y, n_samples=1000)
    expected = coverage(posterior, y, test.levels[9::20], kind="hdi").coverage[:, 0]
    np.testing.assert_allclose(test.ecdf[9::20], expected, atol=0.02)


def test_a_target_made_of_another_changes_nothing(simulate):
    posterior, y, _ = simulate(n=100)
    draws = posterior.sample(50, 0)
    twice = joint_coverage(np.dstack([draws, draws.sum(axis=2)]), np.column_stack([y, y.sum(axis=1)]))
    np.testing.assert_allclose(twice.ecdf, joint_coverage(draws, y).ecdf)


def test_a_truth_outside_the_support_is_in_no_region():
    posterior = MixturePosterior(np.zeros((50, 1, 1)), np.ones((50, 1, 1, 1)), transforms="log")
    assert joint_coverage(posterior, np.full(50, -1.0)).ecdf[90] == 0
