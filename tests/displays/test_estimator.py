"""Displays of pipelines that take catalogs, and of estimators that know names and units of their targets."""

import numpy as np
import pytest
from astropy.table import QTable
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator, RegressorMixin

from galestim import CompactCNN, STNPosteriorRegressor
from galestim.catalogs import Catalog
from galestim.cutouts import ArrayStack, CutoutFetcher
from galestim.displays import CropDisplay, CutoutGridDisplay, PosteriorDisplay, RegressionDisplay
from galestim.model_selection import make_pipeline
from galestim.posteriors import Posterior


@pytest.fixture(scope="module")
def fitted():
    """A pipeline from a catalog, the catalog, and its targets as a table with units."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 16, 16)).astype(np.float32)
    ids = [f"galaxy {row}" for row in range(40)]
    catalog = Catalog({"ra": np.arange(40.0), "dec": np.zeros(40), "object_id": ids})
    values = {"flux": 10 ** rng.uniform(0, 3, 40), "half_light_radius": rng.uniform(1, 3, 40)}
    y = QTable(values, units=["nJy", "arcsec"])
    fetcher = CutoutFetcher(ArrayStack(images, ids=ids, pixel_scale=1.0), npix=16)
    model = STNPosteriorRegressor(CompactCNN(), target_transforms="log", max_epochs=1, random_state=0)
    return make_pipeline(fetcher, model).fit(catalog, y), catalog, y


def test_a_catalog_pipeline_is_shown_by_names_and_units(fitted):
    pipeline, catalog, y = fitted
    display = RegressionDisplay.from_estimator(pipeline, catalog, y, target="flux", n_bootstrap=10)
    assert display.ax_.get_xlabel() == "Actual $F$ [nJy]"
    assert RegressionDisplay.from_estimator(pipeline, catalog, y, target=1).ax_.get_ylabel() == (
        "Predicted $R_e$ [arcsec]"
    )
    grid = CutoutGridDisplay.from_estimator(pipeline, catalog, y, target="flux", n_images=3)
    assert grid.images.shape[:3] == (3, 16, 16)
    assert grid.target_name == "$F$ [nJy]"
    assert CropDisplay.from_estimator(pipeline, catalog, n_images=2).images.shape[:3] == (2, 16, 16)
    shown = PosteriorDisplay.from_estimator(pipeline, catalog, y, row=2)
    assert shown.labels == ["$F$ [nJy]", "$R_e$ [arcsec]"]
    np.testing.assert_allclose(shown.truth, [y["flux"][2].value, y["half_light_radius"][2].value])


def test_ids_of_the_catalog_reach_the_summary_and_files(fitted, tmp_path):
    pipeline, catalog, _ = fitted
    posterior = pipeline.predict_posterior(catalog[[5, 3]])
    assert posterior.ids.tolist() == ["galaxy 5", "galaxy 3"]
    frame = QTable({"RA": [7.0], "DEC": [0.0], "objID": ["galaxy 7"]})
    assert pipeline.predict_posterior(frame).ids.tolist() == ["galaxy 7"]
    posterior.write(tmp_path / "structure.h5")
    table = Posterior.read(tmp_path / "structure.h5")[1].summary()
    assert table["object_id"].tolist() == ["galaxy 3"]


class Brightest(RegressorMixin, BaseEstimator):
    """Predicts the brightest pixel, without looking whether it is a number."""

    def predict(self, X):
        return np.asarray(X).reshape(len(X), -1).max(axis=1)


def test_galaxies_with_an_image_and_no_prediction_are_told_from_missing_ones():
    X = np.random.default_rng(0).normal(size=(20, 8, 8))
    y = Brightest().predict(X)
    X[3, 0, 0], X[7, 1, 1], X[9] = np.inf, np.nan, np.nan
    said = "2 of 20 galaxies have an image but no finite prediction, first row 3; they are left out"
    with pytest.warns(UserWarning, match=said):
        display = RegressionDisplay.from_estimator(Brightest(), X, y)
    assert display.n_missing == 3
    X[[3, 7]] = np.nan
    assert RegressionDisplay.from_estimator(Brightest(), X, y).n_missing == 3  # all three are missing cutouts


@pytest.mark.parametrize("decades", [0.5, 3])
def test_axes_are_logarithmic_where_points_would_collapse(decades):
    y = 10 ** np.linspace(0, decades, 100)
    ax = RegressionDisplay.from_predictions(y, 1.1 * y, n_bootstrap=2).ax_
    assert ax.get_xscale() == ax.get_yscale() == ("log" if decades > 2 else "linear")
    low, high = ax.get_xlim()
    assert 0 < low < 1 or decades < 2
    assert high > 1.1 * 10**decades
    y[0] = -1
    assert RegressionDisplay.from_predictions(y, y, n_bootstrap=2).ax_.get_xscale() == "linear"
    with pytest.raises(ValueError, match="scale='log', but some values are not positive; use 'linear'"):
        RegressionDisplay.from_predictions(y, y, n_bootstrap=2, scale="log")


@pytest.mark.parametrize("size", [(3, 3), (5, 5.5), (9, 3.2)])
def test_no_words_lie_over_points(size):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    y = np.linspace(0, 1, 50)
    display = RegressionDisplay.from_predictions(y, y[::-1], n_bootstrap=2, ax=ax)
    figure.canvas.draw()
    words = display.statistics_.get_window_extent()
    assert words.y0 >= ax.get_window_extent().y1
    legend = display.legend_.get_window_extent()
    assert not legend.overlaps(words)
    assert min(size) >= 5 or not legend.overlaps(ax.get_window_extent().shrunk(0.9, 0.9))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e200, 1e-200])
def test_degenerate_draws_are_drawn(value):
    draws = np.stack([np.full((3, 50), value), np.random.default_rng(0).normal(size=(3, 50)) * (value or 1)], axis=-1)
    display = PosteriorDisplay.from_posterior(Posterior.from_draws(draws), truth=[value, 0])
    display.figure_.canvas.draw()
    assert display.median[0] == value
    low, high = display.axes_[1, 0].get_xlim()
    assert low < value < high
