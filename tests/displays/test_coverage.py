import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.special import ndtr, ndtri

from galestim.calibration import coverage
from galestim.displays import CoverageDisplay
from galestim.posteriors import MixturePosterior

from ._calibration import galaxies

SIGMAS = [0.6827, 0.9545, 0.9973]


def test_the_curves_are_the_coverage_of_each_target():
    display = CoverageDisplay.from_posterior(*galaxies())
    z = ndtri((1 + display.levels) / 2)
    expected = [2 * ndtr(z * width) - 1 for width in (1, 0.5, 2)]
    for line, residual, curve in zip(display.lines_, display.residual_lines_, expected):
        np.testing.assert_array_equal(line.get_xdata(), display.levels)
        np.testing.assert_allclose(line.get_ydata(), curve, atol=0.04)
        np.testing.assert_allclose(residual.get_ydata(), line.get_ydata() - display.levels)
    top, bottom = display.axes_
    assert (display.lines_[0].axes, display.residual_lines_[0].axes) == (top, bottom)


def test_the_levels_of_one_two_and_three_sigma_are_marked():
    display = CoverageDisplay.from_posterior(*galaxies())
    for line in display.lines_:
        np.testing.assert_allclose(line.get_xdata()[line.get_markevery()], SIGMAS)
    assert [text.get_text() for text in display.axes_[0].texts] == ["1σ", "2σ", "3σ"]


def test_a_curve_leaves_the_band_where_its_wilson_interval_leaves_the_diagonal():
    posterior, y = galaxies(300, widths=(1.0, 0.9, 1.1))
    levels = np.linspace(0.01, 0.99, 99)
    display = CoverageDisplay.from_posterior(posterior, y, levels=levels)
    found = coverage(posterior, y, levels)
    outside = (display.coverage < display.low[:, None]) | (display.coverage > display.high[:, None])
    wilson = (found.low > levels[:, None]) | (found.high < levels[:, None])
    assert 0 < outside.sum() < outside.size
    np.testing.assert_array_equal(outside, wilson)


def test_the_band_holds_calibrated_posteriors_at_any_level():
    inside = []
    for seed in range(20):
        posterior, y = galaxies(200, widths=(1.0, 1.0, 1.0), seed=seed)
        display = CoverageDisplay.from_posterior(posterior, y, levels=[0.3, 0.6827])
        inside.append((display.coverage >= display.low[:, None]) & (display.coverage <= display.high[:, None]))
        plt.close(display.figure_)
    assert 0.88 < np.mean(inside) < 1  # 0.95 of 120, give or take


def test_the_drawn_band_is_the_band():
    display = CoverageDisplay.from_posterior(*galaxies(100))
    for band, offset in [(display.band_, 0), (display.residual_band_, 0.5)]:
        x, y = band.get_paths()[0].vertices.T
        half = 1.959964 * np.sqrt(0.25 / 100)
        edges = np.unique(y[x == 0.5].round(9)) + offset
        np.testing.assert_allclose(edges, [0.5 - half, 0.5 + half], atol=1e-6)


def test_missing_cutouts_are_left_out_and_counted():
    posterior, y = galaxies(50)
    means, scale_trils = posterior.means.copy(), posterior.scale_trils.copy()
    means[:3] = scale_trils[:3] = np.nan
    display = CoverageDisplay.from_posterior(MixturePosterior(means, scale_trils), y)
    assert (display.n_samples, display.n_missing) == (47, 3)
    np.testing.assert_array_equal(display.coverage, CoverageDisplay.from_posterior(posterior[3:], y[3:]).coverage)
    assert display.legend_.get_texts()[-1].get_text().endswith("47 galaxies (3 missing left out)")


def test_the_narrowest_intervals_may_be_asked_for():
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(100, 400, 1))  # the narrowest interval starts at 0, the equal-tailed one does not
    y = np.full((100, 1), 0.05)
    for kind, expected in [("equal_tailed", 0), ("hdi", 1)]:
        display = CoverageDisplay.from_posterior(draws, y, levels=[0.68], kind=kind)
        np.testing.assert_array_equal(display.coverage, expected)


def test_targets_are_named_in_the_legend():
    display = CoverageDisplay.from_posterior(*galaxies(20))
    assert [text.get_text() for text in display.legend_.get_texts()[:3]] == ["honest", "too bold", "too shy"]
    named = CoverageDisplay.from_posterior(*galaxies(20), labels=["$B/T$", "$R_e$", "$F$"])
    assert named.lines_[1].get_label() == "$R_e$"
    with pytest.raises(ValueError, match=r"^labels=\['a'\]; expected 3, one for each target\.$"):
        CoverageDisplay.from_posterior(*galaxies(20), labels=["a"])


def test_no_curve_is_out_of_view():
    posterior, y = galaxies(30, widths=(0.05, 0.5, 20.0))
    display = CoverageDisplay.from_posterior(posterior, y)
    low, high = display.axes_[1].get_ylim()
    residuals = np.array([line.get_ydata() for line in display.residual_lines_])
    assert low < residuals.min()
    assert residuals.max() < high
