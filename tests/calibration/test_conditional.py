from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

from galestim.calibration import conditional_coverage, coverage
from galestim.posteriors import MixturePosterior


def test_each_bin_is_the_coverage_of_its_galaxies(simulate):
    posterior, y, magnitude = simulate("bright", n=300)
    edges = [18, 19, 20.5, 22]
    found = conditional_coverage(posterior, y, magnitude, [0.5, 0.9], bins=edges)
    np.testing.assert_array_equal(found.edges[0], edges)
    for row, (low, high) in enumerate(pairwise(edges)):
        inside = (magnitude >= low) & (magnitude < high)
        expected = coverage(posterior[inside], y[inside], [0.5, 0.9])
        assert found.n_galaxies[row] == inside.sum()
        for ours, theirs in zip((found.coverage, found.low, found.high), expected[1:]):
            np.testing.assert_allclose(ours[row], theirs)


def test_bins_of_two_features(simulate):
    posterior, y, magnitude = simulate(n=400)
    radius = posterior.mean()[:, 1]
    found = conditional_coverage(posterior, y, np.column_stack([magnitude, radius]), bins=[[18, 20, 22], 5])
    assert (found.n_galaxies.shape, found.coverage.shape, found.p_value.shape) == ((2, 5), (2, 5, 1, 2), (1, 2))
    inside = (magnitude >= 20) & (radius >= found.edges[1][1]) & (radius < found.edges[1][2])
    np.testing.assert_allclose(found.coverage[1, 1], coverage(posterior[inside], y[inside], found.levels).coverage)


def test_bins_by_number_hold_as_many_galaxies_each(simulate):
    posterior, y, magnitude = simulate(n=500)
    np.testing.assert_array_equal(conditional_coverage(posterior, y, magnitude).n_galaxies, 100)
    assert conditional_coverage(posterior, y, np.zeros(500)).n_galaxies == [500]


def test_galaxies_outside_all_bins_are_left_out(simulate):
    posterior, y, magnitude = simulate(n=200)
    found = conditional_coverage(posterior, y, magnitude, bins=[10, 18, 20])
    assert found.n_galaxies.tolist() == [0, (magnitude < 20).sum()]
    assert np.isnan(found.coverage[0]).all()
    assert np.isfinite(found.p_value).all()


def test_p_values_are_binomial():
    y = np.where(np.arange(40) < 29, 0.0, 10.0)
    posterior = MixturePosterior(np.zeros((40, 1, 1)), np.ones((40, 1, 1, 1)))
    found = conditional_coverage(posterior, y, np.repeat([0, 1], 20), [0.5], bins=[0, 1, 2])
    exact = [binomtest(held, 20, 0.5).pvalue for held in (20, 9)]
    np.testing.assert_allclose(found.bin_p_value.ravel(), exact)
    np.testing.assert_allclose(found.p_value.item(), 1 - (1 - min(exact)) ** 2)


# --- what it sees -------------------------------------------------------------------------------------------


def test_the_coverage_of_all_galaxies_does_not_see_faults_that_cancel(simulate):
    posterior, y, magnitude = simulate("cancel", n=5000)
    assert (np.abs(coverage(posterior, y).coverage[0] - 0.6827) < 0.05).all()
    found = conditional_coverage(posterior, y, magnitude, bins=[18, 20, 22]).coverage[:, 0]
    assert (np.abs(found - 0.6827) > 0.1).all()


def test_bins_of_the_truth_deceive():
    rng = np.random.default_rng(0)
    y = rng.normal(size=2000)
    measured = y + rng.normal(size=2000)
    posterior = MixturePosterior(measured[:, None, None] / 2, np.full((2000, 1, 1, 1), np.sqrt(0.5)))  # exact
    assert conditional_coverage(posterior, y, y).p_value < 1e-6
    assert conditional_coverage(posterior, y, measured).p_value > 0.05


def test_bad_input_is_told(simulate):
    posterior, y, magnitude = simulate(n=20)
    for by, bins, sentence in [
        (magnitude[1:], 5, r"^by has 19 rows; expected 20, one for each posterior\.$"),
        (magnitude, [20, 18], r"^bins=\[20\.0, 18\.0\]; expected at least two increasing edges\.$"),
        (y, [3], r"^bins has 1 entries; expected an int, or for each of 2 features one\.$"),
        (magnitude, [1, 2], "^No galaxy is inside the bins; expected edges around some, which go from"),
        (np.where(magnitude > magnitude.min(), magnitude, np.nan), 5, "by contains NaN"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            conditional_coverage(posterior, y, by, bins=bins)
    with pytest.raises(ValueError, match=r"^levels=\[68\.0\]; expected probabilities"):
        conditional_coverage(posterior, y, magnitude, [68.0])
