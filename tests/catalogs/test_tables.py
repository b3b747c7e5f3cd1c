"""A catalog stays one in the hands of astropy and scikit-learn, and splits."""

import pickle
import time

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table, hstack, join, unique, vstack
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, KFold, cross_validate, train_test_split
from sklearn.utils import _safe_indexing

from galestim.catalogs import Catalog

from ._columns import COLUMNS, assert_standard, raises

# --- a table of astropy -------------------------------------------------------------------------------------


def test_columns_can_be_selected(catalog):
    y = catalog[["bulge_to_total", "half_light_radius", "flux"]]
    assert y.colnames == ["bulge_to_total", "half_light_radius", "flux"]
    assert y["flux"].unit == u.nJy
    y_train, y_test = train_test_split(y, random_state=0)
    assert (len(y_train), len(y_test)) == (30, 10)
    with pytest.raises(ValueError, match=r"^no column for ra among 'bulge_to_total'"):
        Catalog.of(y)


@pytest.mark.parametrize("again", [lambda c: c.copy(), lambda c: pickle.loads(pickle.dumps(c)), lambda c: c.filled()])
def test_copies_and_pickles(catalog, again):
    catalog.meta["survey"] = "x"
    for table in (catalog, catalog[["flux", "object_id"]]):
        copy = again(table)
        assert type(copy) is Catalog
        assert copy.colnames == table.colnames
        assert all(copy == table)
        assert copy.meta == {"survey": "x"}


def test_joblib(catalog, tmp_path):
    joblib.dump(catalog, tmp_path / "catalog.joblib")
    assert all(joblib.load(tmp_path / "catalog.joblib") == catalog)
    assert joblib.hash(catalog) == joblib.hash(catalog.copy())


def test_astropys_operations_keep_the_class(catalog):
    other = catalog[["object_id", "flux"]]
    other.rename_column("flux", "flux_2")
    for table in (
        vstack([catalog[:5], catalog[5:]]),
        join(catalog, other, keys="object_id"),
        hstack([catalog, Table({"z": np.zeros(40)})]),
        unique(catalog, "object_id"),
        catalog.group_by("object_id"),
        catalog | Table({"z": np.zeros(40)}),
    ):
        assert type(table) is Catalog
        assert sorted(table["ra"]) == sorted(catalog["ra"])
        assert table["ra"].unit == u.deg


def test_columns_can_be_added(catalog):
    catalog["z"] = 0.1
    catalog.update({"magnitude": np.full(40, 17.5)})
    assert catalog.colnames[-2:] == ["z", "magnitude"]
    catalog.add_row(catalog[0])
    assert len(catalog) == 41


def test_data_frames_there_and_back(catalog):
    for frame in (catalog.to_pandas(), catalog.to_df("polars")):
        again = Catalog(frame)
        assert again.colnames == catalog.colnames
        assert_array_equal(again["ra"], catalog["ra"])
        assert all(again["object_id"] == catalog["object_id"])


def test_rows_by_a_condition_that_is_not_known_of_all():
    magnitude = MaskedColumn([-5.0, 18.0, 25.0], mask=[True, False, False])
    catalog = Catalog(Table({"ra": [1.0, 2.0, 3.0], "dec": [0.0] * 3, "magnitude": magnitude}))
    assert catalog[catalog["magnitude"] < 20]["ra"].value.tolist() == [2]
    assert catalog.iloc[catalog["magnitude"] < 20]["ra"].value.tolist() == [2]


# --- what scikit-learn does with it -------------------------------------------------------------------------


class FluxFromRadius(RegressorMixin, BaseEstimator):
    """Flux as a power of the radius, which it reads from a catalog, as a fetcher reads positions."""

    def __init__(self, exponent=1.0):
        self.exponent = exponent

    def _feature(self, X):
        catalog = Catalog.of(X)
        assert catalog is X
        return catalog["half_light_radius"].to_value(u.arcsec) ** self.exponent + 0 * catalog["ra"].value

    def fit(self, X, y):
        self.slope_ = np.sum(self._feature(X) * y) / np.sum(self._feature(X) ** 2)
        return self

    def predict(self, X):
        return self.slope_ * self._feature(X)


def test_train_test_split_keeps_rows_together(catalog):
    y = catalog["half_light_radius"].value
    X_train, X_test, y_train, y_test = train_test_split(catalog, y, test_size=0.25, random_state=0)
    assert type(X_train) is type(X_test) is Catalog
    assert_array_equal(X_train["half_light_radius"].value, y_train)
    assert_array_equal(X_test["half_light_radius"].value, y_test)
    assert sorted([*X_train["object_id"], *X_test["object_id"]]) == sorted(catalog["object_id"])


def test_folds(catalog):
    parts = [_safe_indexing(catalog, test) for _, test in KFold(3).split(catalog)]
    assert [len(part) for part in parts] == [14, 13, 13]
    assert all(vstack(parts) == catalog)


@pytest.mark.parametrize(
    "rows",
    [
        [5, 2],
        np.array([5, 2]),
        slice(2, 9, 3),
        np.arange(40) % 2 == 0,
        [True] + [False] * 39,
        np.array([], dtype=int),
    ],
)
def test_every_way_of_indexing(catalog, rows):
    for some in (catalog[rows], _safe_indexing(catalog, rows)):
        assert type(some) is Catalog
        assert_array_equal(some["ra"], catalog["ra"][rows])


def test_a_single_row(catalog):
    assert catalog[3]["ra"] == catalog["ra"][3]
    assert _safe_indexing(catalog, 3)["object_id"] == "3"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_search_and_cross_validation(catalog, n_jobs):
    y = catalog["half_light_radius"].value ** 2
    search = GridSearchCV(FluxFromRadius(), {"exponent": [1.0, 2.0]}, cv=3, n_jobs=n_jobs).fit(catalog, y)
    assert search.best_params_ == {"exponent": 2.0}
    assert_allclose(search.predict(catalog[:5]), y[:5])
    scores = cross_validate(FluxFromRadius(2.0), catalog, y, cv=4, n_jobs=n_jobs)
    assert_allclose(scores["test_score"], 1)


def test_workers_that_share_memory():
    # joblib hands large arrays to its workers as read-only files.
    n = 150_000
    catalog = Catalog({"ra": np.full(n, 1.0), "dec": np.zeros(n), "r50": np.linspace(1, 2, n)})
    y = catalog["half_light_radius"].value
    assert_allclose(cross_validate(FluxFromRadius(), catalog, y, cv=2, n_jobs=2)["test_score"], 1)


# --- Catalog.of ---------------------------------------------------------------------------------------------


def test_of_returns_a_catalog_as_it_is(catalog):
    assert Catalog.of(catalog) is catalog
    assert_standard(Catalog.of(pd.DataFrame(COLUMNS)))


def test_of_notices_what_changed(catalog):
    catalog["half_light_radius"] = np.full(40, 60.0)
    assert Catalog.of(catalog)["half_light_radius"].unit == u.arcsec
    catalog["ra"] = np.full(40, 10) * u.arcmin
    assert_allclose(Catalog.of(catalog)["ra"].to_value(u.deg), 1 / 6)
    catalog["ra"] = np.full(40, 10) * u.deg
    catalog["dec"][3] = 91 * u.deg
    with raises(ValueError, "row 3: dec=91.0 is outside [-90, 90]; expected ra and dec in degrees"):
        Catalog.of(catalog)


@pytest.mark.parametrize("nothing", [None, []])
def test_of_nothing(nothing):
    with pytest.raises(ValueError, match=r"^no column for ra among no columns;"):
        Catalog.of(nothing)


# --- speed --------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows_take_no_time():
    n = 100_000
    position = {"ra": ["12:30:49.4"] * n, "dec": np.linspace(-90, 90, n), "id": np.arange(n)}
    start = time.process_time()
    catalog = Catalog(pl.DataFrame(position))
    assert time.process_time() - start < 3
    start = time.process_time()
    for _ in range(20):
        Catalog.of(catalog)
        catalog[: n // 2]
    assert time.process_time() - start < 1
