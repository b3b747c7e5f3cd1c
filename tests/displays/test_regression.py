import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from scipy import stats
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galestim.displays import RegressionDisplay


def legend_texts(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def test_artists_hold_the_data(spins):
    actual, predicted = spins
    display = RegressionDisplay.from_predictions(actual, predicted, target_name="λ_R", random_state=0)
    np.testing.assert_array_equal(display.scatter_.get_offsets(), np.c_[actual, predicted])
    x, y = display.line_.get_data()
    np.testing.assert_array_equal(x, y)
    points, _, (bars,) = display.errorbar_
    np.testing.assert_array_equal(np.c_[points.get_data()], np.c_[display.bins.center, display.bins.mean])
    spread = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    np.testing.assert_allclose(spread, display.bins.std)
    assert display.ax_.get_xlabel() == "Actual λ_R"
    assert display.ax_.get_ylabel() == "Predicted λ_R"
    assert display.figure_ is display.ax_.figure


def test_bins_are_of_the_actual_value(spins):
    actual, predicted = spins
    bins = RegressionDisplay.from_predictions(actual, predicted, n_bins=4).bins
    lowest = np.argsort(actual)[:100]
    assert bins.mean[0] == pytest.approx(predicted[lowest].mean())


def test_the_words_state_the_numbers(spins):
    actual, predicted = spins
    display = RegressionDisplay.from_predictions(actual, predicted, random_state=0)
    r, low, high, _ = display.pearson
    lines = display.statistics_.get_text().split("\n")
    assert lines[0] == f"Pearson r = {r:.2f} [{low:.2f}, {high:.2f}]"
    assert re.fullmatch(r"Spearman ρ = 0\.\d\d \[0\.\d\d, 0\.\d\d\]", lines[1])
    assert lines[2] == f"RMSE = {np.sqrt(np.mean((actual - predicted) ** 2)):.3f}"
    assert legend_texts(display) == ["400 galaxies", "one-to-one", "mean ± std in 10 bins"]
    assert r == pytest.approx(stats.pearsonr(actual, predicted).statistic)


def test_a_narrow_interval_gets_a_third_decimal_and_a_negative_one_a_minus():
    x = np.linspace(0, 1, 50)
    display = RegressionDisplay.from_predictions(x, -x + 1e-3 * np.sin(99 * x), random_state=0)
    assert display.statistics_.get_text().startswith("Pearson r = −1.000 [−1.000, −1.000]")


def test_a_collapsed_network_has_no_correlation(spins):
    display = RegressionDisplay.from_predictions(spins[0], np.full(400, 0.5), n_bootstrap=20)
    assert display.statistics_.get_text().startswith("Pearson r undefined\nSpearman ρ undefined\nRMSE = ")


def test_missing_predictions_are_left_out_and_counted(spins):
    actual, predicted = spins
    holed = predicted.copy()
    holed[::8] = np.nan
    display = RegressionDisplay.from_predictions(actual, holed, random_state=0)
    kept = ~np.isnan(holed)
    assert display.n_missing == 50
    np.testing.assert_array_equal(display.y_true, actual[kept])
    assert display.pearson.value == pytest.approx(stats.pearsonr(actual[kept], predicted[kept]).statistic)
    assert legend_texts(display)[0] == "350 galaxies (50 missing left out)"


def test_too_few_predictions_are_an_error():
    sentence = "2 of 4 rows have a prediction; expected at least 3. A prediction is NaN where the cutout is missing."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        RegressionDisplay.from_predictions([1, 2, 3, 4], [1, np.nan, np.nan, 4])


def test_one_target_of_several_by_name(spins):
    y = pd.DataFrame({"spin": spins[0], "noise": np.ones(400)})
    display = RegressionDisplay.from_predictions(y, np.c_[spins[1], spins[0]], target="spin", random_state=0)
    np.testing.assert_array_equal(display.y_pred, spins[1])
    assert display.ax_.get_xlabel() == "Actual spin"


def test_from_estimator_predicts_through_a_search_over_a_pipeline():
    X, y = make_regression(60, 4, noise=10, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1]}, cv=2).fit(X, y)
    display = RegressionDisplay.from_estimator(search, X, y, n_bins=3, random_state=0)
    np.testing.assert_array_equal(display.y_pred, search.predict(X))
    np.testing.assert_array_equal(display.y_true, y)
    assert len(display.bins.mean) == 3
    assert display.ax_.get_ylabel() == "Predicted value"


def test_it_draws_on_given_axes_and_returns_itself(spins):
    figure, (left, right) = plt.subplots(1, 2)
    display = RegressionDisplay.from_predictions(*spins, ax=left, n_bootstrap=10)
    assert display.ax_ is left
    assert display.plot(ax=right) is display
    assert display.ax_ is right
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1


def test_both_axes_share_limits_that_hold_all_points(spins):
    ax = RegressionDisplay.from_predictions(spins[0], 3 * spins[1], n_bootstrap=10).ax_
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1
    assert ax.get_xlim()[0] < min(spins[0].min(), 3 * spins[1].min())
    assert ax.get_xlim()[1] > 3 * spins[1].max()


def test_many_points_are_smaller_and_fainter():
    rng = np.random.default_rng(0)
    few, many = (RegressionDisplay.from_predictions(*rng.normal(size=(2, n)), n_bootstrap=2) for n in (20, 20_000))
    assert few.scatter_.get_sizes()[0] > 5 * many.scatter_.get_sizes()[0]
    assert few.scatter_.get_alpha() > 5 * many.scatter_.get_alpha()
    assert many.scatter_.get_rasterized()
    assert not few.scatter_.get_rasterized()
    assert legend_texts(many)[0] == "20,000 galaxies"


def test_style_goes_to_the_artists(spins):
    display = RegressionDisplay.from_predictions(
        *spins,
        n_bootstrap=2,
        scatter_kwargs={"c": "black", "label": "test set"},
        line_kwargs={"lw": 3},
        errorbar_kwargs={"ms": 9},
    )
    assert display.line_.get_linewidth() == 3
    assert display.errorbar_[0].get_markersize() == 9
    assert tuple(display.scatter_.get_facecolor()[0, :3]) == to_rgba("black")[:3]
    assert legend_texts(display)[0] == "test set"


def test_epochs_are_told_apart_in_one_axes(spins):
    actual, predicted = spins
    first = RegressionDisplay.from_predictions(actual, predicted * 0.5, name="epoch 1", random_state=0)
    second = RegressionDisplay.from_predictions(actual, predicted * 1.5, name="epoch 9", ax=first.ax_, random_state=0)
    colors = [to_rgba(display.errorbar_[0].get_color()) for display in (first, second)]
    markers = [display.errorbar_[0].get_marker() for display in (first, second)]
    assert colors[0] != colors[1]
    assert markers[0] != markers[1]
    texts = legend_texts(second)
    assert texts[0] == "one-to-one"
    assert [text.partition(":")[0] for text in texts[1:]] == ["epoch 1", "epoch 9"]
    assert f"RMSE = {second.rmse:#.3g}" in texts[2]
    low, high = second.ax_.get_xlim()
    assert low <= min(actual.min(), 0.5 * predicted.min())
    assert high >= 1.5 * predicted.max()
    assert second.statistics_ is None
    assert second.ax_.get_title(loc="left") == ""
