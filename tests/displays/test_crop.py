import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from galestim.displays import CropDisplay
from galestim.preprocessing import Downsampler

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


class BrightestPixelCropper(RegressorMixin, BaseEstimator):
    """Cuts a window of fixed size around the brightest pixel."""

    def __init__(self, size=4):
        self.size = size

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)

    def crop_parameters(self, X):
        rows, columns = np.unravel_index(X.reshape(len(X), -1).argmax(axis=1), X.shape[1:3])
        parameters = np.zeros(len(X), dtype=[("matrix", float, (2, 3))])
        parameters["matrix"][:, :, :2] = np.eye(2)
        parameters["matrix"][:, :, 2] = np.c_[columns, rows] - self.size // 2
        return parameters

    def transform_images(self, X):
        corners = self.crop_parameters(X)["matrix"][:, :, 2].astype(int)
        return np.stack([x[b : b + self.size, a : a + self.size] for x, (a, b) in zip(X, corners)])


@pytest.fixture
def crops():
    """Five images 10 × 12 px, their central 5 × 6 px, and where these lie."""
    X = np.random.default_rng(0).normal(size=(5, 10, 12))
    matrices = np.broadcast_to([[1.0, 0, 3], [0, 1, 2]], (5, 2, 3))
    return X, X[:, 2:7, 3:9], matrices


def test_the_outline_runs_around_the_pixels_of_the_crop(crops):
    display = CropDisplay.from_crops(*crops, rows=[2])
    corners = display.outlines_[0].get_xy()[:4]
    np.testing.assert_allclose(corners, [[2.5, 1.5], [8.5, 1.5], [8.5, 6.5], [2.5, 6.5]])
    np.testing.assert_allclose(display.zoom, 2)
    assert display.axes_[0, 1].get_xlabel() == "zoom ×2.00"


def test_a_crop_of_everything_is_outlined_along_the_edge(crops):
    images, _, _ = crops
    display = CropDisplay.from_crops(images, images, [np.eye(2, 3)] * 5)
    left, right, bottom, top = display.images_[0].get_extent()
    np.testing.assert_allclose(
        display.outlines_[0].get_xy()[:4], [[left, top], [right, top], [right, bottom], [left, bottom]]
    )


def test_any_affine_map_gives_a_quadrilateral(crops):
    images, cut, _ = crops
    shear = np.array([[1.0, 0.5], [0.0, 2.0]])
    display = CropDisplay.from_crops(images, cut, [np.c_[TURN @ shear, [6, 1]]] * 5)
    x, y = (display.outlines_[0].get_xy()[:4] - [6, 1]).T
    back = np.linalg.solve(TURN @ shear, [x, y])
    np.testing.assert_allclose(back.T, [[-0.5, -0.5], [5.5, -0.5], [5.5, 4.5], [-0.5, 4.5]])
    np.testing.assert_allclose(display.zoom, np.sqrt(2))


def test_an_outline_beyond_the_image_is_in_view_and_all_images_keep_one_scale(crops):
    images, cut, matrices = crops
    matrices = matrices.copy()
    matrices[1, :, 2] = -4, 8
    display = CropDisplay.from_crops(images, cut, matrices, rows=[0, 1])
    for image_ax, _ in display.axes_:
        assert image_ax.get_xlim() == (-4.5, 11.5)
        assert image_ax.get_ylim() == (12.5, -0.5)  # row 0 at the top


def test_a_crop_keeps_the_grays_of_its_image():
    y, x = np.mgrid[:48, :48] - 24
    images = 50 * np.exp(-np.hypot(x, y) / 4)[None] + np.random.default_rng(0).normal(size=(1, 48, 48))
    display = CropDisplay.from_crops(images, images[:, 20:28, 18:30], [[[1, 0, 18], [0, 1, 20]]])
    shown, crop_shown = (artists[0].get_array() for artists in (display.images_, display.crops_))
    np.testing.assert_array_equal(crop_shown, shown[20:28, 18:30])


@pytest.mark.parametrize("scale", [1, 255])
def test_a_crop_keeps_the_colors_of_its_image(scale):
    images = (scale * np.random.default_rng(0).random((2, 9, 9, 3))).astype(float if scale == 1 else np.uint8)
    cut = images[:, 3:6, 3:6].astype(np.float32)
    display = CropDisplay.from_crops(images, cut, [[[1, 0, 3], [0, 1, 3]]] * 2)
    np.testing.assert_allclose(display.crops_[0].get_array(), display.images_[0].get_array()[3:6, 3:6], rtol=1e-6)


def test_a_missing_cutout_has_no_outline(crops):
    for array in (arrays := [np.array(array) for array in crops]):
        array[1] = np.nan
    display = CropDisplay.from_crops(*arrays, rows=[0, 1])
    for artists in (display.images_, display.crops_, display.outlines_):
        assert [artist is None for artist in artists] == [False, True]
    assert [ax.texts[0].get_text() for ax in display.axes_[1]] == ["no image"] * 2
    assert np.isnan(display.zoom[1])
    display.figure_.canvas.draw()


@pytest.mark.parametrize("search", [False, True])
def test_from_estimator_shows_images_as_they_reach_the_transformer(search):
    X, y = np.random.default_rng(0).random((12, 32, 32, 1)), np.arange(12.0)
    X[:, 12:20, 12:20] += 1  # the brightest pixel is far from the edge
    model = make_pipeline(Downsampler(16), BrightestPixelCropper())
    model = GridSearchCV(model, {"brightestpixelcropper__size": [4]}, cv=2) if search else model
    light = np.ones((12, 16, 16))
    display = CropDisplay.from_estimator(model.fit(X, y), X, galaxy_light=light, n_images=3, random_state=0)
    np.testing.assert_allclose(display.galaxy_share, 1 / 16)
    small = Downsampler(16).fit_transform(X)[display.rows]
    assert len(set(display.rows)) == 3
    np.testing.assert_allclose(display.images, small)
    cropper = BrightestPixelCropper()
    np.testing.assert_allclose(display.crops, cropper.transform_images(small))
    np.testing.assert_array_equal(display.matrices, cropper.crop_parameters(small)["matrix"])


def test_only_the_rows_to_show_go_through_the_pipeline():
    class Catalogue(BaseEstimator):
        """Makes an image of each row of a data frame."""

        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def transform(self, X):
            self.rows_ = list(X.index)
            return np.exp(-np.hypot(*(np.mgrid[:11, :11] - 5))) * np.ones((len(X), 1, 1))

    table = pd.DataFrame({"ra": np.arange(9.0)})
    model = make_pipeline(Catalogue(), BrightestPixelCropper()).fit(table, np.arange(9.0))
    CropDisplay.from_estimator(model, table, rows=[7, 2])
    assert model[0].rows_ == [7, 2]


def test_the_same_seed_shows_the_same_galaxies(crops):
    first, again, other = (CropDisplay.from_crops(*crops, n_images=3, random_state=seed).rows for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_each_crop_is_below_its_image(crops):
    display = CropDisplay.from_crops(*crops, rows=range(5), n_columns=2)
    assert len(display.figure_.axes) == 10
    display.figure_.canvas.draw()
    for image_ax, crop_ax in display.axes_:
        image, crop = image_ax.get_position(), crop_ax.get_position()
        np.testing.assert_allclose((image.x0 + image.x1) / 2, (crop.x0 + crop.x1) / 2, atol=1e-3)
        assert crop.y1 < image.y0


def test_it_draws_on_given_axes_and_returns_itself(crops):
    display = CropDisplay.from_crops(*crops, rows=[0, 3])
    _, axes = plt.subplots(2, 2)
    assert display.plot(axes, outline_kwargs={"ec": "red"}) is display
    assert display.axes_.tolist() == axes.tolist()
    assert display.outlines_[0].get_edgecolor() == (1, 0, 0, 1)
    sentence = "axes holds 2 Axes; expected 4: image and crop for each of 2 images."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        display.plot(axes[0])


def test_where_it_is_known_whose_light_it_is_a_crop_says_how_much_it_holds(crops):
    own, others = np.zeros((2, 5, 10, 12))
    own[:, 3, 4] = 1.0  # within the crop
    own[0, 0, 0] = 3.0
    others[0, 2, 3], others[0, 9, 9] = 1.0, 9.0
    display = CropDisplay.from_crops(*crops, galaxy_light=own, neighbor_light=others, rows=[1, 0])
    np.testing.assert_allclose(display.galaxy_share, [1.0, 0.25])
    np.testing.assert_allclose(display.neighbor_share, [np.nan, 0.1])
    labels = [ax.get_xlabel() for ax in display.axes_[:, 1]]
    assert labels == ["zoom ×2.00\ngalaxy 100%", "zoom ×2.00\ngalaxy 25%, others 10%"]


def test_light_of_other_images_is_an_error(crops):
    sentence = (
        "neighbor_light has shape (4, 10, 12); expected (n, H, W[, C]) of the images that are cropped, "
        "(n, H, W) = (5, 10, 12)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        CropDisplay.from_crops(*crops, neighbor_light=np.ones((4, 10, 12)))


def test_an_estimator_that_does_not_crop_is_an_error():
    X = np.zeros((4, 6))
    sentence = (
        "Ridge has no crop_parameters; expected an estimator that has, such as STNPosteriorRegressor, or a pipeline "
        "or search (with refit) that ends in one."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        CropDisplay.from_estimator(make_pipeline(Ridge()).fit(X, np.zeros(4)), X)


@pytest.mark.parametrize(
    ("shapes", "rows", "sentence"),
    [
        (
            [(4, 8, 8), (4, 4, 4), (4, 3, 3)],
            None,
            "images, crops and matrices have shapes (4, 8, 8), (4, 4, 4) and (4, 3, 3); "
            "expected (n, H, W) or (n, H, W, C), the same with h and w, and (n, 2, 3).",
        ),
        (
            [(4, 8, 8), (3, 4, 4), (4, 2, 3)],
            None,
            "images, crops and matrices have shapes (4, 8, 8), (3, 4, 4) and (4, 2, 3); "
            "expected (n, H, W) or (n, H, W, C), the same with h and w, and (n, 2, 3).",
        ),
        ([(4, 8, 8), (4, 4, 4), (4, 2, 3)], [0, 4], "rows holds 4; expected rows of the 4 images, from 0 to 3."),
    ],
)
def test_errors_say_what_is_expected(shapes, rows, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        CropDisplay.from_crops(*(np.ones(shape) for shape in shapes), rows=rows)
