import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import InvalidParameterError

from galestim.displays import CutoutGridDisplay
from galestim.displays._cutouts import choose_rows


@pytest.fixture
def galaxies():
    """Thirty colour images, actual values, predictions."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(30, 8, 10, 3), dtype=np.uint8)
    actual = rng.permutation(np.linspace(0, 1, 30))
    return images, actual, actual + rng.normal(scale=0.1, size=30)


def captions(display):
    return [text.get_text() for text in display.captions_]


def test_each_image_stands_above_its_values(galaxies):
    images, actual, predicted = galaxies
    display = CutoutGridDisplay.from_predictions(*galaxies, n_images=5, random_state=0)
    assert len(display.images_) == len(display.axes_) == len(display.captions_) == 5
    for row, artist, ax, caption in zip(display.rows, display.images_, display.axes_, captions(display)):
        np.testing.assert_allclose(artist.get_array(), images[row] / 255)
        assert artist.axes is ax
        assert ax.get_xlabel() == caption == f"actual {actual[row]:.2f}\npredicted {predicted[row]:.2f}"


def test_row_zero_is_at_the_top(galaxies):
    for artist in CutoutGridDisplay.from_predictions(*galaxies, n_images=2).images_:
        assert artist.origin == "upper"
        bottom, top = artist.axes.get_ylim()
        assert bottom > top


def test_worst_and_best_are_sorted_by_error_and_skip_missing_predictions():
    actual = np.zeros(6)
    predicted = np.array([0.3, -0.5, np.nan, 0.1, -0.2, 0.4])
    assert choose_rows(actual, predicted, n_images=3, choice="worst").tolist() == [1, 5, 0]
    assert choose_rows(actual, predicted, n_images=3, choice="best").tolist() == [3, 4, 0]
    assert choose_rows(actual, predicted, n_images=99, choice="worst").tolist() == [1, 5, 0, 4, 3]


def test_spread_is_even_in_the_actual_value():
    actual = np.random.default_rng(0).permutation(np.concatenate([np.linspace(0, 0.1, 90), np.linspace(0.1, 1, 46)]))
    rows = choose_rows(actual, actual, n_images=6, choice="spread")
    np.testing.assert_allclose(actual[rows], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=0.011)


def test_spread_shows_each_galaxy_once_even_if_values_repeat():
    rows = choose_rows(np.array([1.0, 0, 1, 1, 0]), np.zeros(5), n_images=4, choice="spread")
    assert len(set(rows.tolist())) == 4
    assert choose_rows(np.arange(3.0), np.zeros(3), n_images=7, choice="spread").tolist() == [0, 1, 2]


def test_random_repeats_with_its_seed():
    values = np.zeros(100)
    first, again, other = (choose_rows(values, values, n_images=9, random_state=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 9


def test_a_missing_cutout_is_drawn_as_no_image():
    X = np.random.default_rng(0).normal(size=(3, 6, 6))
    X[1] = np.nan
    display = CutoutGridDisplay.from_predictions(X, [0.0, 0.5, 1.0], [0.1, np.nan, 0.9], choice="spread")
    assert [artist is None for artist in display.images_] == [False, True, False]
    assert [text.get_text() for text in display.axes_[1].texts] == ["no image"]
    assert captions(display)[1] == "actual 0.50\nno prediction"
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0.1, "actual 0.100\npredicted 0.050"),
        (1, "actual 1.00\npredicted 0.50"),
        (50, "actual 50\npredicted 25"),
        (0, "actual 0.00\npredicted 0.00"),
    ],
)
def test_decimals_follow_the_range(scale, expected):
    y = np.array([0.0, 1.0]) * scale
    display = CutoutGridDisplay.from_predictions(np.ones((2, 3, 3)), y, y / 2, choice="spread")
    assert captions(display)[1] == expected


@pytest.mark.parametrize("shape", [(12, 5, 7), (12, 5, 7, 1), (12, 5, 7, 3), (12, 5, 7, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_images_of_any_kind_can_be_drawn(shape, dtype):
    X = (100 * np.random.default_rng(0).random(shape)).astype(dtype)
    display = CutoutGridDisplay.from_predictions(X, np.arange(12), np.arange(12), n_images=3)
    display.figure_.canvas.draw()
    for artist in display.images_:
        assert artist.get_array().shape[:2] == (5, 7)
        assert 0 <= artist.get_array().min() < artist.get_array().max() <= 1


def test_only_the_chosen_images_are_read(galaxies):
    class Reader:
        """Images on a disk: knows its shape, counts what it hands out."""

        shape, ndim, read = (30, 8, 10, 3), 4, 0

        def __len__(self):
            return 30

        def __getitem__(self, rows):
            self.read += len(rows)
            return galaxies[0][rows]

    reader = Reader()
    CutoutGridDisplay.from_predictions(reader, *galaxies[1:], n_images=4)
    assert reader.read == 4


def test_from_estimator_predicts_through_a_pipeline(galaxies):
    images, actual, _ = galaxies
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1) / 255)
    model = make_pipeline(flatten, Ridge()).fit(images, actual)
    y = pd.Series(actual, name="lambda_r")
    display = CutoutGridDisplay.from_estimator(model, images, y, n_images=7, choice="worst", n_columns=4)
    np.testing.assert_array_equal(display.y_pred, model.predict(images)[display.rows])
    assert display.figure_.get_suptitle() == r"$\lambda_R$: largest errors"
    assert len(display.figure_.axes) == 8
    assert not display.figure_.axes[7].axison


def test_one_target_of_several(galaxies):
    images, actual, predicted = galaxies
    two = np.c_[predicted, actual]
    display = CutoutGridDisplay.from_predictions(images, two, two, target=1, n_images=3)
    np.testing.assert_array_equal(display.y_true, actual[display.rows])


def test_it_draws_on_given_axes_and_returns_itself(galaxies):
    display = CutoutGridDisplay.from_predictions(*galaxies, n_images=3)
    _, axes = plt.subplots(2, 2)
    assert display.plot(axes, imshow_kwargs={"interpolation": "nearest"}) is display
    assert list(display.axes_) == list(axes.ravel()[:3])
    assert not axes[1, 1].axison
    assert display.images_[0].get_interpolation() == "nearest"
    with pytest.raises(ValueError, match=r"^axes holds 2 Axes; expected one for each of the 3 images\.$"):
        display.plot(axes[0])


@pytest.mark.parametrize(
    ("X", "y_pred", "keywords", "sentence"),
    [
        (np.ones((4, 9)), np.ones(4), {}, "X has shape (4, 9); expected images, (n, H, W) or (n, H, W, C)."),
        (
            np.ones((3, 2, 2)),
            np.ones(4),
            {},
            "X holds 3 images and y_true 4 values; expected one image for each value.",
        ),
        (
            np.ones((4, 2, 2)),
            np.ones(3),
            {},
            "y_true has shape (4,) and y_pred has shape (3,); expected one prediction for each actual value.",
        ),
        (
            np.ones((4, 2, 2)),
            np.full(4, np.nan),
            {"choice": "best"},
            'No row of y_pred has a prediction, so choice="best" has none; use "random".',
        ),
    ],
)
def test_errors_say_what_to_do(X, y_pred, keywords, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        CutoutGridDisplay.from_predictions(X, np.ones(4), y_pred, **keywords)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"choice": "median"}, "The 'choice' parameter of choose_rows must be a str among .* Got 'median' instead"),
        ({"n_images": 0}, r"The 'n_images' parameter of choose_rows must be an int in the range \[1, inf\). Got 0"),
    ],
)
def test_a_wrong_choice_names_the_right_ones(galaxies, keywords, sentence):
    with pytest.raises(InvalidParameterError, match=sentence):
        CutoutGridDisplay.from_predictions(*galaxies, **keywords)
