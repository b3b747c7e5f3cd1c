"""Arrays in temporary files: their space is reserved, and they go with the process, however that ends."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from operator import attrgetter

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from galestim import Catalog, CutoutFetcher
from galestim._io import memmap as _memmap
from galestim._io.memmap import empty_array, new_map, read_only, temporary_map
from galestim.cutouts import ArrayStack

IS_LINUX = os.path.exists("/proc/self/fd")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(not IS_LINUX, reason="elsewhere the file keeps its name")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_no_file(tmp_path, end):
    code = "from galestim._io.memmap import empty_array as e; a = e((500, 8), 'f8', True); a[:] = 1; print(a.sum()); "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "import sys, time; sys.stdout.flush(); time.sleep(60)"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "4000.0"
    process.send_signal(end)
    process.communicate()
    assert not list(tmp_path.iterdir())


def test_where_files_keep_their_names_they_go_with_the_last_view(temporary, monkeypatch):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: "/proc/" not in str(path) and exists(path))
    view = empty_array((30, 4), "f4", True)[3:]
    (file,) = temporary.iterdir()
    assert view.filename == str(file)
    del view
    assert not list(temporary.iterdir())


def test_the_space_is_reserved(temporary):
    """A sparse file would have a block or two until it is written."""
    array = temporary_map((2**20,), "u1", cure="")
    assert os.stat(array.filename).st_blocks * 512 >= 2**20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_others_fill_is_an_error(temporary, monkeypatch, code):
    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"^The images take 0\.0 GiB, but .* has .* GiB free; use another disk\.$"):
        temporary_map((100,), "f4", cure="use another disk")
    assert not list(temporary.iterdir())


def test_a_file_system_that_cannot_reserve_is_used_all_the_same(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(_memmap.os, "posix_fallocate", unsupported)
    new_map(tmp_path / "a.npy", (5,), "f4", cure="")[:] = 3
    assert np.load(tmp_path / "a.npy").tolist() == [3] * 5


def test_workers_read_it_and_cannot_write_what_is_read_only(temporary):
    array = empty_array((40, 3), "f8", True)
    array[:] = np.arange(120).reshape(40, 3)
    seen = Parallel(n_jobs=2)(delayed(np.sum)(view) for view in (array[5:], array[::2, 1], array[:0]))
    assert seen == [array[5:].sum(), array[::2, 1].sum(), 0]
    writeable = attrgetter("flags.writeable")
    assert Parallel(n_jobs=2)(delayed(writeable)(view) for view in [read_only(array)] * 2) == [False, False]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_searches_with_workers_on_mapped_cutouts():
    images = np.random.default_rng(0).normal(size=(24, 8, 8)).astype("f4")
    catalog = Catalog({"ra": np.ones(24), "dec": np.ones(24), "object_id": np.arange(24)})
    fetcher = CutoutFetcher(ArrayStack(images), npix=8, pixel_scale=1.0, memmap=True)
    means = make_pipeline(FunctionTransformer(np.mean, kw_args={"axis": (1, 2)}), Ridge())

    def scores(model, X):
        search = GridSearchCV(model, {"memory": [None]}, cv=2, n_jobs=2, error_score="raise")
        return search.fit(X, images[:, 4, 4]).cv_results_["mean_test_score"].tolist()

    mapped = fetcher.fit_transform(catalog)
    assert isinstance(mapped, np.memmap)
    assert (
        scores(means, mapped) == scores(make_pipeline(fetcher, *means), catalog) == scores(means, images[..., None])
    )
