"""Pickles of a posterior regressor, and searches that are alike with one job and two."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import skops.io
import torch
from astropy import units as u
from astropy.table import QTable
from sklearn.model_selection import GridSearchCV, cross_validate

from galestim import CompactCNN, Normalizer, SpatialTransformer, STNPosteriorRegressor, make_pipeline
from galestim.model_selection import posterior_scorers
from galestim.networks import GaussianHead
from galestim.targets import LogTransform

LOAD = """
import joblib, numpy, sys
posterior = joblib.load(sys.argv[1]).predict_posterior(numpy.load(sys.argv[3]))
numpy.savez(sys.argv[2], means=posterior.means, scale_trils=posterior.scale_trils, weights=posterior.weights)
"""


def pipeline(**parameters):
    model = STNPosteriorRegressor(
        CompactCNN(widths=(2, 4), readout="radial", norm="none"),
        spatial_transformer=SpatialTransformer(npix=8),
        **{
            "target_transforms": ["log", LogTransform()],
            "n_estimators": 2,
            "head": GaussianHead(n_mixture=2),
            "n_passes": 3,
            "max_epochs": 2,
            "random_state": 0,
            **parameters,
        },
    )
    return make_pipeline(Normalizer("asinh"), model)


@pytest.fixture
def fitted(blobs):
    images, _, targets = blobs
    table = QTable({"half_light_radius": targets[:, 0] * u.arcsec, "flux": targets[:, 1]})
    return pipeline().fit(images, table)


def test_loads_in_a_fresh_process_without_cuda(blobs, fitted, tmp_path):
    images = blobs[0]
    joblib.dump(fitted, tmp_path / "structure.joblib")
    np.save(tmp_path / "images.npy", images)
    files = [str(tmp_path / name) for name in ("structure.joblib", "posterior.npz", "images.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    there, here = np.load(files[1]), fitted.predict_posterior(images)
    for name in there.files:
        np.testing.assert_array_equal(there[name], getattr(here, name))


def test_pickle_is_its_weights():
    images = np.random.default_rng(0).random((8, 32, 32), dtype=np.float32)
    model = STNPosteriorRegressor(max_epochs=1, random_state=0).fit(images, np.arange(8.0))
    assert len(pickle.dumps(model)) <= 1.1 * 4 * model.n_parameters_


def test_skops_trusts_galestim_alone(blobs, fitted, tmp_path):
    images = blobs[0]
    skops.io.dump(fitted, tmp_path / "structure.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "structure.skops")
    assert untrusted
    assert all(name.startswith("galestim.") for name in untrusted)
    loaded = skops.io.load(tmp_path / "structure.skops", trusted=untrusted)
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))
    assert loaded.predict_posterior(images[:1]).units == fitted.predict_posterior(images[:1]).units


@pytest.fixture
def one_thread():
    """As in the workers, so that sums are rounded alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_searches_with_two_jobs_give_what_one_gives(blobs, one_thread):
    images, _, targets = blobs
    grid = {"stnposteriorregressor__lr": [1e-3, 1e-2]}
    scoring = posterior_scorers(n_samples=50)
    one, two = (
        GridSearchCV(
            pipeline(n_estimators=1), grid, cv=2, scoring=scoring, refit="log_score", n_jobs=n, error_score="raise"
        ).fit(images, targets)
        for n in (1, 2)
    )
    for name in scoring:
        np.testing.assert_array_equal(one.cv_results_[f"mean_test_{name}"], two.cv_results_[f"mean_test_{name}"])
        assert scoring[name](one, images, targets) == scoring[name](two, images, targets)


def test_cross_validation_with_two_jobs_gives_what_one_gives(blobs, one_thread):
    images, _, targets = blobs
    scoring = posterior_scorers(n_samples=50)
    one, two = (
        cross_validate(pipeline(), images, targets, cv=2, scoring=scoring, n_jobs=n, error_score="raise")
        for n in (1, 2)
    )
    for name in scoring:
        np.testing.assert_array_equal(one[f"test_{name}"], two[f"test_{name}"])
