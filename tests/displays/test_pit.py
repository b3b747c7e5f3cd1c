import re

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.stats import binom
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galestim.calibration import pit, pit_uniformity
from galestim.displays import PITDisplay
from galestim.posteriors import MixturePosterior


def galaxies(n=500, widths=(1.0, 0.5, 2.0), seed=0):
    """Posteriors as wide as they should be, half as wide, twice as wide; and the truths."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, len(widths)))
    means = y + rng.normal(size=y.shape)
    scale_trils = np.tile(np.diag(widths), (n, 1, 1, 1))
    return MixturePosterior(means[:, None], scale_trils, target_names=["honest", "too_bold", "too_shy"]), y


class Posteriors(RegressorMixin, BaseEstimator):
    """Bayesian ridge regression, as posteriors."""

    def fit(self, X, y):
        self.model_ = BayesianRidge().fit(X, y)
        return self

    def predict_posterior(self, X):
        mean, std = self.model_.predict(X, return_std=True)
        return MixturePosterior(mean[:, None, None], std[:, None, None, None])


def test_above_is_the_histogram_of_each_target():
    posterior, y = galaxies()
    display = PITDisplay.from_posterior(posterior, y)
    for line, values in zip(display.lines_, pit(posterior, y).T):
        expected, edges = np.histogram(values, 20, range=(0, 1), density=True)
        np.testing.assert_allclose(line.get_xdata(), edges)
        np.testing.assert_allclose(line.get_ydata()[:-1], expected)
        assert line.get_drawstyle() == "steps-post"
        assert line.axes is display.axes_[0]


def test_below_is_the_difference_from_uniform_and_its_band():
    posterior, y = galaxies()
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
    posterior, y = galaxies()
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


def test_from_estimator_predicts_through_a_pipeline():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = X @ [1, 2] + rng.normal(size=300)
    model = make_pipeline(StandardScaler(), Posteriors()).fit(X[:150], y[:150])
    display = PITDisplay.from_estimator(model, X[150:], y[150:])
    np.testing.assert_array_equal(
        display.values, pit(model[-1].predict_posterior(model[0].transform(X[150:])), y[150:])
    )


def test_it_draws_on_given_axes_and_returns_itself():
    display = PITDisplay.from_posterior(*galaxies(20))
    _, axes = plt.subplots(1, 2)
    assert display.plot(axes, line_kwargs={"lw": 4}) is display
    assert list(display.axes_) == list(axes)
    assert display.lines_[0].get_linewidth() == display.residual_lines_[0].get_linewidth() == 4
    sentence = "axes holds 1 Axes; expected 2, for the histogram and the difference."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        display.plot(axes[0])


def test_nothing_is_out_of_view():
    display = PITDisplay.from_posterior(*galaxies(100, widths=(0.05, 0.5, 20.0)))
    for ax, lines in zip(display.axes_, (display.lines_, display.residual_lines_)):
        low, high = ax.get_ylim()
        values = np.concatenate([line.get_ydata() for line in lines])
        assert low <= values.min() < values.max() < high


def test_without_matplotlib_it_says_how_to_get_it(without_matplotlib):
    with pytest.raises(ImportError, match=r'PITDisplay\.plot needs matplotlib.*pip install "galestim\[plot\]"'):
        PITDisplay.from_posterior(*galaxies(20))
