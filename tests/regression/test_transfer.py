"""Fits that start from the weights of another estimator."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from galestim import (
    CNNRegressor,
    CompactCNN,
    Cutouts,
    HarmonicNet,
    Normalizer,
    PosteriorRegressor,
    SpinCNN,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.checkpoints import load_estimator, load_pretrained, load_published_stn, save_estimator
from galestim.networks import VGG16, SpatialTransformer
from galestim.regression import Transfer

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(10, 2, size=(40, 16, 16, 3)).astype(np.float32)
Y = RNG.uniform(1, 2, size=40)
SOURCE = CNNRegressor(CompactCNN(widths=(2, 4)), max_epochs=2, random_state=0).fit(IMAGES, Y)


def fitted(transfer, X=IMAGES, y=3 * Y, kind=CNNRegressor, **parameters):
    return kind(warm_start_from=transfer, **{"max_epochs": 2, "random_state": 1, **parameters}).fit(X, y)


def weights(model):
    return {name: tensor.numpy().copy() for name, tensor in model._members()[0].core.state_dict().items()}


def moved(model, source=SOURCE):
    """Names of the core's weights that differ between two estimators."""
    own, theirs = weights(model), weights(source)
    return {name for name in own if own[name].shape != theirs[name].shape or (own[name] != theirs[name]).any()}


def test_a_frozen_trunk_stays_as_it_was_and_the_last_layer_learns():
    model = fitted(Transfer(SOURCE, lr_factor=0))
    assert moved(model) == {"head.4.weight", "head.4.bias"}  # statistics of batch normalization stay, too
    assert_array_equal(model.pixel_mean_, SOURCE.pixel_mean_)
    assert model.target_mean_ == pytest.approx(3 * SOURCE.target_mean_, rel=0.05)


def test_the_source_stays_as_it_is():
    before = weights(SOURCE)
    fitted(Transfer(SOURCE, lr_factor=1.0))
    for name, value in weights(SOURCE).items():
        assert_array_equal(value, before[name])
    assert all(tensor.requires_grad for tensor in SOURCE.network_.parameters())


def test_a_lower_rate_moves_weights_less():
    def distance(factor):
        model = fitted(Transfer(SOURCE, lr_factor=factor), lr_schedule=None)
        return np.abs(
            weights(model)["stages.0.1.branch.2.weight"] - weights(SOURCE)["stages.0.1.branch.2.weight"]
        ).max()

    assert 0 < 5 * distance(0.01) < distance(0.1) < distance(1.0)


def test_rates_of_crops_are_lower_still():
    stn = STNPosteriorRegressor(CompactCNN(widths=(2,), norm="none"), max_epochs=1, random_state=0).fit(IMAGES, Y)
    member = fitted(Transfer(stn, lr_factor=0.5), kind=STNPosteriorRegressor).network_[0]
    factors = member.lr_factors
    assert {factors[name] for name in factors if name.startswith("network.transformer.fc")} == {0.05}
    assert {factors[name] for name in factors if name.startswith("network.network.stem")} == {0.5}
    assert not any("network.network.head.4" in name for name in factors)


def test_a_second_fit_thaws_what_the_first_one_froze():
    model = pickle.loads(pickle.dumps(fitted(Transfer(SOURCE, lr_factor=0), warm_start=True)))
    model.fit(IMAGES, 3 * Y)
    assert moved(model) == {"head.4.weight", "head.4.bias"}
    model.set_params(warm_start_from__lr_factor=1.0).fit(IMAGES, 3 * Y)
    assert "stages.0.1.branch.2.weight" in moved(model)


def test_the_same_targets_by_name_go_on_from_the_last_layer_as_well():
    table = pd.DataFrame({"half_light_radius": Y})
    source = PosteriorRegressor(
        HarmonicNet(hidden=8, blocks=1), target_transforms="log", max_epochs=3, random_state=0
    ).fit(IMAGES, table)
    slow = {"kind": PosteriorRegressor, "lr": 1e-12, "weight_decay": 0.0, "target_transforms": "log", "max_epochs": 1}
    model = fitted(Transfer(source), y=table[20:] * 1.5, X=IMAGES[20:], calibrate_widths=False, **slow)
    source.set_params(calibrate_widths=False)
    assert_array_equal(model.target_mean_, source.target_mean_)
    np.testing.assert_allclose(model.predict(IMAGES), source.predict(IMAGES), rtol=0.05)
    other = fitted(Transfer(source), y=table.rename(columns={"half_light_radius": "flux"}) * 1.5, **slow)
    assert other.target_mean_ != source.target_mean_
    unnamed = fitted(Transfer(source), y=table.to_numpy() * 1.5, **slow)
    assert unnamed.target_mean_ != source.target_mean_


def test_other_bands_start_from_the_mean_filter():
    gray = IMAGES.mean(axis=3)
    model = fitted(Transfer(SOURCE, lr_factor=0), X=gray)
    kernels = weights(SOURCE)["stem.0.weight"].mean(axis=1, keepdims=True) * 3
    np.testing.assert_allclose(weights(model)["stem.0.weight"], kernels, rtol=1e-6)
    assert model.pixel_mean_.shape == (1,)


def test_what_else_starts_afresh_is_told():
    network = SpinCNN(filters=(2,) * 5, kernel_sizes=(2,) * 5, dense_units=(4, 4))
    source = CNNRegressor(network, max_epochs=1, random_state=0).fit(IMAGES, Y)
    larger = np.pad(IMAGES, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="wrap")
    with pytest.warns(UserWarning, match=r"1 weights besides the last layer start afresh.*network\.\d+\.weight"):
        model = fitted(Transfer(source), X=larger)
    assert model.predict(larger).shape == (40,)


def test_images_in_other_units_are_told():
    with pytest.warns(UserWarning, match="expected images that are scaled and stretched alike"):
        fitted(Transfer(SOURCE), X=IMAGES * 100)


def test_from_numbers_to_posteriors_in_ensembles_and_through_pipelines():
    pipeline = make_pipeline(Normalizer("scale", scale=10.0), clone(SOURCE)).fit(IMAGES, Y)
    model = fitted(
        Transfer(pipeline, lr_factor=0), X=IMAGES / 10, kind=PosteriorRegressor, n_estimators=2, dropout=None
    )
    assert len(model.network_) == 2
    assert moved(model, pipeline[-1]) == {"head.4.weight", "head.4.bias"}
    assert model.predict_posterior(IMAGES[:2] / 10).means.shape == (2, 64, 1)


def test_clones_and_searches_keep_the_fitted_source():
    model = CNNRegressor(warm_start_from=Transfer(SOURCE), max_epochs=1, random_state=0)
    assert clone(model).warm_start_from.estimator is SOURCE
    search = GridSearchCV(model, {"warm_start_from__lr_factor": [0, 0.1]}, cv=2).fit(IMAGES, Y)
    assert search.best_estimator_.warm_start_from.estimator is SOURCE


def test_files_hold_the_network_and_not_the_source(tmp_path):
    model = fitted(Transfer(SOURCE))
    save_estimator(model, tmp_path / "spin.safetensors")
    read = load_estimator(tmp_path / "spin.safetensors")
    assert read.warm_start_from is None
    assert_array_equal(read.predict(IMAGES), model.predict(IMAGES))
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(IMAGES), model.predict(IMAGES))


def test_the_shipped_model_learns_another_target():
    star = np.outer(*2 * [np.hanning(15)])
    cutouts = Cutouts(RNG.normal(size=(30, 48, 48, 1)), psf=star / star.sum(), noise=1.0)
    source = load_pretrained()
    model = fitted(
        Transfer(source, lr_factor=0), X=cutouts, y=pd.Series(Y[:30], name="lambda_r"), kind=PosteriorRegressor
    )
    assert model.network is None
    assert moved(model, source) == {"exit.2.weight", "exit.2.bias"}
    with pytest.raises(ValueError, match="was told the camera of its images, and this fit is not"):
        fitted(Transfer(source), X=np.asarray(cutouts), y=Y[:30], kind=PosteriorRegressor)


def test_a_published_network_learns_another_target(tmp_path):
    crop = SpatialTransformer(localization="gampen", max_zoom=None).build((40, 40, 3))
    vgg = VGG16(units=4).build((40, 40, 3), n_outputs=9)
    state = crop.state_dict() | {f"vgg.{name}": weight for name, weight in vgg.state_dict().items()}
    torch.save(state, tmp_path / "trained.pt")
    labels = RNG.uniform(0.1, 0.9, size=(50, 3))
    source = load_published_stn(tmp_path / "trained.pt", labels, image_size=40)
    X = np.arcsinh(RNG.normal(size=(12, 40, 40, 3)))
    model = STNPosteriorRegressor.gampen(
        warm_start_from=Transfer(source, lr_factor=0),
        network=None,
        validation_fraction=0.0,
        max_epochs=1,
        random_state=0,
    ).fit(X, Y[:12])
    assert moved(model, source) == {"classifier.6.weight", "classifier.6.bias"}
    own = model.network_[0].network.transformer.state_dict()
    for name, value in source.network_[0].network.transformer.state_dict().items():
        assert_array_equal(own[name], value)


@pytest.mark.parametrize(
    ("transfer", "network", "error"),
    [
        (Transfer(clone(SOURCE)), None, "is not fitted or has no network"),
        (Transfer(SOURCE, lr_factor=-1), None, "lr_factor"),
        (SOURCE, None, "warm_start_from"),
        (Transfer(SOURCE), HarmonicNet(hidden=8), "expected one network. Leave network=None"),
    ],
)
def test_what_cannot_be_taken_over(transfer, network, error):
    with pytest.raises(ValueError, match=error), warnings.catch_warnings(action="error"):
        fitted(transfer, network=network)
