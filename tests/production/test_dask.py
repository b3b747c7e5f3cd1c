import os
import platform
import resource
import signal
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate

from galestim import CNNRegressor, CompactCNN, predict_catalog
from galestim.production._model import Model
from galestim.production._workers import _model_plugin

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        yield cluster


def visible(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


@pytest.mark.filterwarnings("ignore")  # of Dask, about what workers do when they end
def test_a_cluster_changes_nothing_even_if_a_worker_is_killed(survey, tmp_path, cluster):
    catalog, options = survey.folder / "catalog.parquet", {"chunk_size": 30}
    predict_catalog(survey.model, catalog, tmp_path / "serial", **options)
    with distributed.Client(cluster) as client:
        done = predict_catalog(survey.model, catalog, tmp_path / "dask", client=client, **options)
        assert (done.n_rows, done.n_ok) == (300, 299)
        assert visible(tmp_path / "dask") == visible(tmp_path / "serial")

        victim = next(iter(client.run(os.getpid).values()))

        def kill_in_the_midst():
            while not len(list((tmp_path / "killed").glob("part-*"))) > 2:
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill_in_the_midst)
        killer.start()
        predict_catalog(survey.model, catalog, tmp_path / "killed", client=client, **options)
        killer.join()
        assert visible(tmp_path / "killed") == visible(tmp_path / "serial")


def page_faults():
    """Of fifty arrays of a mebibyte, which have 256 pages each."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
@pytest.mark.filterwarnings("ignore")
def test_a_worker_keeps_freed_memory_while_it_has_a_model(survey, cluster):
    with distributed.Client(cluster) as client:
        plugin = _model_plugin(distributed)(Model.of(survey.model))
        client.register_plugin(plugin, name=plugin.name)
        assert max(client.run(page_faults).values()) < 50 * 256 / 4
        client.unregister_worker_plugin(plugin.name)
        assert min(client.run(page_faults).values()) > 50 * 256 / 2


@pytest.mark.filterwarnings("ignore")
def test_searches_and_cross_validation_run_on_it(tmp_path, cluster):
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(40, 8, 8)).astype("float32"), rng.normal(size=40)
    model = CNNRegressor(CompactCNN(widths=(2,)), max_epochs=1, random_state=0, checkpoint=str(tmp_path / "{fit}"))
    search = GridSearchCV(model, {"lr": [0.1, 0.01]}, cv=2)
    with distributed.Client(cluster), joblib.parallel_config("dask"):
        found = search.fit(images, y).cv_results_["mean_test_score"]
        scores = cross_validate(model, images, y, cv=2)["test_score"]
    assert len(list(tmp_path.iterdir())) == 7  # four of the search, the best one, and two with another lr
    model = model.set_params(checkpoint=None)
    expected = GridSearchCV(model, {"lr": [0.1, 0.01]}, cv=2).fit(images, y)
    np.testing.assert_allclose(found, expected.cv_results_["mean_test_score"], rtol=1e-5)
    np.testing.assert_allclose(scores, cross_validate(model, images, y, cv=2)["test_score"], rtol=1e-5)
    np.testing.assert_allclose(search.predict(images), expected.predict(images), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_workers_with_several_threads_are_refused(survey, tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(ValueError, match="client has workers with 2 threads; expected threads_per_worker=1"),
    ):
        predict_catalog(survey.model, survey.catalog, tmp_path / "out", client=client)
    assert not (tmp_path / "out").exists()
