import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable
from scipy.stats import binomtest, norm
from sklearn.utils._param_validation import InvalidParameterError

from galestim.calibration import coverage, coverage_error
from galestim.posteriors import DrawsPosterior, MixturePosterior

SIGMAS = norm.cdf([1, 2, 3]) - norm.cdf([-1, -2, -3])


@pytest.fixture(scope="module")
def truth():
    """Two targets of standard normal truths."""
    return np.random.default_rng(0).normal(size=(2000, 2))


def gaussian(n, widths, **options):
    return MixturePosterior(np.zeros((n, 1, 2)), np.tile(np.diag(widths), (n, 1, 1, 1)), **options)


@pytest.mark.parametrize("kind", ["equal_tailed", "hdi"])
def test_coverage_of_gaussians(truth, kind):
    # Half as wide, an interval of 2 σ reaches 1 σ only.
    result = coverage(gaussian(2000, [1.0, 0.5]), truth, SIGMAS, kind=kind)
    expected = np.stack([SIGMAS, 1 - 2 * norm.cdf([-0.5, -1.0, -1.5])], axis=1)
    np.testing.assert_allclose(result.coverage, expected, atol=0.03)
    assert ((result.low < expected) & (expected < result.high)).all()


def test_default_levels_are_one_two_and_three_sigma(truth):
    levels = coverage(gaussian(2000, [1.0, 1.0]), truth).levels
    np.testing.assert_allclose(levels, SIGMAS, atol=1e-4)


@pytest.mark.parametrize("kind", ["equal_tailed", "hdi"])
def test_the_truth_is_counted_when_the_interval_holds_it(truth, kind):
    posterior = gaussian(300, [1.0, 0.6], transforms="log")
    y = np.exp(truth[:300])
    interval = posterior.credible_interval(0.8, kind=kind)
    held = (interval[..., 0] <= y) & (y <= interval[..., 1])
    np.testing.assert_array_equal(coverage(posterior, y, [0.8], kind=kind).coverage[0], held.mean(axis=0))


def test_kinds_differ_where_the_posterior_is_skewed():
    # The narrowest interval of a log-normal begins nearer to zero than the equal-tailed one.
    posterior = gaussian(1, [1.0, 1.0], transforms="log")
    y = np.full((1, 2), 0.2)
    assert coverage(posterior, y, [0.8], kind="hdi").coverage.all()
    assert not coverage(posterior, y, [0.8]).coverage.any()


def test_intervals_are_wilsons():
    y = np.zeros((20, 1))
    y[:3] = 10.0
    posterior = MixturePosterior(np.zeros((20, 1, 1)), np.ones((20, 1, 1, 1)))
    result = coverage(posterior, y, [0.5])
    assert result.coverage.item() == 17 / 20
    expected = binomtest(17, 20).proportion_ci(confidence_level=0.95, method="wilson")
    np.testing.assert_allclose([result.low.item(), result.high.item()], expected)


@pytest.mark.parametrize("kind", ["equal_tailed", "hdi"])
def test_draws_cover_as_their_distribution_does(truth, kind):
    # The narrowest interval of finitely many draws covers a little less.
    draws = np.random.default_rng(1).normal(size=(500, 2000, 2))
    for posterior in (draws, DrawsPosterior(draws)):
        np.testing.assert_allclose(
            coverage(posterior, truth[:500], [0.5, 0.9], kind=kind).coverage, [[0.5] * 2, [0.9] * 2], atol=0.05
        )


# --- the error ----------------------------------------------------------------------------------------------


def test_error_is_the_distance_from_the_diagonal(truth):
    posterior = gaussian(2000, [1.0, 0.5])
    levels = np.arange(0.05, 0.951, 0.05)
    found = coverage(posterior, truth, levels).coverage
    assert coverage_error(posterior, truth) == pytest.approx(np.abs(found - levels[:, None]).mean())
    assert coverage_error(posterior, truth, [0.5]) == pytest.approx(np.abs(found[9] - 0.5).mean())


def test_error_of_calibrated_posteriors_is_chance():
    y = np.random.default_rng(0).normal(size=(200, 100, 2))
    errors = [coverage_error(gaussian(100, [1.0, 1.0]), one) for one in y]
    assert np.mean(errors) == pytest.approx(0.33 / np.sqrt(100), rel=0.1)


def test_weights_count_as_repetitions(truth):
    posterior, y = gaussian(50, [1.0, 0.5]), truth[:50]
    weight = np.arange(50) % 3
    rows = np.repeat(np.arange(50), weight)
    expected = coverage_error(posterior[rows], y[rows])
    assert coverage_error(posterior, y, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [coverage, coverage_error])
def test_errors_say_what_to_do(measure, truth):
    posterior = gaussian(2000, [1.0, 1.0])
    for levels in ([0.0], [0.5, 1.0], [68.27], [np.nan]):
        with pytest.raises(ValueError, match=r"^levels=\[.*\]; expected probabilities between 0 and 1"):
            measure(posterior, truth, levels)
    with pytest.raises(InvalidParameterError, match="'kind' parameter of"):
        measure(posterior, truth, kind="central")


def test_columns_of_a_table_are_found_by_the_names_of_the_targets(truth):
    posterior = gaussian(2000, [1.0, 0.5], target_names=["flux", "radius"])
    table = QTable({"other": truth[:, 0], "radius": truth[:, 1] * u.arcsec, "flux": truth[:, 0]})
    expected = coverage(posterior, truth).coverage
    np.testing.assert_array_equal(coverage(posterior, table).coverage, expected)
    np.testing.assert_array_equal(coverage(posterior, table["flux", "radius"].as_array()).coverage, expected)
    with pytest.raises(ValueError, match="none named 'flux'; expected 'flux', 'radius'"):
        coverage(posterior, table["other", "radius"])
    masked = QTable({"flux": MaskedColumn(truth[:, 0], mask=truth[:, 0] > 2), "radius": truth[:, 1]})
    with pytest.raises(ValueError, match=r"^Input y contains NaN or infinity in \d+ of 2000 rows, .* Masked"):
        coverage(posterior, masked)
