import pickle

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import get_tags

from galestim import Downsampler, Normalizer
from galestim.catalogs import Catalog
from galestim.cutouts import ArrayStack, CutoutFetcher, CutoutFetchError, MissingCutoutError, SkyServer

from ._plates import Plates, catalog, values


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
