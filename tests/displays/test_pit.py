import numpy as np
import pytest
from scipy.stats import binom

from galestim.calibration import pit, pit_uniformity
from galestim.displays import PITDisplay

from ._calibration import galaxies


def test_above_is_the_histogram_of_each_target():
    posterior, y = galaxies(500)
    display = PITDisplay.from_posterior(posterior, y)
    for line, values in zip(display.lines_, pit(posterior, y).T):
        expected, edges = np.histogram(values, 20, range=(0, 1), density=True)
        np.testing.assert_allclose(line.get_xdata(), edges)
        np.testing.assert_allclose(line.get_ydata()[:-1], expected)
        assert line.get_drawstyle() == "steps-post"
        assert line.axes is display.axes_[0]


def test_below_is_the_difference_from_uniform_and_its_band():
    posterior, y = galaxies(500)
    display, test = PITDisplay.from_posterior(posterior, y), pit_uniformity(posterior, y)
    for line, share in zip(display.residual_lines_, test.ecdf.T):
        np.testing.assert_allclose(line.get_ydata(), share - test.levels)
        assert line.axes is display.axes_[1]
    x, edges = display.residual_band_.get_paths()[0].vertices.T
    at_half = np.unique(edges[np.isclose(x, 0.5)].round(9))
    np.testing.assert_allclose(at_half, [test.low[49] - 0.5, test.high[49] - 0.5])


def test_the_band_of_the_histogram_holds_its_bins():
    display = PITDisplay.from_posterior(*galaxies(2000))
    low, high = np.unique(display.band_.get_paths()[0].vertices[:, 1])
    np.testing.assert_allclose([low, high], binom.ppf([0.025, 0.975], 2000, 0.05) / 100)
    inside = [np.mean((line.get_ydata() >= low) & (line.get_ydata() <= high)) for line in display.lines_]
    assert inside[0] > 0.8 > 0.5 > max(inside[1:])


def test_the_legend_names_targets_and_says_their_p_values():
    posterior, y = galaxies(500)
    p = pit_uniformity(posterior, y).band_p_value[0]
    texts = [text.get_text() for text in PITDisplay.from_posterior(posterior, y).legend_.get_texts()]
    assert texts[:3] == [f"honest, p = {p:.2g}", "too bold, p < 0.0001", "too shy, p < 0.0001"]
    named = PITDisplay.from_posterior(posterior, y, labels=["$B/T$", "$R_e$", "$F$"])
    assert named.lines_[1].get_label() == "$R_e$"
    with pytest.raises(ValueError, match=r"^labels=\['a'\]; expected 3, one for each target\.$"):
        PITDisplay.from_posterior(posterior, y, labels=["a"])


def test_missing_cutouts_are_left_out_and_counted():
    posterior, y = galaxies(50)
    draws = posterior.sample(40, 0)
    draws[:3] = np.nan
    display = PITDisplay.from_posterior(draws, y)
    assert (display.values.shape, display.n_missing) == ((47, 3), 3)
    assert display.legend_.get_texts()[-1].get_text().endswith("47 galaxies (3 missing left out)")


def test_both_panels_put_truths_among_draws_alike():
    posterior, y = galaxies(50)
    display = PITDisplay.from_posterior(posterior.sample(5, 0), y, random_state=3)
    shares = (display.values <= display.uniformity.levels[:, None, None]).mean(axis=1)
    np.testing.assert_allclose(display.uniformity.ecdf, shares)


def test_nothing_is_out_of_view():
    display = PITDisplay.from_posterior(*galaxies(100, widths=(0.05, 0.5, 20.0)))
    for ax, lines in zip(display.axes_, (display.lines_, display.residual_lines_)):
        low, high = ax.get_ylim()
        values = np.concatenate([line.get_ydata() for line in lines])
        assert low <= values.min() < values.max() < high


def test_without_matplotlib_it_says_how_to_get_it(without_matplotlib):
    with pytest.raises(ImportError, match=r'PITDisplay\.plot needs matplotlib.*pip install "galestim\[plot\]"'):
        PITDisplay.from_posterior(*galaxies(20))
