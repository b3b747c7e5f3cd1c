import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.path import Path
from scipy.integrate import trapezoid
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline

from galestim.displays import PosteriorDisplay
from galestim.displays._posterior import _format_interval
from galestim.posteriors import DrawsPosterior, MixturePosterior
from galestim.preprocessing import Downsampler

NAMES = ["bulge_to_total", "half_light_radius", "flux"]


@pytest.fixture
def posterior():
    """Three galaxies, three targets, two passes; the last is a missing cutout."""
    rng = np.random.default_rng(0)
    scale_tril = np.linalg.cholesky(np.outer([0.5, 0.1, 0.1], [0.5, 0.1, 0.1]) * (0.6 + 0.4 * np.eye(3)))
    means = [-1.0, 0.5, 5.0] + 0.1 * rng.normal(size=(3, 2, 3))
    scale_trils = np.tile(scale_tril, (3, 2, 1, 1))
    means[2] = scale_trils[2] = np.nan
    transforms, units = ["logit", "log", "log"], [None, "arcsec", "uJy"]
    return MixturePosterior(means, scale_trils, target_names=NAMES, units=units, transforms=transforms)


class MomentsOfBrightness(RegressorMixin, BaseEstimator):
    """Least squares on the mean and the spread of the pixels; the residuals are the posterior's covariance."""

    def fit(self, X, y):
        A, y = self._features(X), np.asarray(y)
        self.coef_ = np.linalg.lstsq(A, y, rcond=None)[0]
        self.scale_tril_ = np.linalg.cholesky(np.cov((y - A @ self.coef_).T))
        return self

    def predict_posterior(self, X):
        means = (self._features(X) @ self.coef_)[:, None]
        return MixturePosterior(means, np.tile(self.scale_tril_, (len(X), 1, 1, 1)), target_names=["a", "b"])

    def _features(self, X):
        pixels = X.reshape(len(X), -1)
        return np.c_[pixels.mean(axis=1), pixels.std(axis=1), np.ones(len(X))]


def test_the_diagonal_shows_density_median_and_hdi(posterior):
    display = PosteriorDisplay.from_posterior(posterior, row=1)
    interval = posterior.credible_interval(0.68, kind="hdi")[1]
    for i in range(3):
        line = display.densities_[i]
        assert line.axes is display.axes_[i, i]
        np.testing.assert_allclose(trapezoid(line.get_ydata(), line.get_xdata()), 1, atol=0.01)
        np.testing.assert_allclose(display.medians_[i].get_xdata(), posterior.median()[1, i])
        fill = display.intervals_[i].get_paths()[0].vertices[:, 0]
        np.testing.assert_allclose([fill.min(), fill.max()], interval[i])


def test_each_pair_of_targets_has_its_panel(posterior):
    display = PosteriorDisplay.from_posterior(posterior)
    assert sorted(display.contours_) == [(1, 0), (2, 0), (2, 1)]
    for (i, j), contours in display.contours_.items():
        assert contours.axes is display.axes_[i, j]
        assert len(contours.levels) == 2
        outer = contours.get_paths()[0].vertices
        for target, values in [(j, outer[:, 0]), (i, outer[:, 1])]:  # an axis swapped would be off by much
            low, high = display.view[target]
            assert low <= values.min() < posterior.median()[0, target] < values.max() <= high
            np.testing.assert_allclose([low, high], posterior.quantile([0.002, 0.998])[0][:, target], rtol=0.1)
    assert not any(display.axes_[place].axison for place in zip(*np.triu_indices(3, 1)))


def test_the_region_of_68_percent_holds_68_percent(posterior):
    display = PosteriorDisplay.from_posterior(posterior)
    draws = posterior.sample(10_000, 0)[0]
    for (i, j), contours in display.contours_.items():
        outer, inner = (Path(path.vertices).contains_points(draws[:, [j, i]]).mean() for path in contours.get_paths())
        np.testing.assert_allclose([inner, outer], [0.68, 0.95], atol=0.015)


def test_the_legend_says_what_the_regions_hold(posterior):
    display = PosteriorDisplay.from_posterior(posterior, levels=[0.9, 0.5], truth=[0.3, 1.6, np.nan])
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["median", "HDI, 50 %", "regions that hold 50 % and 90 %", "truth"]
    np.testing.assert_array_equal(display.interval, posterior.credible_interval(0.5, kind="hdi")[0])


def test_axes_are_named_with_units(posterior):
    display = PosteriorDisplay.from_posterior(posterior)
    names = ["$B/T$", "$R_e$ [arcsec]", "$F$ [µJy]"]
    assert display.labels == names
    assert [ax.get_xlabel() for ax in display.axes_[2]] == names
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["", *names[1:]]
    own = PosteriorDisplay.from_posterior(posterior, labels=["$B/T$", "$R_e$", "$F$"])
    assert own.axes_[2, 1].get_xlabel() == "$R_e$"


def test_the_truth_is_marked_where_it_is_known(posterior):
    display = PosteriorDisplay.from_posterior(posterior, truth=[0.3, np.nan, 140.0])
    assert [line.get_xdata()[0] for line in display.truths_] == pytest.approx([0.3, np.nan, 140], nan_ok=True)
    *_, marker = display.axes_[2, 0].lines
    assert marker.get_xydata().tolist() == [[0.3, 140]]
    assert PosteriorDisplay.from_posterior(posterior).truths_ == []
    display.figure_.canvas.draw()


def test_a_truth_far_out_is_in_view(posterior):
    display = PosteriorDisplay.from_posterior(posterior, truth=[0.3, 9.0, 140.0])
    for ax in (display.axes_[1, 1], display.axes_[2, 1]):
        assert ax.get_xlim()[1] > 9


def test_columns_share_their_limits(posterior):
    display = PosteriorDisplay.from_posterior(posterior)
    for target in range(3):
        limits = {ax.get_xlim() for ax in display.axes_[target:, target]}
        limits |= {ax.get_ylim() for ax in display.axes_[target, :target]}
        assert len(limits) == 1


def test_the_galaxy_is_in_the_upper_right_corner(posterior):
    image = np.random.default_rng(0).random((9, 9, 3))
    display = PosteriorDisplay.from_posterior(posterior, image=image)
    assert display.image_.axes is display.axes_[0, 2]
    np.testing.assert_allclose(display.image_.get_array(), image)
    assert PosteriorDisplay.from_posterior(posterior).image_ is None


def test_one_target_is_one_panel_and_an_image_one_more():
    one = MixturePosterior([[[3.0]]], [[[[0.1]]]], transforms="log")
    assert PosteriorDisplay.from_posterior(one).axes_.shape == (1, 1)
    display = PosteriorDisplay.from_posterior(one, image=np.eye(5))
    assert display.axes_.shape == (1, 2)
    assert display.image_.axes is display.axes_[0, 1]
    assert display.contours_ == {}
    display.figure_.canvas.draw()


def test_draws_are_as_good_as_a_mixture(posterior):
    draws = DrawsPosterior(posterior[0].sample(4000, 0), target_names=NAMES)
    exact, display = PosteriorDisplay.from_posterior(posterior), PosteriorDisplay.from_posterior(draws)
    np.testing.assert_allclose(display.median, exact.median, rtol=0.02)
    for place, contours in display.contours_.items():
        for path, expected in zip(contours.get_paths(), exact.contours_[place].get_paths()):
            scale, center = np.ptp(expected.vertices, axis=0), expected.vertices.mean(axis=0)
            np.testing.assert_array_less(np.abs(path.vertices.mean(axis=0) - center), 0.2 * scale)
            np.testing.assert_allclose(np.ptp(path.vertices, axis=0) / scale, 1, atol=0.25)


def test_from_estimator_takes_one_galaxy_through_the_pipeline():
    rng = np.random.default_rng(0)
    X = rng.random((40, 8, 8, 1)) * rng.uniform(1, 5, size=(40, 1, 1, 1))
    y = pd.DataFrame({"a": X.mean(axis=(1, 2, 3)), "b": X.std(axis=(1, 2, 3))}) + 0.1 * rng.normal(size=(40, 2))
    model = make_pipeline(Downsampler(4), MomentsOfBrightness()).fit(X, y)
    display = PosteriorDisplay.from_estimator(model, X, y, row=7, levels=[0.5])
    small = Downsampler(4).fit_transform(X)
    np.testing.assert_allclose(display.median, model[-1].predict_posterior(small).median()[7])
    np.testing.assert_array_equal(display.truth, y.iloc[7])
    np.testing.assert_allclose(display.image, small[7])
    assert PosteriorDisplay.from_estimator(model, X, row=7).truth is None


def test_a_target_that_is_not_known_cannot_be_drawn():
    draws = np.random.default_rng(0).normal(size=(1, 50, 2))
    draws[0, 3, 1] = np.nan
    with pytest.raises(ValueError, match="This galaxy has no posterior"):
        PosteriorDisplay.from_posterior(DrawsPosterior(draws))


def test_it_draws_on_given_axes_and_returns_itself(posterior):
    display = PosteriorDisplay.from_posterior(posterior)
    _, axes = plt.subplots(3, 3)
    assert display.plot(axes, color="red") is display
    assert display.axes_.tolist() == axes.tolist()
    assert display.densities_[0].get_color() == "red"
    assert display.legend_ is None
    with pytest.raises(ValueError, match=r"^axes holds 3 Axes; expected 3 × 3, row by row\.$"):
        display.plot(axes[0])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.354, 0.281, 0.429), "0.354 [0.281, 0.429]"),
        ((18.06, 14.2, 23.1), "18.1 [14.2, 23.1]"),
        ((-3.2, -14.2, 7), "−3 [−14, 7]"),
        ((1820.0, 1640, 1980), "1820 [1640, 1980]"),
        ((352_000.0, 281_000, 429_000), r"(3.52 [2.81, 4.29])$\times10^{5}$"),
        ((3.52e-17, 2.81e-17, 4.29e-17), r"(3.52 [2.81, 4.29])$\times10^{-17}$"),
    ],
)
def test_digits_follow_the_width_of_the_interval(numbers, expected):
    assert _format_interval(*numbers) == expected


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"row": 3}, "row=3; expected one of the 3 galaxies, from 0 to 2."),
        ({"row": 2}, "This galaxy has no posterior (NaN): its cutout is missing. Choose another row."),
        ({"truth": [1, 2]}, "truth has shape (2,); expected one for each of the 3 targets."),
        ({"labels": ["a"]}, "labels has shape (1,); expected one for each of the 3 targets."),
        (
            {"levels": [0.68, 95]},
            "levels=(0.68, 95.0); expected shares of the probability between 0 and 1, such as (0.68, 0.95).",
        ),
    ],
)
def test_errors_say_what_to_do(posterior, keywords, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        PosteriorDisplay.from_posterior(posterior, **keywords)
