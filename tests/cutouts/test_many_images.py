"""Images of large catalogs: reduced as they arrive, in a file, and few in memory at a time."""

import gc
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer

from galestim import Downsampler
from galestim._io import memmap as _memmap
from galestim.cutouts import ArrayStack, CutoutFetcher, _gather

from ._plates import Plates, catalog, values


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
