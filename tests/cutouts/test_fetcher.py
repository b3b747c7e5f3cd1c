import gc
import pickle
import tempfile
import time
import tracemalloc
from pathlib import Path

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
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from galestim import (
    CNNRegressor,
    CompactCNN,
    Downsampler,
    Normalizer,
    SpatialTransformer,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim._io import memmap as _memmap
from galestim.catalogs import Catalog
from galestim.cutouts import (
    ArrayStack,
    CutoutFetcher,
    CutoutFetchError,
    CutoutSource,
    FitsMosaic,
    MissingCutoutError,
    SkyServer,
    TransientCutoutError,
    Transport,
    _gather,
)
from galestim.testing import GaussianSky, LoopbackSky


class Plates(CutoutSource):
    """Images that are constant: the row's RA; those at RA 66 do not exist, those at 77 fail, at 88 half is NaN."""

    def __init__(self, dtype=np.float32, n_channels=2, pixel_scale=0.5):
        self.dtype = np.dtype(dtype)
        self.n_channels = n_channels
        self.pixel_scale = pixel_scale
        self.asked = []

    def cutout(self, request):
        self.asked.append(request)
        if request.ra == 66:
            raise MissingCutoutError(f"ra={request.ra} is outside the survey")
        if request.ra == 77:
            raise TransientCutoutError("the service is tired")
        image = np.full((request.npix, request.npix, self.n_channels), request.ra, dtype=self.dtype)
        if request.ra == 88:
            image[: request.npix // 2] = np.inf
        return image


def catalog(*ra, **columns):
    return Catalog({"ra": np.array(ra, dtype=float), "dec": np.zeros(len(ra)), **columns})


def values(images):
    return images[:, 0, 0, 0].tolist()


class Fragile(Plates):
    """Plates, some of which raise what nobody thought of."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def cutout(self, request):
        if request.ra == 99:
            raise self.error
        return super().cutout(request)


# --- what comes out -----------------------------------------------------------------------------------------------


def test_one_image_per_row_in_order():
    images = CutoutFetcher(Plates(), npix=6).transform(catalog(3, 1, 2, 1))
    assert images.shape == (4, 6, 6, 2)
    assert images.dtype == np.float32
    assert values(images) == [3, 1, 2, 1]


@pytest.mark.parametrize(
    "error",
    [OSError(36, "File name too long"), KeyError("7"), ValueError("odd"), TypeError("odd"), ZeroDivisionError("odd"),
     MemoryError("large"), UnicodeDecodeError("ascii", b"7", 0, 1, "odd"), AssertionError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_rows_fail_alone_whatever_the_error(error):
    fetcher = CutoutFetcher(Fragile(error), npix=6, on_error="nan")
    with pytest.raises(
        CutoutFetchError, match=rf"1 of 3 cutouts could not be had: 1 failed.\n.*{type(error).__name__}"
    ):
        fetcher.transform(catalog(3, 99, 5))
    assert fetcher.report_["status"].tolist() == ["ok", "failed", "ok"]


def test_interrupts_are_not_failures_of_a_row():
    with pytest.raises(KeyboardInterrupt):
        CutoutFetcher(Fragile(KeyboardInterrupt()), npix=6).transform(catalog(3, 99, 5))


def test_report():
    fetcher = CutoutFetcher(Plates(), npix=6, on_error="nan")
    fetcher.transform(catalog(3, 66, 5, object_id=["a", "b", "c"]))
    report = fetcher.report_
    assert report.colnames == ["row", "object_id", "ra", "dec", "pixel_scale", "status", "reason", "coverage"]
    assert report["row"].tolist() == [0, 1, 2]
    assert report["object_id"].tolist() == ["a", "b", "c"]
    assert report["ra"].to_value(u.deg).tolist() == [3, 66, 5]
    assert report["pixel_scale"].to_value(u.arcsec).tolist() == [0.5] * 3
    assert report["status"].tolist() == ["ok", "missing", "ok"]
    assert report["reason"].tolist() == ["", "ra=66.0 is outside the survey", ""]
    assert report["coverage"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("parameters", "scales"),
    [({}, [0.5, 0.5]), ({"pixel_scale": 0.2}, [0.2, 0.2]), ({"pixel_scale_re": 0.1}, [0.3, 0.05])],
)
def test_pixel_scale(parameters, scales):
    source = Plates()
    CutoutFetcher(source, npix=6, **parameters).transform(catalog(1, 2, half_light_radius=[3.0, 0.5]))
    np.testing.assert_allclose([request.pixel_scale for request in source.asked], scales)


@pytest.mark.parametrize("radii", [[4.0, 8.0] * u.arcsec, [4.0, 8.0], [4 / 60, 8 / 60] * u.arcmin])
def test_pixels_in_half_light_radii_are_in_those_along_the_major_axis_if_there_are_any(radii):
    source = Plates()
    both = catalog(1, 2, half_light_radius=[3.0, 0.5], half_light_semimajor_axis=radii)
    CutoutFetcher(source, npix=6, pixel_scale_re=0.1).transform(both)
    np.testing.assert_allclose([request.pixel_scale for request in source.asked], [0.4, 0.8])


def test_rows_without_a_radius_are_missing_and_never_asked_for():
    source = Plates()
    radii = {"half_light_radius": [2.0, np.nan, 0.0, -1.0, np.inf, 3.0], "object_id": list("abcdef")}
    fetcher = CutoutFetcher(source, npix=6, pixel_scale_re=0.1, on_error="nan")
    images = fetcher.transform(catalog(1, 2, 3, 4, 5, 6, **radii))
    assert [request.ra for request in source.asked] == [1, 6]
    assert_array_equal(np.isnan(images).all(axis=(1, 2, 3)), [False, True, True, True, True, False])
    reason = "the pixel scale would be 0 arcsec; expected half_light_semimajor_axis or half_light_radius > 0 [arcsec]"
    assert fetcher.report_["reason"][2] == reason
    with pytest.raises(CutoutFetchError, match=r"4 × rows 1 \('b'\), 2 \('c'\), 3 \('d'\), 4 \('e'\): the pixel"):
        fetcher.set_params(on_error="raise").transform(catalog(1, 2, 3, 4, 5, 6, **radii))


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_the_others_are_fetched_before_one_error_tells_all():
    source = Plates()
    fetcher = CutoutFetcher(source, npix=6, cache=None)
    with pytest.raises(CutoutFetchError) as caught:
        fetcher.transform(catalog(66, 1, 77, 88, 66, 2, object_id=["g1", "g2", "g3", "g4", "g5", "g6"]))
    assert [request.ra for request in source.asked] == [66, 1, 77, 88, 66, 2]
    assert str(caught.value) == (
        "4 of 6 cutouts could not be had: 3 missing and 1 failed.\n"
        "  2 × rows 0 ('g1'), 4 ('g5'): ra=66.0 is outside the survey\n"
        "  1 × row 2 ('g3'): the service is tired\n"
        "  1 × row 3 ('g4'): only 36 of 72 pixel values are finite; expected a share of at least min_coverage=1.0\n"
        "Run this again to try again what has failed: with a cache, only that would be fetched.\n"
        'What is missing stays missing: pass on_error="nan" to get NaN images for it, or use acquire(catalog, '
        'on_error="skip"), which leaves its rows out.\n'
        "The table of all rows is report_ of the fetcher, and report of this error."
    )
    assert_array_equal(caught.value.report["status"], fetcher.report_["status"])
    assert_array_equal(pickle.loads(pickle.dumps(caught.value)).report["row"], np.arange(6))


def test_many_reasons_stay_readable():
    class Moody(Plates):
        def cutout(self, request):
            raise MissingCutoutError("abcdefghij"[int(request.ra)] + " is in the way")

    with pytest.raises(CutoutFetchError) as caught:
        CutoutFetcher(Moody(), npix=6).transform(catalog(*[0] * 1000, *range(10)))
    lines = str(caught.value).splitlines()
    assert lines[1] == "  1001 × rows 0 ('0'), 1 ('1'), 2 ('2'), 3 ('3'), …: a is in the way"
    assert lines[6] == "  … and 5 other reasons; see the report."
    assert len(lines) == 9


def test_nan_is_for_what_is_missing_not_for_what_failed():
    fetcher = CutoutFetcher(Plates(), npix=6, on_error="nan")
    images = fetcher.transform(catalog(1, 66, 88))
    assert_array_equal(np.isnan(images).all(axis=(1, 2, 3)), [False, True, True])
    with pytest.raises(CutoutFetchError, match=r"2 of 3 cutouts could not be had: 1 missing and 1 failed"):
        fetcher.transform(catalog(1, 66, 77))


@pytest.mark.parametrize(("dtype", "expected"), [(np.uint8, np.float32), (np.int32, np.float64), (np.float64,) * 2])
def test_nan_needs_a_dtype_that_has_it_whether_or_not_any_is_missing(dtype, expected):
    fetcher = CutoutFetcher(Plates(dtype), npix=6)
    assert fetcher.transform(catalog(200)).dtype == dtype
    for X in (catalog(200), catalog(200, 66)):
        images = fetcher.set_params(on_error="nan").transform(X)
        assert images.dtype == expected
        assert images[0, 0, 0, 0] == 200


def test_partial_coverage_is_kept_where_allowed():
    fetcher = CutoutFetcher(Plates(), npix=6, min_coverage=0.5)
    images = fetcher.transform(catalog(88))
    assert np.isnan(images[0, :3]).all()
    assert (images[0, 3:] == 88).all()
    assert fetcher.report_["coverage"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("parameters", "X", "match"),
    [
        ({"source": 7}, catalog(1), "The 'source' parameter of CutoutFetcher must be an instance of"),
        ({"npix": 0}, catalog(1), "The 'npix' parameter of CutoutFetcher must be an int in the range"),
        ({"on_error": "skip"}, catalog(1), "The 'on_error' parameter"),
        ({"memmap": "yes"}, catalog(1), "The 'memmap' parameter"),
        ({"min_coverage": 0}, catalog(1), "The 'min_coverage' parameter"),
        ({"source": Plates(pixel_scale=None)}, catalog(1), "Plates has no pixel scale of its own; pass pixel_scale="),
        (
            {"pixel_scale": 1.0, "pixel_scale_re": 0.1},
            catalog(1),
            r"pixel_scale=1.0 and pixel_scale_re=0.1; expected one of them\.",
        ),
        (
            {"pixel_scale_re": 0.1},
            catalog(1),
            r"pixel_scale_re=0.1 needs half-light radii, but the catalog has the columns ra, dec\. "
            r"Name the right one: Catalog\(data, half_light_semimajor_axis=.*, or Catalog\(data, half_light_radius=",
        ),
        ({}, catalog(1)[:0], "the catalog has no rows; expected at least one galaxy"),
        ({}, {"x": [1]}, "no column for ra"),
        ({"reducer": Normalizer("asinh")}, catalog(1), "must be fitted; expected a transformer that needs no fit"),
        ({"reducer": 5}, catalog(1), "The 'reducer' parameter"),
    ],
)
def test_mistakes_are_found_in_fit_and_before_anything_is_asked(parameters, X, match):
    source = Plates()
    fetcher = CutoutFetcher(**{"source": source, "npix": 6, **parameters})
    for method in (fetcher.fit, fetcher.transform, fetcher.acquire, fetcher.prefetch):
        with pytest.raises(ValueError, match=match):
            method(X)
    assert not source.asked


@pytest.mark.parametrize("promise", [{"n_channels": 3}, {"dtype": np.uint8}])
def test_a_source_that_breaks_its_promise(promise):
    source = Plates()
    source.cutout = lambda request: np.zeros((6, 6, 2), dtype=np.float32)
    vars(source).update(promise)
    with pytest.raises(ValueError, match=r"Plates made an image of shape \(6, 6, 2\) and dtype float32; expected"):
        CutoutFetcher(source, npix=6).transform(catalog(1))


def test_a_source_that_ends_early():
    source = Plates()
    source.cutouts = lambda requests, store=None: [np.zeros((6, 6, 2), dtype=np.float32)]
    with pytest.raises(RuntimeError, match=r"Plates.cutouts ended before CutoutRequest\(ra=2.0.*for each of 2"):
        CutoutFetcher(source, npix=6).transform(catalog(1, 2))


def test_errors_that_are_no_cutout_errors_are_not_hidden():
    source = Plates()
    source.cutout = lambda request: 1 / 0
    with pytest.raises(ZeroDivisionError):
        CutoutFetcher(source, npix=6, on_error="nan").transform(catalog(1))


# --- acquire and prefetch -----------------------------------------------------------------------------------------


def test_acquire_leaves_out_what_is_missing():
    fetcher = CutoutFetcher(Plates(np.uint8), npix=6)
    acquired = fetcher.acquire(catalog(5, 66, 7, 66, 9, spin=[0.5, 0.6, 0.7, 0.8, 0.9]))
    assert acquired.images.dtype == np.uint8
    assert values(acquired.images) == [5, 7, 9]
    assert isinstance(acquired.catalog, Catalog)
    assert acquired.catalog["spin"].tolist() == [0.5, 0.7, 0.9]
    assert acquired.report["status"].tolist() == ["ok", "missing", "ok", "missing", "ok"]


def test_acquire_does_not_leave_out_what_failed():
    with pytest.raises(CutoutFetchError, match="1 missing and 1 failed"):
        CutoutFetcher(Plates(), npix=6).acquire(catalog(1, 66, 77))


def test_acquire_can_keep_or_refuse_what_is_missing():
    fetcher = CutoutFetcher(Plates(), npix=6)
    acquired = fetcher.acquire(catalog(1, 66), on_error="nan")
    assert len(acquired.images) == len(acquired.catalog) == 2
    assert np.isnan(acquired.images[1]).all()
    with pytest.raises(CutoutFetchError):
        fetcher.acquire(catalog(1, 66), on_error="raise")
    with pytest.raises(ValueError, match="on_error='drop'; expected 'skip', 'raise' or 'nan'"):
        fetcher.acquire(catalog(1), on_error="drop")


def test_nothing_to_acquire():
    acquired = CutoutFetcher(Plates(), npix=6).acquire(catalog(66, 66))
    assert acquired.images.shape == (0, 6, 6, 2)
    assert len(acquired.catalog) == 0


def test_prefetch_reports_and_does_not_raise():
    fetcher = CutoutFetcher(Plates(), npix=6)
    report = fetcher.prefetch(catalog(1, 66, 77, 88))
    assert report["status"].tolist() == ["ok", "missing", "failed", "missing"]
    assert report is fetcher.report_


@pytest.mark.parametrize("cache", [None, False])
def test_prefetch_needs_a_cache(cache):
    with pytest.raises(ValueError, match=f"cache={cache}: there is no cache to fill; expected True, a path"):
        CutoutFetcher(Plates(), npix=6, cache=cache).prefetch(catalog(1))


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_prefetch_holds_few_images():
    fetcher = CutoutFetcher(Plates(), npix=256)  # 0.5 MiB each
    X = catalog(*range(60))
    assert peak_bytes(lambda: fetcher.prefetch(X)) < 4 * 2**20
    assert peak_bytes(lambda: fetcher.transform(X)) > 30 * 2**20


# --- large catalogs -----------------------------------------------------------------------------------------------


def test_reduced_as_they_arrive(monkeypatch):
    monkeypatch.setattr(_gather, "CHUNK_BYTES", 5 * 256**2 * 2 * 4)  # 5 images
    chunks = []
    spy = FunctionTransformer(lambda images: [chunks.append(len(images)), Downsampler(16).transform(images)][1])
    fetcher = CutoutFetcher(Plates(), npix=256, reducer=spy)
    X = catalog(*range(60), 66)
    assert peak_bytes(lambda: fetcher.acquire(X)) < 8 * 2**20  # 30 MiB at full size
    assert max(chunks) == 5
    images = fetcher.set_params(on_error="nan").transform(X)
    assert images.shape == (61, 16, 16, 2)
    assert values(images)[:-1] == list(range(60))
    assert np.isnan(images[-1]).all()


def test_reducing_is_the_same_as_downsampling_afterward():
    source = ArrayStack(np.random.default_rng(0).integers(0, 256, (7, 30, 30, 3), dtype=np.uint8))
    X = catalog(*range(7), object_id=range(7))
    plain = CutoutFetcher(source, npix=30, pixel_scale=1)
    reduced = clone(plain).set_params(reducer=Downsampler(8))
    assert_array_equal(reduced.transform(X), Downsampler(8).fit_transform(plain.transform(X)))


def test_a_reducer_must_make_images():
    flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    with pytest.raises(ValueError, match=r"made \(1, 72\) of images \(1, 6, 6, 2\); expected one image"):
        CutoutFetcher(Plates(), npix=6, reducer=flatten).transform(catalog(1))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_large_results_live_in_a_temporary_file(monkeypatch):
    monkeypatch.setattr(_memmap, "MEMMAP_BYTES", 3 * 6 * 6 * 2 * 4)
    fetcher = CutoutFetcher(Plates(), npix=6)
    assert not isinstance(fetcher.transform(catalog(1, 2, 3)), np.memmap)
    images = fetcher.transform(catalog(1, 2, 3, 4))
    assert isinstance(images, np.memmap)
    file, view = Path(images.filename), images[2:]
    del images
    gc.collect()
    assert values(view) == [3, 4]
    assert file.exists()
    del view
    gc.collect()
    assert not file.exists()


@pytest.mark.parametrize("memmap", [True, False])
def test_memmap_as_asked(temporary, memmap):
    images = CutoutFetcher(Plates(), npix=6, memmap=memmap).acquire(catalog(1, 66, 3)).images
    assert isinstance(images, np.memmap) == memmap
    assert values(images) == [1, 3]


def test_a_full_disk_is_found_before_anything_is_asked(temporary, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    source = Plates()
    with pytest.raises(OSError, match=r"The images take .* set TMPDIR to a folder on another disk"):
        CutoutFetcher(source, npix=6, memmap=True).transform(catalog(1))
    assert not source.asked
    assert not list(temporary.iterdir())


def test_an_interruption_leaves_nothing_broken(temporary):
    source = Plates()
    fetcher = CutoutFetcher(source, npix=6, memmap=True)
    plain = source.cutout

    def interrupted(request):
        if request.ra == 3:
            raise KeyboardInterrupt
        return plain(request)

    source.cutout = interrupted
    with pytest.raises(KeyboardInterrupt):
        fetcher.transform(catalog(1, 2, 3, 4))
    gc.collect()
    assert not list(temporary.iterdir())
    source.cutout = plain
    assert values(fetcher.transform(catalog(1, 2, 3, 4))) == [1, 2, 3, 4]


def test_a_row_costs_little():
    stack = ArrayStack(np.zeros((1, 1, 1), dtype=np.uint8), ids=["a"])
    X = catalog(*np.linspace(0, 359, 20_000), object_id=["a"] * 20_000)
    start = time.process_time()
    CutoutFetcher(stack, npix=1, pixel_scale=1).transform(X)
    assert time.process_time() - start < 20_000 * 100e-6


def test_no_bar_where_nobody_watches(capsys):
    CutoutFetcher(Plates(), npix=6, verbose=1).transform(catalog(1))
    assert capsys.readouterr() == ("", "")


# --- scikit-learn -------------------------------------------------------------------------------------------------


def test_fit_asks_for_nothing_and_fit_transform_once():
    source = Plates()
    fetcher = CutoutFetcher(source, npix=6)
    before = fetcher.get_params()
    assert fetcher.fit(catalog(1, 66)) is fetcher
    assert not source.asked
    assert values(fetcher.fit_transform(catalog(1, 2), [0.1, 0.2])) == [1, 2]
    assert len(source.asked) == 2
    assert fetcher.get_params() == before


def test_clone_parameters_and_representations():
    fetcher = CutoutFetcher(SkyServer(release="dr8"), npix=64, reducer=Downsampler(80))
    copy = clone(fetcher).set_params(source__release="dr17", reducer__npix=32, npix=128)
    assert (fetcher.source.release, fetcher.reducer.npix, fetcher.npix) == ("dr8", 80, 64)
    assert (copy.source.release, copy.reducer.npix, copy.npix) == ("dr17", 32, 128)
    assert "SkyServer(release='dr8')" in repr(fetcher)
    assert "CutoutFetcher" in fetcher._repr_html_()
    assert not get_tags(fetcher).requires_fit


def test_the_report_is_not_pickled(tmp_path):
    fetcher = CutoutFetcher(ArrayStack(np.zeros((1, 6, 6))), npix=6, pixel_scale=1)
    fetcher.transform(catalog(1, object_id=["0"]))
    loaded = pickle.loads(pickle.dumps(fetcher))
    assert hasattr(fetcher, "report_")
    assert not hasattr(loaded, "report_")
    assert loaded.transform(catalog(1, object_id=["0"])).shape == (1, 6, 6, 1)


# --- the two stories: from a catalog to predictions ---------------------------------------------------------------


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
    with pytest.raises(
        CutoutFetchError, match=r"2 of 16 .*\n  1 × row 3 \('galaxy 3'\): SDSS has no image.*\n  1 × row 5"
    ):
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
}  # by scikit-learn itself; all others are once they are a Catalog


@pytest.fixture(scope="module")
def targets(galaxies):
    return np.stack([galaxies[name] for name in ("bulge_to_total", "half_light_radius", "flux")], axis=1)


@pytest.fixture(scope="module")
def expected(galaxies, structure, targets):
    """Predictions of cross-validation, and of a fit on everything."""
    catalog = Catalog(galaxies)
    return cross_val_predict(structure, catalog, targets, cv=2), clone(structure).fit(catalog, targets).predict(
        catalog
    )


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
