"""Targets and their errors are told by names and units, at the first fit and at those that go on from it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import Column, QTable, Table
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import cross_val_score

from galestim import Catalog, CompactCNN, PosteriorRegressor, make_pipeline
from galestim.displays import CoverageDisplay, CutoutGridDisplay, PosteriorDisplay, RegressionDisplay
from galestim.model_selection import PosteriorScorer
from galestim.preprocessing import Downsampler
from galestim.regression import CNNRegressor
from galestim.regression._targets import read_targets

N = 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 8, 8, 1)).astype("f4")
FLUX, RADIUS = RNG.uniform(1, 2, size=(2, N))
Y = np.column_stack([FLUX, RADIUS])
FITTED = QTable({"flux": FLUX * u.nJy, "radius": RADIUS * u.arcsec})
SAME = {
    "in another order": QTable({"radius": RADIUS * u.arcsec, "flux": FLUX * u.nJy}),
    "in other units": QTable({"flux": FLUX / 1e9 * u.Jy, "radius": RADIUS / 60 * u.arcmin}),
    "both": QTable({"radius": RADIUS / 3600 * u.deg, "flux": FLUX * 1e-3 * u.uJy}),
    "without units": pd.DataFrame({"radius": RADIUS, "flux": FLUX}),
    "without names": Y,
    "part of a catalog": Catalog({"ra": FLUX, "dec": FLUX, "radius": RADIUS, "flux": FLUX})[["radius", "flux"]],
}


def regressor(kind=PosteriorRegressor, **parameters):
    return kind(CompactCNN(widths=(2,)), max_epochs=1, random_state=0, **parameters)


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def model():
    return regressor().fit(X, FITTED)


@pytest.mark.parametrize("kind", [PosteriorRegressor, CNNRegressor])
@pytest.mark.parametrize("y", SAME.values(), ids=SAME)
def test_a_warm_start_goes_on_with_the_same_targets(kind, y):
    expected, found = (regressor(kind, warm_start=True).fit(X, FITTED).fit(X, again) for again in (FITTED, y))
    assert found.target_names_ == ["flux", "radius"]
    assert found.target_units_ == ["nJy", "arcsec"]
    assert_allclose(found.predict(X), expected.predict(X), rtol=5e-3)  # of rows in another order


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (QTable({"flux": FLUX * u.nJy, "radius": RADIUS * u.kpc}), "the unit 'kpc' in the column 'radius'; expected"),
        (
            QTable({"flux": FLUX, "size": RADIUS}),
            r"a fit on \['flux', 'radius'\]; give the same targets, or",
        ),
        (QTable({"flux": FLUX}), r"y has the targets \['flux'\], but warm_start=True goes on"),
    ],
)
def test_a_warm_start_refuses_other_targets(y, message):
    with pytest.raises(ValueError, match=message):
        regressor(warm_start=True).fit(X, FITTED).fit(X, y)


ERRORS = np.column_stack([np.full(N, 0.1), np.full(N, 0.2)])


@pytest.mark.parametrize(
    "y_err",
    [
        ERRORS,
        {"radius": ERRORS[:, 1], "flux": ERRORS[:, 0]},
        pd.DataFrame(ERRORS[:, ::-1], columns=["radius_err", "flux_err"]),
        pd.DataFrame(ERRORS[:, ::-1], columns=["e_radius", "e_flux"]),
        QTable({"radius": ERRORS[:, 1] / 60 * u.arcmin, "flux": ERRORS[:, 0] * 1e-9 * u.Jy}),
    ],
)
def test_errors_by_name_and_unit(y_err):
    assert_allclose(read_targets(FITTED, X, None, y_err).errors, ERRORS)
    warm = read_targets(SAME["both"], X, None, y_err if hasattr(y_err, "colnames") else None)
    warm = warm.like_those_of(["flux", "radius"], ["nJy", "arcsec"])
    assert_allclose(warm.values, Y)
    assert warm.errors is None or np.allclose(warm.errors, ERRORS)


def test_errors_without_a_unit_have_that_of_their_targets():
    y = QTable({"radius": RADIUS / 60 * u.arcmin, "flux": FLUX * u.nJy})
    targets = read_targets(y, X, None, ERRORS[:, ::-1] / [60, 1])
    assert_allclose(targets.like_those_of(["flux", "radius"], ["nJy", "arcsec"]).errors, ERRORS)


@pytest.mark.parametrize(
    ("y_err", "message"),
    [
        (
            pd.DataFrame(ERRORS, columns=["flux", "size"]),
            "columns 'flux', 'size', but none named 'radius'",
        ),
        (
            QTable({"flux": FLUX * u.m, "radius": RADIUS}),
            "y_err has the unit 'm' in the column 'flux'; expected",
        ),
        (ERRORS[:, :1], r"y_err has shape \(30, 1\); expected \(30, 2\), an error for every target"),
        (-ERRORS, "y_err is negative in row 0"),
    ],
)
def test_errors_that_are_not_those_of_the_targets(y_err, message):
    with pytest.raises(ValueError, match=message):
        read_targets(FITTED, X, None, y_err)


def test_a_unit_that_is_none_is_found_before_the_training():
    y = Table({"flux": Column(FLUX, unit=u.Unit("nanomaggies", parse_strict="silent"))})
    with pytest.raises(ValueError, match=r"^flux: unit 'nanomaggies'; expected an astropy unit, its name, or None\."):
        regressor().fit(X, y)


@pytest.mark.parametrize("y", SAME.values(), ids=SAME)
def test_every_method_takes_what_fit_takes(model, y):
    assert model.score(X, y) == pytest.approx(model.score(X, Y))
    assert_allclose(model.log_prob(X, y), model.log_prob(X, Y), rtol=1e-6)
    scorer = PosteriorScorer("neg_crps", n_samples=10)
    assert scorer(make_pipeline(model), X, y) == pytest.approx(scorer(model, X, Y))


@pytest.mark.parametrize("scoring", [None, PosteriorScorer("log_score")])
def test_cross_validation_takes_tables(scoring):
    expected = cross_val_score(regressor(), X, Y, cv=2, scoring=scoring)
    for name in ("part of a catalog", "without units"):
        y = SAME[name][["flux", "radius"]]
        assert_allclose(cross_val_score(regressor(), X, y, cv=2, scoring=scoring), expected)


@pytest.mark.parametrize(("y", "wrapped"), [*((name, False) for name in SAME), ("both", True)])
def test_displays_take_what_fit_takes(model, y, wrapped):
    y, shown = SAME[y], make_pipeline(Downsampler(npix=8).fit(X), model) if wrapped else model
    display = RegressionDisplay.from_estimator(shown, X, y, target="radius", random_state=0)
    assert_allclose(display.y_true, RADIUS)
    assert display.target_name == "radius [arcsec]"
    grid = CutoutGridDisplay.from_estimator(shown, X, y, target="flux", choice="spread", n_images=4)
    assert set(np.round(grid.y_true, 6)) <= set(np.round(FLUX, 6))
    posterior = shown.predict_posterior(X)
    expected = CoverageDisplay.from_posterior(posterior, Y)
    assert_array_equal(CoverageDisplay.from_posterior(posterior, y).coverage, expected.coverage)


@pytest.mark.parametrize(
    "y", [FITTED[["radius"]], pd.Series(RADIUS, name="radius"), QTable({"radius": RADIUS / 60 * u.arcmin})["radius"]]
)
def test_displays_of_a_target_need_no_other(model, y):
    display = RegressionDisplay.from_estimator(model, X, y, target="radius", random_state=0)
    assert_allclose(display.y_true, RADIUS)
    grid = CutoutGridDisplay.from_estimator(model, X, y, target="radius", choice="spread", n_images=4)
    assert set(np.round(grid.y_true, 6)) <= set(np.round(RADIUS, 6))
    with pytest.raises(ValueError, match="none named 'flux'"):
        RegressionDisplay.from_estimator(model, X, y, target="flux")


def test_errors_of_a_single_target_may_have_any_name():
    """Warnings are errors here."""
    first, second = (
        regressor().fit(X, pd.Series(RADIUS, name="radius"), y_err=pd.Series(ERRORS[:, 1], name=name))
        for name in ("radius_err", "sigma")
    )
    assert_array_equal(first.predict(X), second.predict(X))


def test_values_beyond_all_measure():
    with pytest.raises(ValueError, match=r"^the target 'y' has a variance beyond what 64 bits hold; expected"):
        regressor().fit(X, RADIUS * 1e200)


def test_predictions_in_another_order():
    y_pred = QTable({"radius": RADIUS / 60 * u.arcmin, "flux": FLUX * u.nJy})
    display = RegressionDisplay.from_predictions(FITTED, y_pred, target="radius", random_state=0)
    assert display.rmse == pytest.approx(0, abs=1e-12)


RECORDS = SAME["without units"].to_records()


@pytest.mark.parametrize(
    "truth",
    [
        FITTED[3],
        FITTED[3:4],
        SAME["both"][3],
        dict(SAME["both"][3]),
        SAME["without units"].iloc[3],
        SAME["without units"].iloc[[3]],
        RECORDS[3],
        RECORDS[3:4],
        Y[3],
    ],
)
def test_the_truth_of_one_galaxy_by_name(model, truth):
    display = PosteriorDisplay.from_posterior(model.predict_posterior(X), row=3, truth=truth)
    assert_allclose(display.truth, Y[3])


@pytest.mark.parametrize("truth", [FITTED[:2], FITTED["flux"][3], {"flux": 1.0, "size": 2.0}])
def test_what_is_no_truth_of_one_galaxy(model, truth):
    with pytest.raises(ValueError, match=r"truth has shape|none named 'radius'"):
        PosteriorDisplay.from_posterior(model.predict_posterior(X), row=3, truth=truth)
