"""Masks are seen wherever arrays come in: what lies under one is never used."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked

from galestim import CompactCNN, PosteriorRegressor
from galestim._masked import as_index, cells_of, mask_of, without_mask
from galestim.calibration import conditional_coverage, coverage, coverage_error, crps, sharpness, tarp
from galestim.model_selection import ContinuousStratifiedKFold, PosteriorScorer
from galestim.posteriors import DrawsPosterior, MixturePosterior
from galestim.preprocessing import Normalizer
from galestim.regression import CNNRegressor
from galestim.targets import LogTransform

HOLE = [False, True, False]
FALSE = 1e20


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1, 99, 3], mask=HOLE),
        MaskedColumn([1, 99, 3], mask=HOLE),
        Masked(np.array([1.0, 99, 3]), mask=HOLE),
        Masked([1.0, 99, 3] * u.m, mask=HOLE),
        [1, np.ma.masked, 3],
        [np.ma.array(1.0), np.ma.array(99, mask=True), np.ma.array(3)],
    ],
)
def test_what_is_masked_is_nan(values):
    np.testing.assert_array_equal(np.asarray(without_mask(values), dtype=float), [1, np.nan, 3])


def test_what_has_no_mask_is_left_alone():
    values = np.arange(3)
    assert without_mask(values) is values
    assert mask_of(values) is None
    assert without_mask(np.ma.array([1, 2])).dtype == np.ma.array([1, 2]).dtype
    assert np.shares_memory(without_mask(view := np.ma.array(values)), view.data)


@pytest.mark.parametrize("values", [np.ma.array([b"a", b"x"], mask=[0, 1]), MaskedColumn([b"a", b"x"], mask=[0, 1])])
def test_cells_under_a_mask_are_none(values):
    assert cells_of(values) == [b"a", None]
    assert cells_of(Column(["a", "b"])) == cells_of(("a", "b")) == ["a", "b"]


N = 24
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(N, 6, 6, 1)).astype("f4")
Y = RNG.normal(size=(N, 2))


def hidden(values, rows=(3,)):
    """`values` with something false in these rows, under a mask."""
    out = np.ma.array(np.array(values, dtype=float), mask=False)
    out[list(rows)] = np.ma.masked
    out.data[list(rows)] = FALSE
    return out


def regressor(kind=PosteriorRegressor, **parameters):
    return kind(CompactCNN(widths=(2,)), max_epochs=1, random_state=0, validation_fraction=0, **parameters)


@pytest.mark.parametrize("kind", [PosteriorRegressor, CNNRegressor])
@pytest.mark.parametrize(
    "several", [hidden(IMAGES), list(hidden(IMAGES)), np.ma.array(IMAGES, mask=hidden(IMAGES).mask)]
)
def test_a_masked_image_is_a_missing_cutout(kind, several):
    missing = np.where(hidden(IMAGES).mask, np.nan, IMAGES)
    with pytest.warns(UserWarning, match="missing"):
        expected = regressor(kind).fit(missing, Y)
    with pytest.warns(UserWarning, match="missing"):
        found = regressor(kind).fit(several, Y)
    assert found.pixel_mean_ == pytest.approx(expected.pixel_mean_)
    np.testing.assert_array_equal(found.predict(several), found.predict(missing))
    assert np.isnan(found.predict(several)[3]).all()


def test_masked_pixels_are_refused_where_nan_is():
    pixels = np.ma.array(IMAGES, mask=False)
    pixels[5, 0, 0] = np.ma.masked
    with pytest.raises(ValueError, match="row 5 has some NaN pixels"):
        regressor().fit(pixels, Y)
    assert np.isnan(Normalizer().fit(pixels).transform(pixels)[5, 0, 0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": hidden(Y)}, "Input y contains NaN or infinity in 1 of 24 rows, first in row 3;"),
        ({"y": Y, "sample_weight": hidden(np.ones(N))}, "Input sample_weight contains NaN"),
        (
            {"y": Y, "y_err": hidden(np.ones((N, 2)))},
            "Input y_err contains NaN or infinity in 1 of 24 rows, first in row 3;",
        ),
    ],
    ids=["y", "sample_weight", "y_err"],
)
def test_masked_labels_and_weights_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        regressor().fit(IMAGES, **arguments)


DRAWS = RNG.normal(size=(N, 50, 2))


@pytest.mark.parametrize(
    "measure",
    [
        lambda: coverage(DRAWS, hidden(Y)),
        lambda: crps(DRAWS, hidden(Y)),
        lambda: tarp(DRAWS, hidden(Y)),
        lambda: tarp(DRAWS, Y, references=hidden(Y)),
        lambda: tarp(DRAWS, Y, scale=hidden(np.ones(2), [1])),
        lambda: conditional_coverage(DRAWS, Y, by=hidden(np.arange(N)), bins=2),
        lambda: sharpness(DRAWS, limit=hidden(np.ones((N, 2)))),
        lambda: coverage_error(DRAWS, Y, sample_weight=hidden(np.ones(N))),
        lambda: list(ContinuousStratifiedKFold(2).split(Y, hidden(Y))),
        lambda: PosteriorScorer("neg_crps")(regressor().fit(IMAGES, Y), IMAGES, hidden(Y)),
        lambda: regressor().fit(IMAGES, Y).score(IMAGES, hidden(Y)),
        lambda: regressor().fit(IMAGES, Y).score(IMAGES, Y, sample_weight=hidden(np.ones(N))),
        lambda: DrawsPosterior(DRAWS, weights=hidden(np.ones((N, 50)))),
    ],
)
def test_masked_truths_and_weights_are_refused(measure):
    with pytest.raises(ValueError, match=r"NaN|finite"):
        measure()


def test_a_masked_galaxy_of_a_posterior_is_missing():
    assert np.isnan(DrawsPosterior(hidden(DRAWS)).mean()).all(axis=1).nonzero()[0].tolist() == [3]
    missing = np.where(hidden(DRAWS).mask, np.nan, DRAWS)
    np.testing.assert_array_equal(coverage(hidden(DRAWS), Y).coverage, coverage(missing, Y).coverage)
    mixture = MixturePosterior(hidden(Y[:, None]), np.ones((N, 1, 2, 2)) * np.eye(2))
    assert np.isnan(mixture.mean()[3]).all()
    assert np.isnan(mixture[:3].log_prob(hidden(Y[:3], [1]))).tolist() == [False, True, False]
    assert np.isnan(LogTransform().forward(hidden([1.0, 2.0], [0]))[0])


def test_images_of_astropy():
    image = CCDData(np.array([1, 2]), unit="adu", mask=[False, True])
    np.testing.assert_array_equal(without_mask(image), [1, np.nan])
    np.testing.assert_array_equal(without_mask([image, image]), [[1, np.nan]] * 2)
    assert mask_of(CCDData([1.0, 2.0], unit="adu")) is None


def test_what_a_condition_does_not_know_is_not_taken():
    magnitude = MaskedColumn([19.0, 20.0, 99.0], mask=[False, True, False])
    assert as_index(magnitude < 50).tolist() == [True, False, False]
    assert as_index([]).dtype.kind == "i"
    with pytest.raises(IndexError, match=r"^the index is masked at 1; expected numbers of rows.$"):
        as_index(np.ma.array([3, 4], mask=[False, True]))
    with pytest.raises(IndexError, match=r"^an index of 2 dimensions"):
        as_index([[1, 2]])
