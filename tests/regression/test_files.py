"""Pickles of regressors: their contents, and the machines on which they load; searches with two jobs."""

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
from astropy import units as u
from astropy.table import QTable
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

from galestim import (
    CNNRegressor,
    CompactCNN,
    Downsampler,
    Normalizer,
    SpatialTransformer,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.model_selection import ContinuousStratifiedKFold, posterior_scorers
from galestim.networks import GaussianHead
from galestim.targets import LogTransform

LOAD = """
import joblib, numpy, sys
images = numpy.load(sys.argv[3])
numpy.savez(sys.argv[2], *(model.predict(images) for model in joblib.load(sys.argv[1])))
"""


def spin(model):
    return make_pipeline(Downsampler(8), Normalizer("minmax"), model)


def structure(**parameters):
    defaults = {"target_transforms": ["log", LogTransform()], "n_estimators": 2, "head": GaussianHead(n_mixture=2)}
    defaults |= {"spatial_transformer": SpatialTransformer(npix=8), "n_passes": 3, "max_epochs": 2, "random_state": 0}
    network = CompactCNN(widths=(2, 4), readout="radial", norm="none")
    return make_pipeline(Normalizer("asinh"), STNPosteriorRegressor(network, **{**defaults, **parameters}))


@pytest.fixture
def fitted(blobs, small):
    """A pipeline of numbers, and one of posteriors."""
    images, radius, targets = blobs
    table = QTable({"half_light_radius": targets[:, 0] * u.arcsec, "flux": targets[:, 1]})
    return [spin(small()).fit(images, radius), structure().fit(images, table)]


def test_they_load_in_a_fresh_process_without_cuda(blobs, fitted, tmp_path):
    images = blobs[0]
    joblib.dump(fitted, tmp_path / "models.joblib")
    np.save(tmp_path / "images.npy", images)
    files = [str(tmp_path / name) for name in ("models.joblib", "predicted.npz", "images.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    for there, model in zip(np.load(files[1]).values(), fitted, strict=True):
        np.testing.assert_array_equal(there, model.predict(images))  # means of all of a posterior


def test_skops_trusts_galestim_alone(blobs, fitted, tmp_path):
    for model in fitted:
        skops.io.dump(model, tmp_path / "model.skops")
        untrusted = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
        assert untrusted
        assert all(name.startswith("galestim.") for name in untrusted)
        loaded = skops.io.load(tmp_path / "model.skops", trusted=untrusted)
        np.testing.assert_array_equal(loaded.predict(blobs[0]), model.predict(blobs[0]))
        assert loaded[-1].target_units_ == model[-1].target_units_


@pytest.mark.parametrize(
    ("model", "shape", "n_parameters"),
    [(CNNRegressor, (4, 80, 80, 3), 5_994_145), (STNPosteriorRegressor, (8, 32, 32), None)],
)
def test_a_pickle_is_its_weights(model, shape, n_parameters):
    images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    fitted = model(max_epochs=1, random_state=0).fit(images, np.arange(float(len(images))))
    assert fitted.n_parameters_ == (n_parameters or fitted.n_parameters_)
    assert len(pickle.dumps(fitted)) <= 1.1 * 4 * fitted.n_parameters_


def test_model_fitted_for_cuda_loads_without_it(blobs, small):
    images, radius, _ = blobs
    model = small().fit(images, radius)
    state = {**model.__getstate__(), "device": "cuda"}  # what a machine with a GPU would have written
    loaded = CNNRegressor.__new__(CNNRegressor)
    loaded.__setstate__(state)
    assert loaded.device == "cuda"
    np.testing.assert_allclose(loaded.predict(images), model.predict(images), rtol=1e-3)


def test_state_is_plain_and_that_of_another_version_says_why_not(blobs, small):
    images, radius, _ = blobs
    state = small(max_epochs=1).fit(images, radius).__getstate__()
    assert not {"network_", "device_"} & state.keys()
    assert {type(value) for value in state["_weights"].values()} == {np.ndarray}
    state["_galestim_version"] = "0.0.1"
    del state["_weights"]["network.0.weight"]
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


# ---- searches; folds in parallel are tested with threads


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
    one, two = (search(spin(small(max_epochs=2)), grid, cv=cv, n_jobs=n).fit(images, radius) for n in (1, 2))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(one.predict(images), two.predict(images))


def test_searches_for_posteriors_with_two_jobs_give_what_one_gives(blobs, one_thread):
    images, _, targets = blobs
    scoring = posterior_scorers(n_samples=50)
    options = {"cv": 2, "scoring": scoring, "refit": "log_score", "error_score": "raise"}
    grid = {"stnposteriorregressor__lr": [1e-3, 1e-2]}
    one, two = (GridSearchCV(structure(), grid, n_jobs=n, **options).fit(images, targets) for n in (1, 2))
    for name in scoring:
        np.testing.assert_array_equal(one.cv_results_[f"mean_test_{name}"], two.cv_results_[f"mean_test_{name}"])
        assert scoring[name](one, images, targets) == scoring[name](two, images, targets)
