"""Pickles of a regressor: their contents, and the machines on which they load."""

import os
import pickle
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_predict, cross_validate

from galestim import CNNRegressor, Downsampler, Normalizer, make_pipeline
from galestim.model_selection import ContinuousStratifiedKFold

LOAD = "import joblib, numpy, sys; numpy.save(sys.argv[2], joblib.load(sys.argv[1]).predict(numpy.load(sys.argv[3])))"


def pipeline(model):
    return make_pipeline(Downsampler(8), Normalizer("minmax"), model)


def test_loads_in_a_fresh_process_without_cuda(blobs, small, tmp_path):
    images, radius, _ = blobs
    fitted = pipeline(small()).fit(images, radius)
    joblib.dump(fitted, tmp_path / "spin.joblib")
    np.save(tmp_path / "images.npy", images)
    files = [str(tmp_path / name) for name in ("spin.joblib", "predicted.npy", "images.npy")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, env=environment)
    np.testing.assert_array_equal(np.load(files[1]), fitted.predict(images))


def test_model_fitted_for_cuda_loads_without_it(blobs, small):
    images, radius, _ = blobs
    model = small().fit(images, radius)
    state = {**model.__getstate__(), "device": "cuda"}  # what a machine with a GPU would have written
    loaded = CNNRegressor.__new__(CNNRegressor)
    loaded.__setstate__(state)
    assert loaded.device == "cuda"
    np.testing.assert_allclose(loaded.predict(images), model.predict(images), rtol=1e-3)


def test_spin_cnn_pickle_is_its_weights():
    images = np.random.default_rng(0).integers(0, 255, (4, 80, 80, 3), dtype=np.uint8)
    model = CNNRegressor(max_epochs=1, random_state=0).fit(images, np.arange(4.0))
    assert model.n_parameters_ == 5_994_145
    assert len(pickle.dumps(model)) <= 1.1 * 4 * model.n_parameters_


def test_state_is_plain(blobs, small):
    images, radius, _ = blobs
    state = small().fit(images, radius).__getstate__()
    assert not {"network_", "device_"} & state.keys()
    assert {type(value) for value in state["_weights"].values()} == {np.ndarray}


def test_skops_trusts_galestim_alone(blobs, small, tmp_path):
    images, radius, _ = blobs
    fitted = pipeline(small()).fit(images, radius)
    skops.io.dump(fitted, tmp_path / "spin.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "spin.skops")
    assert untrusted
    assert all(name.startswith("galestim.") for name in untrusted)
    loaded = skops.io.load(tmp_path / "spin.skops", trusted=untrusted)
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))


def test_state_of_another_version_says_why_not(blobs, small):
    images, radius, _ = blobs
    model = small().fit(images, radius)
    state = model.__getstate__()
    state["_galestim_version"] = "0.0.1"
    state["_weights"] = {name: value for name, value in state["_weights"].items() if name != "network.0.weight"}
    with pytest.raises(
        ValueError, match=r"this CNNRegressor was saved by galestim 0\.0\.1 and its network does not fit"
    ):
        CNNRegressor.__new__(CNNRegressor).__setstate__(state)


def test_loading_leaves_the_random_state_alone(blobs, small):
    images, radius, _ = blobs
    pickled = pickle.dumps(small(max_epochs=1).fit(images, radius))
    before = torch.get_rng_state()
    pickle.loads(pickled)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def one_thread():
    """As in the workers, so that sums are rounded alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("search", [GridSearchCV, partial(HalvingGridSearchCV, random_state=0)])
def test_searches_with_two_jobs_give_what_one_gives(blobs, small, one_thread, search):
    images, radius, _ = blobs
    grid = {"cnnregressor__lr": [1e-3, 1e-2], "cnnregressor__network__dense_units": [(8,), (16, 8)]}
    cv = ContinuousStratifiedKFold(2, random_state=0)
    one, two = (search(pipeline(small(max_epochs=2)), grid, cv=cv, n_jobs=n).fit(images, radius) for n in (1, 2))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(one.predict(images), two.predict(images))


def test_cross_validation_with_two_jobs_gives_what_one_gives(blobs, small, one_thread):
    images, radius, _ = blobs
    model = pipeline(small(max_epochs=2))
    predictions = [cross_val_predict(model, images, radius, cv=3, n_jobs=n_jobs) for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*predictions)
    scores = [cross_validate(model, images, radius, cv=3, n_jobs=n_jobs)["test_score"] for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*scores)
