"""Estimates of images that are there, and yet have no finite prediction: named, and not left out."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from torch import nn

from galestim import CNNRegressor, Normalizer, PosteriorRegressor, make_pipeline
from galestim.calibration import RecalibratedRegressor
from galestim.datasets import make_galaxies
from galestim.model_selection import PosteriorScorer, posterior_scorers

GALAXIES = make_galaxies(30, npix=12, random_state=0)
IMAGES, TARGET = GALAXIES.images, GALAXIES.target[:, 1:]
UNLIKE = "the images are unlike those of the fit. Look for other units, and for saturated or masked pixels."


class Squares(nn.Module):
    """A line through the mean square of the pixels, which overflows."""

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.last = nn.Linear(1, n_outputs)

    def forward(self, images):
        return self.last(images.square().mean(dim=(1, 2, 3))[:, None])


def with_pixels(**pixels):
    """Images, row 4 a missing cutout, others with a pixel of such a value."""
    images = IMAGES.copy()
    images[4] = np.nan
    for row, value in pixels.items():
        images[int(row[1:]), 5, 5] = value
    return images


def cnn():
    return CNNRegressor(Squares, max_epochs=1, random_state=0)


def posterior(**parameters):
    return PosteriorRegressor(Squares, max_epochs=1, n_passes=2, n_estimators=2, random_state=0, **parameters)


KINDS = {
    "cnn": cnn,
    "posterior": lambda: posterior(target_transforms="log"),
    "median": lambda: posterior(point_estimate="median"),
    "pipeline": lambda: make_pipeline(Normalizer("scale"), posterior()),
    "recalibrated": lambda: RecalibratedRegressor(
        make_pipeline(Normalizer("scale"), posterior()), cv=2, random_state=0
    ),
}


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit of so few galaxies nothing is asked
        return {name: make().fit(IMAGES, TARGET) for name, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_one_warning_names_the_rows_and_the_score_counts_them(fitted, kind):
    model, images = fitted[kind], with_pixels(r2=1e38, r7=-3e38)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predicted = model.predict(images)
    assert [(one.category, str(one.message)) for one in caught] == [
        (RuntimeWarning, f"The prediction of rows 2, 7 is NaN, and not because the cutout is missing: {UNLIKE}")
    ]
    assert np.flatnonzero(np.isnan(predicted).any(axis=1)).tolist() == [2, 4, 7]
    with pytest.warns(RuntimeWarning, match="of rows 2, 7 is NaN"):
        assert model.score(images, TARGET) == -np.inf
    weights = np.ones(30)
    weights[[2, 7]] = 0
    kept = weights.astype(bool)
    with pytest.warns(RuntimeWarning, match="of rows 2, 7 is NaN"):
        assert model.score(images, TARGET, weights) == pytest.approx(model.score(images[kept], TARGET[kept]))


def test_estimates_that_are_too_far_off_to_be_squared_score_minus_infinity(fitted, monkeypatch):
    model, far = fitted["cnn"], TARGET.copy()
    far[3] = 1e200
    monkeypatch.setattr(type(model), "predict", lambda self, X: far)
    assert model.score(IMAGES, TARGET) == -np.inf
    assert model.score(IMAGES, TARGET, np.arange(30) != 3) == 1


@pytest.mark.parametrize("kind", ["posterior", "pipeline", "recalibrated"])
def test_scorers_count_them(fitted, kind):
    model, images = fitted[kind], with_pixels(r2=1e38)
    for scorer in posterior_scorers(n_samples=20).values():
        with pytest.warns(RuntimeWarning, match="of row 2 is NaN"):
            assert scorer(model, images, TARGET) == -np.inf
        assert np.isfinite(scorer(model, with_pixels(), TARGET))


def test_cross_validation_counts_them():
    images = with_pixels(r2=1e38)
    model = posterior().set_params(calibrate_widths=False)
    folds = [(np.arange(10, 30), np.arange(10))]
    for scoring in (None, PosteriorScorer("neg_crps", n_samples=10)):
        with pytest.warns(RuntimeWarning, match="of row 2 is NaN"):
            assert cross_val_score(model, images, TARGET, cv=folds, scoring=scoring, error_score="raise") == [-np.inf]


def test_means_that_are_infinite_are_named(fitted):
    model = fitted["posterior"]
    wide = model.predict_posterior(IMAGES)
    wide.scale_trils[3] *= 1e3

    class Wide(PosteriorRegressor):
        def predict_posterior(self, X):
            return wide

    model = Wide()
    model.__dict__.update(fitted["posterior"].__dict__)
    message = f"The posterior mean of row 3 is not finite: {UNLIKE}"
    with pytest.warns(RuntimeWarning) as caught:
        assert np.isinf(model.predict(IMAGES)[3]).any()
    assert str(caught[-1].message) == message
    with pytest.warns(RuntimeWarning, match="mean of row 3 is not finite"):
        assert model.score(IMAGES, TARGET) == -np.inf


def test_nothing_but_missing_cutouts(fitted):
    for model in fitted.values():
        with pytest.raises(ValueError, match=r"^All 3 images are NaN \(missing cutouts\); expected one to score"):
            model.score(np.full((3, 12, 12), np.nan), TARGET[:3])


def test_truths_that_do_not_fit_the_images(fitted):
    for model in fitted.values():
        for truth in (TARGET[:-1], TARGET[:, :1], TARGET[:, 0]):
            with pytest.raises(
                ValueError, match=r"expected \(30, 2\): a row for each image, a column for each target"
            ):
                model.score(IMAGES, truth)
        blank = np.where(np.arange(30)[:, None] == 7, np.nan, TARGET)
        with pytest.raises(ValueError, match="y contains NaN or infinity in 1 of 30 rows, first in row 7"):
            model.score(IMAGES, blank)


def test_densities_want_a_row_and_a_column_for_each(fitted):
    for truth in (TARGET[:-1], TARGET[:, 0]):
        with pytest.raises(ValueError, match=r"expected \(30, 2\): a row for each posterior, a column for each"):
            fitted["posterior"].log_prob(IMAGES, truth)
    for n_passes in (0, 2.5):
        with pytest.raises(ValueError, match=f"^n_passes={n_passes}; expected an int of at least 1.$"):
            fitted["posterior"].predict_posterior(IMAGES, n_passes=n_passes)
