"""Fits on images that are drawn anew in each epoch."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn

from galestim import CNNRegressor, CompactCNN, PosteriorRegressor
from galestim.datasets import SimulatedGalaxies


class Spied(SimulatedGalaxies):
    """Remembers what was redrawn."""

    def redrawn(self, rows, epoch):
        images, target = super().redrawn(rows, epoch)
        vars(self).setdefault("seen", []).append((epoch, np.array(rows), images.copy(), target))
        return images, target


class Recording(nn.Module):
    """Remembers the pixels it was trained on and the labels of the loss."""

    pixels: list = []

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.linear = nn.Linear(image_shape[0] * image_shape[1], n_outputs)

    def forward(self, images):
        if self.training:
            self.pixels.append(images.detach().clone().numpy())
        return self.linear(images.flatten(1))


@pytest.fixture(autouse=True)
def forget():
    Recording.pixels.clear()


def stream(kind=SimulatedGalaxies, n=100, **parameters):
    return kind(n, **{"npix": 12, "random_state": 0, **parameters})


def posterior_regressor(**parameters):
    quick = {"max_epochs": 2, "batch_size": 32, "n_passes": 1, "random_state": 0}
    transforms = {"target_transforms": ["logit", "log", "log"]}
    return PosteriorRegressor(CompactCNN(widths=(2, 4)), **{**quick, **transforms, **parameters})


def cnn(**parameters):
    quick = {"max_epochs": 3, "batch_size": 32, "augmentation": None, "random_state": 0}
    return CNNRegressor(Recording, **{**quick, **parameters})


def state(model):
    return {name: value.numpy() for name, value in model.network_.state_dict().items()}


@pytest.mark.parametrize("redraw", ["noise", "galaxies"])
def test_the_same_fit_gives_the_same_network(redraw):
    one, other = (posterior_regressor().fit(g, g.target) for g in (stream(redraw=redraw), stream(redraw=redraw)))
    for name, value in state(one).items():
        np.testing.assert_array_equal(value, state(other)[name])
    g = stream(redraw=redraw)
    np.testing.assert_array_equal(one.predict(g), one.predict(np.asarray(g)))


def test_each_epoch_shows_every_training_row_once_with_new_noise():
    g = stream(Spied)
    model = cnn().fit(g, g.target)
    epochs = {epoch: np.concatenate([rows for e, rows, *_ in g.seen if e == epoch]) for epoch in (1, 2, 3)}
    assert {epoch for epoch, *_ in g.seen} == {1, 2, 3}
    training = np.sort(epochs[1])
    assert len(np.unique(training)) == 85  # the others validate
    assert all(np.array_equal(np.sort(rows), training) for rows in epochs.values())
    drawn = np.concatenate([images for *_, images, _ in g.seen])
    seen = np.concatenate(Recording.pixels)[:, 0] * model.pixel_scale_[0] + model.pixel_mean_[0]
    np.testing.assert_allclose(seen, drawn, atol=1e-4)
    assert len(np.unique(drawn[:, 0, 0])) == len(drawn)


def test_what_is_validated_on_stays():
    g = stream()
    loss = [row["valid_loss"] for row in cnn(lr=1e-12, max_epochs=2).fit(g, g.target).history_]
    assert loss[0] == pytest.approx(loss[1], rel=1e-6)


@pytest.mark.parametrize("make", [cnn, posterior_regressor])
def test_the_loss_sees_the_targets_of_new_galaxies(make, monkeypatch):
    g = stream(Spied, redraw="galaxies")
    order = [2, 0, 1]
    y = pd.DataFrame(g.target, columns=g.target_names).iloc[:, order]
    model, labels = make(), []
    if make is posterior_regressor:
        model.set_params(target_transforms=["log", "logit", "log"])
    loss = model._loss()

    def recording(output, given):
        if torch.is_grad_enabled():
            labels.append(given["target"].numpy())
        return type(loss).forward(loss, output, given)

    monkeypatch.setattr(loss, "forward", recording)
    monkeypatch.setattr(model, "_loss", lambda: loss)
    model.fit(g, y)
    latent = np.concatenate(labels) * model.target_scale_ + model.target_mean_
    if make is posterior_regressor:
        latent = np.column_stack([t.inverse(c) for t, c in zip(model.target_transforms_, latent.T)])
    np.testing.assert_allclose(latent, np.concatenate([t for *_, t in g.seen])[:, order], rtol=2e-3, atol=2e-3)
    assert model.target_names_ == ["flux", "bulge_to_total", "half_light_radius"]


def test_the_sources_own_targets_get_their_names():
    g = stream()
    assert cnn().fit(g, g.target).target_names_ == g.target_names
    assert cnn().fit(g, g.target[:, [0, 2]]).target_names_ == ["y0", "y1"]


def test_one_target_of_several_and_of_any_kind_if_galaxies_stay():
    g = stream(redraw="galaxies")
    assert cnn().fit(g, pd.Series(g.target[:, 1], name="half_light_radius")).predict(g[:5]).shape == (5,)
    g = stream()
    magnitude = 27 - 2.5 * np.log10(g.target[:, 2])
    weights = np.where(np.arange(100) < 50, 0.0, 1.0)
    assert 17 < cnn().fit(g, magnitude, sample_weight=weights).predict(g[:5]).mean() < 24


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (lambda g: np.log(g.target[:, 2]), r"'y', which is none of X.target \(bulge_to_total, half_light"),
        (lambda g: g.target[:, [1, 0, 2]], r"'y0', which is none of X.target"),
        (lambda g: pd.DataFrame(g.target, columns=["b", "r", "f"]), "'b', which is none of X.target"),
        (
            lambda g: pd.DataFrame(g.target[:, [1, 0, 2]], columns=g.target_names),
            "the column 'bulge_to_total' of y is not that of X.target; expected the same values",
        ),
    ],
)
def test_targets_that_new_galaxies_do_not_have(y, message):
    g = stream(redraw="galaxies")
    with pytest.raises(ValueError, match=message):
        cnn().fit(g, y(g))


def test_a_warm_start_finds_targets_in_another_order():
    g = stream()
    y = pd.DataFrame(g.target, columns=g.target_names)
    models = [cnn(warm_start=True, max_epochs=1).fit(g, y) for _ in range(2)]
    expected, found = models[0].fit(g, y), models[1].fit(g, y[g.target_names[::-1]])
    assert found.target_names_ == g.target_names
    np.testing.assert_array_equal(found.predict(g[:9]), expected.predict(g[:9]))
    with pytest.raises(ValueError, match=r"goes on from a fit on .*; give the same targets, or set"):
        found.fit(g, y[g.target_names[:2]])


@pytest.mark.parametrize("name", ["sample_weight", "y_err"])
def test_what_belongs_to_a_galaxy_that_is_redrawn(name):
    g = stream(redraw="galaxies")
    values = {"sample_weight": np.ones(100), "y_err": np.ones((100, 3))}[name]
    with pytest.raises(ValueError, match=f"{name} belongs to galaxies that X redraws in each epoch; leave"):
        posterior_regressor().fit(g, g.target, **{name: values})


def test_a_warm_start_goes_on_with_new_epochs():
    g = stream(Spied)
    model = cnn(warm_start=True, max_epochs=2).fit(g, g.target).fit(g, g.target)
    assert sorted({epoch for epoch, *_ in g.seen}) == [1, 2, 3, 4]
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4]


def test_ensembles_errors_and_sizes_come_along():
    g = stream()
    model = posterior_regressor(n_estimators=2, spatial_transformer="crop").fit(g, g.target, y_err=0.01 * g.target)
    posterior = pickle.loads(pickle.dumps(model)).predict_posterior(g)
    assert (len(posterior), len(model.history_)) == (100, 4)
    np.testing.assert_allclose(posterior.mean(), model.predict(np.asarray(g)), rtol=1e-4)
    assert model.transform_images(g).shape[0] == 100
    assert np.isfinite(model.score(g, g.target))


def test_images_of_another_size():
    g = stream()
    model = cnn().fit(g, g.target)
    with pytest.raises(ValueError, match="as in fit, not"):
        model.predict(stream(npix=16))


def test_a_search_fits_on_arrays_and_refits_on_the_stream():
    g = stream(Spied)
    search = GridSearchCV(cnn(), {"lr": [1e-3, 1e-2]}, cv=2).fit(g, g.target)
    assert {epoch for epoch, *_ in g.seen} == {1, 2, 3}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
