"""Weights as the published code saves them, and a forward pass written out by hand."""

import io
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import QTable
from scipy.special import logit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from galestim import STNPosteriorRegressor
from galestim.checkpoints import load_published_stn

from ._published import crop_by_hand, empty_state_dict, forward_by_hand, random_state_dict, with_dropout_between

NAMES = ["bulge_to_total", "half_light_radius", "flux"]
SIDE = 36  # 1×1 in front of fc_loc, as for all sides from 33 to 36


def posterior_by_hand(raw, labels):
    """Latent means and covariances of three targets, the labels' standardization undone."""
    scaler = StandardScaler().fit(np.column_stack([logit(labels[:, 0]), np.log(labels[:, 1]), np.log(labels[:, 2])]))
    lower = np.zeros((len(raw), 3, 3)) + np.eye(3)
    lower[:, 1, 0], lower[:, 2, 0], lower[:, 2, 1] = raw[:, 6], raw[:, 7], raw[:, 8]
    covariance = np.einsum("nij,nj,nkj->nik", lower, np.exp(raw[:, 3:6]), lower)
    return scaler.inverse_transform(raw[:, :3]), covariance * np.outer(scaler.scale_, scaler.scale_)


def some_images(side, n=3, channels=3):
    """One stretched band, repeated."""
    band = np.arcsinh(2 * np.random.default_rng(1).normal(size=(n, side, side, 1))).astype(np.float32)
    return np.repeat(band, channels, axis=3)


def as_torch(images):
    return torch.from_numpy(images).movedim(-1, 1)


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    return np.column_stack([rng.uniform(0.001, 0.999, 300), rng.uniform(0.5, 8, 300), rng.lognormal(3, 1, 300)])


@pytest.fixture(scope="module")
def state():
    return random_state_dict()


@pytest.fixture
def load(tmp_path, labels):
    """Save, load, and leave no file behind."""

    def save_and_load(content, targets=labels, **parameters):
        path = tmp_path / "trained.pt"
        torch.save(content, path)
        try:
            return load_published_stn(path, targets, **{"image_size": SIDE, "random_state": 0, **parameters})
        finally:
            path.unlink()

    return save_and_load


def assert_predicts_as_by_hand(model, images, raw, labels):
    assert np.ptp(raw, axis=0).min() > 1e-3  # images differ in all outputs, so the comparison means something
    posterior = model.predict_posterior(images)
    means, covariances = posterior_by_hand(raw, labels)
    np.testing.assert_allclose(posterior.means[:, 0], means, rtol=1e-5, atol=1e-5)
    trils = posterior.scale_trils[:, 0]
    np.testing.assert_allclose(trils @ trils.mT, covariances, rtol=1e-5, atol=1e-5)


# ---- the same answer as the original


@pytest.mark.parametrize(
    "saved_as",
    [
        with_dropout_between,
        lambda state: state,
        lambda state: {f"module.{name}": value for name, value in with_dropout_between(state).items()},
        lambda state: {"epoch": 3, "state_dict": with_dropout_between(state)},
        lambda state: {"model_state_dict": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["as published", "torchvision's numbers", "module.", "state_dict", "model_state_dict and module."],
)
def test_predicts_what_the_original_does(state, load, labels, saved_as):
    images = some_images(SIDE)
    model = load(saved_as(state), dropout=0)
    assert_predicts_as_by_hand(model, images, forward_by_hand(state, as_torch(images)), labels)


def test_affine_crops_of_oblong_images(load, labels):
    state = random_state_dict(n_numbers=6, map_pixels=3)
    images = some_images(44)[:, :36]
    model = load(with_dropout_between(state), image_size=(36, 44), dropout=0)
    assert model.spatial_transformer.kind == "affine"
    assert_predicts_as_by_hand(model, images, forward_by_hand(state, as_torch(images)), labels)
    crops = crop_by_hand(state, as_torch(images)).movedim(1, -1)
    np.testing.assert_allclose(model.transform_images(images), crops, atol=1e-5)


def test_zoom_and_shift(load, labels):
    state, images = random_state_dict(n_numbers=3), some_images(SIDE)
    model = load(state, dropout=0)
    assert model.spatial_transformer.kind == "zoom_shift"
    assert_predicts_as_by_hand(model, images, forward_by_hand(state, as_torch(images)), labels)


@pytest.mark.parametrize("n_outputs", [6, 3])
def test_networks_of_variances_or_numbers_alone(load, labels, n_outputs):
    state, images = random_state_dict(n_outputs=n_outputs), some_images(SIDE)
    raw = np.zeros((3, 9))
    raw[:, 3:6] = np.log(1e-6)  # where the network says nothing of widths
    raw[:, :n_outputs] = forward_by_hand(state, as_torch(images))
    posterior = load(state, dropout=0).predict_posterior(images)
    means, covariances = posterior_by_hand(raw, labels)
    np.testing.assert_allclose(posterior.means[:, 0], means, rtol=1e-5, atol=1e-5)
    trils = posterior.scale_trils[:, 0]
    np.testing.assert_allclose(trils @ trils.mT, covariances, rtol=1e-5, atol=1e-12)


def test_published_size(tmp_path, labels):
    """All 135.6 million weights, of three targets on 96 px."""
    images, path = some_images(96), tmp_path / "trained.pt"
    state = random_state_dict(map_pixels=16**2, units=4096)
    assert sum(weight.numel() for weight in state.values()) == 135_604_970
    raw = forward_by_hand(state, as_torch(images))
    torch.save(with_dropout_between(state), path)
    del state  # half a gigabyte
    model = load_published_stn(path, labels, image_size=96, dropout=0)
    path.unlink()
    assert model.n_parameters_ == 135_604_970
    assert_predicts_as_by_hand(model, images, raw, labels)


def test_published_recipe_has_the_published_number_of_weights():
    recipe = STNPosteriorRegressor.gampen()
    with torch.device("meta"):
        parts = recipe.spatial_transformer.build((96, 96, 3)), recipe.network.build((96, 96, 3), 9)
    assert [sum(w.numel() for w in part.parameters()) for part in parts] == [1_307_553, 134_297_417]


# ---- a fitted estimator as any other


@pytest.fixture(scope="module")
def model(state, labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "trained.pt"
    torch.save(with_dropout_between(state), path)
    model = load_published_stn(path, labels, image_size=SIDE, dropout=0.1, random_state=0)
    path.unlink()
    return model


def test_dropout_spreads_the_passes(model):
    posterior = model.predict_posterior(some_images(SIDE, n=2), n_passes=3)
    assert posterior.target_names == NAMES
    assert posterior.means.shape == (2, 3, 3)
    assert (np.ptp(posterior.means, axis=1) > 0).all()
    assert model.n_passes == 1000
    physical = posterior.mean()
    assert ((physical[:, 0] > 0) & (physical[:, 0] < 1) & (physical[:, 1:] > 0).all(axis=1)).all()


def test_files(model):
    images = some_images(SIDE, n=2)
    expected = model.predict_posterior(images, n_passes=2)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for loaded in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
        posterior = loaded.predict_posterior(images, n_passes=2)
        np.testing.assert_array_equal(posterior.means, expected.means)
        np.testing.assert_array_equal(posterior.scale_trils, expected.scale_trils)


def test_clone_is_the_recipe_without_the_weights(model):
    copy = clone(model)
    assert copy.network.units == 6
    assert (copy.dropout, copy.optimizer.momentum) == (0.1, 0.99)
    with pytest.raises(NotFittedError):
        copy.predict_posterior(some_images(SIDE))


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"= \(36, 36, 3\), as in fit, not \(40, 40, 3\)"):
        model.predict(some_images(40))


def test_warm_start_goes_on_from_the_weights(model, labels):
    images = some_images(SIDE, n=8)
    tuned = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, max_epochs=1, lr=1e-12, n_passes=2)
    before = tuned.predict_posterior(images, random_state=0)
    with pytest.warns(UserWarning, match="probably diverged"):  # weights that were never trained
        tuned.fit(images, labels[:8])
    after = tuned.predict_posterior(images, random_state=0)
    np.testing.assert_allclose(after.means, before.means, rtol=1e-4)
    assert [row["epoch"] for row in tuned.history_] == [1]


def test_tables_give_their_columns_by_name_and_their_units(load, labels):
    columns = {"flux": labels[:, 2], "name": 0, "bulge_to_total": labels[:, 0], "half_light_radius": labels[:, 1]}
    frame = pd.DataFrame(columns)
    table = QTable.from_pandas(frame, units={"half_light_radius": "arcsec"})
    by_array, by_frame, by_table = (
        load(empty_state_dict(), targets, n_passes=1) for targets in (labels, frame, table)
    )
    np.testing.assert_array_equal(by_frame.target_mean_, by_array.target_mean_)
    np.testing.assert_array_equal(by_table.target_scale_, by_array.target_scale_)
    assert "half_light_radius [arcsec]" in repr(by_table.predict_posterior(some_images(SIDE)))


def test_other_targets(load, labels):
    parameters = {"target_names": ["sersic_index"], "target_transforms": "log", "n_passes": 1}
    model = load(empty_state_dict(n_outputs=2, channels=5), labels[:, 1], **parameters)
    assert model.predict(some_images(SIDE, channels=5)).shape == (3, 1)
    np.testing.assert_allclose(model.target_mean_, np.log(labels[:, 1]).mean())


# ---- what is refused


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def pickled(content, path):
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("write", [torch.save, pickled])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_pickle_in_disguise_is_not_run(tmp_path, labels, write, hidden):
    written, path = tmp_path / "written", tmp_path / "trained.pt"
    pickle.loads(pickle.dumps(Payload(written))).close()
    assert written.exists()  # the payload works where it is let
    written.unlink()
    content = {**empty_state_dict(), "vgg.features.0.bias": Payload(written)} if hidden else Payload(written)
    write(content, path)
    with pytest.raises(ValueError, match=r"trained.pt' holds something else than tensors, or is damaged; it was"):
        load_published_stn(path, labels, image_size=SIDE)
    assert not written.exists()


def test_no_such_file(tmp_path, labels):
    with pytest.raises(FileNotFoundError, match=r"absent.pt' is not a file; expected a state dict that torch.save"):
        load_published_stn(tmp_path / "absent.pt", labels, image_size=SIDE)


def test_not_a_state_dict(load):
    with pytest.raises(ValueError, match=r"trained.pt' holds a list; expected a state dict"):
        load([torch.zeros(3)])


@pytest.mark.parametrize(
    "key", ["localization.0.weight", "localization.3.bias", "vgg.features.30.weight", "vgg.classifier.6.bias"]
)
def test_a_missing_weight_is_named(load, key):
    state = with_dropout_between(empty_state_dict())
    del state[key]
    with pytest.raises(ValueError, match=re.escape(f"the file has no {key!r}; expected a spatial transformer")):
        load(state)


@pytest.mark.parametrize(
    ("key", "got", "expected"),
    [
        ("localization.3.weight", (96, 64, 7, 7), "(96, 64, 9, 9)"),
        ("localization.0.weight", (64, 3, 5, 5), "(64, 3, 11, 11)"),
        ("localization.0.weight", (64,), "(64, channels, 11, 11)"),
        ("vgg.features.14.weight", (256, 256, 3, 3), "(256, 128, 3, 3)"),
        ("vgg.features.0.weight", (64, 1, 3, 3), "(64, 3, 3, 3)"),
        ("vgg.classifier.3.bias", (7,), "(6,)"),
    ],
)
def test_another_shape_is_named(load, key, got, expected):
    state = with_dropout_between(empty_state_dict()) | {key: torch.zeros(got)}
    with pytest.raises(ValueError, match=re.escape(f"{key!r} has shape {got}; expected {expected}")):
        load(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fc_loc.2.weight": torch.zeros(4, 32)},
            "'fc_loc.2.weight' has 4 rows; expected 1, for a zoom, 3, for a zoom and",
        ),
        (
            {"vgg.classifier.6.weight": torch.zeros(10, 6)},
            "has 10 rows; expected 9 (full covariance), 6 (variances alone) or 3 (numbers alone)",
        ),
        ({"vgg.features.0.bias": torch.full((64,), np.nan)}, "'vgg.features.0.bias' has values that are not finite"),
        ({"vgg.features.0.bias": torch.zeros(64, dtype=int)}, "'vgg.features.0.bias' is torch.int64; expected"),
        ({"vgg.features.0.bias": "zero"}, "'vgg.features.0.bias' is str; expected a tensor of real numbers"),
        ({"vgg.features.1.running_mean": torch.zeros(64)}, "network has not: 'vgg.features.1.running_mean'"),
    ],
)
def test_other_contents(load, changes, message):
    """The last is a VGG-16 with batch normalization; its convolutions are numbered like the published ones."""
    with pytest.raises(ValueError, match=re.escape(message)):
        load(with_dropout_between(empty_state_dict()) | changes)


@pytest.mark.parametrize("size", [33, 36, (34, 35), np.int64(36)])
def test_sizes_that_fit(load, size):
    assert load(empty_state_dict(), image_size=size).image_shape_[:2] == tuple(np.broadcast_to(size, 2))


@pytest.mark.parametrize(
    ("pixels", "size", "message"),
    [
        (256, 64, "image_size=64 gives 6144 inputs to fc_loc.0, but it has 24576; expected the size of the images"),
        (256, 64, "that the network was trained on (square ones of 93 to 96 px fit)"),
        (3, 36, "but it has 288; expected the size of the images that the network was trained on (no square ones f"),
        (1, 32, "image_size=32; expected pixels, 96 or (height, width), from 33 on"),
        (1, None, "image_size=None; expected pixels"),
        (1, (36, 36, 3), "image_size=(36, 36, 3); expected pixels"),
    ],
)
def test_another_image_size(load, pixels, size, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load(empty_state_dict(map_pixels=pixels), image_size=size)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 1.2, "bulge_to_total: row 7 is 1.2, outside [0, 1], which LogitTransform takes"),
        (1, -3.0, "half_light_radius: row 7 is -3.0, outside (0, inf)"),
        (2, np.nan, "NaN or infinity in 1 of 300 rows, first in row 7"),
        (0, 0.0, "bulge_to_total: row 7 is 0, which LogitTransform() takes to -inf; expected labels as"),
    ],
)
def test_labels_outside_the_domain(load, labels, column, value, message):
    labels = labels.copy()
    labels[7, column] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        load(empty_state_dict(), labels)


def test_labels_tell_nothing_of_their_scale(load, labels):
    with pytest.raises(ValueError, match=r"targets has shape \(1, 3\); expected \(n, 3\), the labels of all n train"):
        load(empty_state_dict(), labels[:1])
    with pytest.raises(ValueError, match="the target 'flux' is the same in all 300 training rows"):
        load(empty_state_dict(), labels * [1, 1, 0] + [0, 0, 1])


def test_wrong_number_of_target_names(load, labels):
    names = {"target_names": NAMES[1:], "target_transforms": "log"}
    with pytest.raises(ValueError, match=r"targets has shape \(300, 3\); expected \(n, 2\)"):
        load(empty_state_dict(), **names)
    with pytest.raises(
        ValueError,
        match=r"target_names has 2 names \(half_light_radius, flux\), .* has 9 rows; expected 5 .*: 3 or 9 of them",
    ):
        load(empty_state_dict(), labels[:, 1:], **names)


def test_parameters_are_validated(load):
    with pytest.raises(ValueError, match="The 'dropout' parameter of STNPosteriorRegressor must be"):
        load(empty_state_dict(), dropout=1.5)
