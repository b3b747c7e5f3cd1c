"""The two stories: from a catalog to predictions."""

import astropy.units as u
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict

from galestim import (
    CNNRegressor,
    CompactCNN,
    Downsampler,
    Normalizer,
    SpatialTransformer,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.catalogs import Catalog
from galestim.cutouts import CutoutFetcher, CutoutFetchError, FitsMosaic, SkyServer, Transport
from galestim.testing import GaussianSky, LoopbackSky


@pytest.fixture(scope="module")
def galaxies():
    """Sixteen round galaxies in a field of 4 arcmin."""
    rng = np.random.default_rng(0)
    east, north = (axis.ravel() for axis in np.meshgrid([-90, -30, 30, 90], [-90, -30, 30, 90]))
    radius = rng.uniform(1.5, 4, 16)
    return {
        "ra": 150 + east / 3600 / np.cos(np.radians(2)),
        "dec": 2 + north / 3600,
        "half_light_radius": radius,
        "object_id": [f"galaxy {i}" for i in range(16)],
        "lambda_r": rng.uniform(0, 1, 16),
        "bulge_to_total": rng.uniform(0.1, 0.9, 16),
        "flux": rng.uniform(50, 200, 16),
    }


@pytest.fixture(scope="module")
def sky(galaxies):
    flux = galaxies["flux"][:, None] * [1.0, 2.0, 3.0]
    sigma = galaxies["half_light_radius"] / np.sqrt(np.log(4))
    return GaussianSky(galaxies["ra"], galaxies["dec"], flux, sigma, footprint=(149.0, 151.0, 1.0, 3.0))


@pytest.fixture
def server(sky):
    with LoopbackSky(sky) as server:
        yield server


@pytest.fixture
def spin(server, tmp_path):
    """The pipeline of user story 1, in small."""
    source = SkyServer(url=server.skyserver_url, transport=Transport(requests_per_second=1000))
    return make_pipeline(
        CutoutFetcher(source, npix=64, pixel_scale_re=0.1, cache=tmp_path / "cutouts"),
        Downsampler(16),
        Normalizer("minmax"),
        CNNRegressor(CompactCNN(widths=(2, 4), hidden=8), max_epochs=1, random_state=0),
    )


def test_story_1_a_fit_fetches_once_and_a_prediction_nothing(galaxies, server, spin):
    catalog = pd.DataFrame(galaxies)
    spin.fit(catalog, catalog["lambda_r"])
    assert len(server.log) == 16
    assert spin[0].report_["status"].tolist() == ["ok"] * 16
    assert spin.predict(catalog).shape == (16,)
    assert len(server.log) == 16


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_story_1_search(galaxies, server, spin, n_jobs, tmp_path):
    catalog = pd.DataFrame(galaxies)
    grid = {"cnnregressor__lr": [1e-3, 3e-4], "cutoutfetcher__npix": [64, 72]}
    for npix in grid["cutoutfetcher__npix"]:
        clone(spin[0]).set_params(npix=npix).prefetch(catalog)
    assert len(server.log) == 32
    search = GridSearchCV(spin, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(catalog, catalog["lambda_r"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    joblib.dump(search.best_estimator_, tmp_path / "spin.joblib")
    loaded = joblib.load(tmp_path / "spin.joblib")
    assert_array_equal(loaded.predict(catalog[:5]), search.predict(catalog[:5]))
    assert len(server.log) == 32  # every fold, the last fit and the predictions found all in the cache


def test_story_1_galaxies_outside_of_the_survey(galaxies, server, spin):
    catalog = pd.DataFrame(galaxies)
    catalog.loc[3, "dec"] = 66.0
    catalog.loc[5, "half_light_radius"] = np.nan
    with pytest.raises(CutoutFetchError, match=r"2 of 16 .*\n  1 × row 3 \('galaxy 3'\): SDSS has .*\n  1 × row 5"):
        spin.fit(catalog, catalog["lambda_r"])
    spin.set_params(cutoutfetcher__on_error="nan")
    with pytest.warns(UserWarning, match="2 of 16 images are NaN in every pixel"):
        spin.fit(catalog, catalog["lambda_r"])
    assert np.flatnonzero(np.isnan(spin.predict(catalog))).tolist() == [3, 5]
    assert len(server.log) == 15  # that there is no image is remembered, too


@pytest.fixture(scope="module")
def structure(sky, tmp_path_factory):
    """The pipeline of user story 2, in small."""
    file = tmp_path_factory.mktemp("field") / "field_i.fits"
    sky.to_mosaic(150.0, 2.0, (560, 560), 0.5, "i").writeto(file)
    return make_pipeline(
        CutoutFetcher(FitsMosaic(file), npix=16),
        Normalizer("asinh", softening=0.02),
        STNPosteriorRegressor(
            CompactCNN(widths=(2, 4), hidden=8, norm="none"),
            spatial_transformer=SpatialTransformer(npix=8),
            target_transforms=["logit", "log", "log"],
            n_passes=3,
            max_epochs=1,
            random_state=0,
        ),
    )


def written(extension, **options):
    """The path of a file; scikit-learn cannot split a path, a Catalog of it can be split."""

    def write(table, folder):
        file = folder / f"catalog{extension}"
        table.write(file, **options)
        return file

    return write


CONTAINERS = {
    "dict": lambda table, folder: {name: np.asarray(table[name]) for name in table.colnames},
    "pandas": lambda table, folder: table.to_pandas(),
    "polars": lambda table, folder: pl.DataFrame({name: np.asarray(table[name]) for name in table.colnames}),
    "Table": lambda table, folder: table,
    "QTable": lambda table, folder: QTable(table),
    "structured array": lambda table, folder: table.as_array(),
    "SkyCoord": lambda table, folder: SkyCoord(table["ra"], table["dec"]),
    "CSV": written(".csv"),
    "FITS": written(".fits"),
    "Parquet": written(".parquet"),
    "VOTable": written(".vot", format="votable"),
}
SPLITTABLE = {
    "pandas",
    "polars",
    "structured array",
}  # by scikit-learn itself; all others as a Catalog


@pytest.fixture(scope="module")
def targets(galaxies):
    return np.stack([galaxies[name] for name in ("bulge_to_total", "half_light_radius", "flux")], axis=1)


@pytest.fixture(scope="module")
def expected(galaxies, structure, targets):
    """Predictions of cross-validation, and of a fit on everything."""
    catalog = Catalog(galaxies)
    fitted = clone(structure).fit(catalog, targets)
    return cross_val_predict(structure, catalog, targets, cv=2), fitted.predict(catalog)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_story_2_from_every_container(galaxies, structure, targets, expected, kind, tmp_path):
    table = Table({name: galaxies[name] for name in ("ra", "dec", "half_light_radius", "object_id")})
    table["ra"].unit = table["dec"].unit = u.deg
    X = CONTAINERS[kind](table, tmp_path)
    fitted = clone(structure).fit(X, targets)
    np.testing.assert_allclose(fitted.predict(X), expected[1], rtol=1e-6)
    assert fitted.predict_posterior(X).sample(5, random_state=0).shape == (16, 5, 3)
    split = X if kind in SPLITTABLE else Catalog(X)
    for n_jobs in (1, 2):
        predicted = cross_val_predict(structure, split, targets, cv=2, n_jobs=n_jobs)
        np.testing.assert_allclose(predicted, expected[0], rtol=1e-6)


def test_story_2_search_and_pickle(galaxies, structure, targets, tmp_path):
    catalog = Catalog(galaxies)
    search = GridSearchCV(structure, {"cutoutfetcher__npix": [12, 16]}, cv=2, n_jobs=2, error_score="raise")
    search.fit(catalog, targets)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    joblib.dump(search.best_estimator_, tmp_path / "structure.joblib")
    loaded = joblib.load(tmp_path / "structure.joblib")
    assert_array_equal(loaded.predict(catalog), search.predict(catalog))
