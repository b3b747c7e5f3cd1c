"""Files of trained estimators: what comes back, what is refused, and that nothing in them is run."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import QTable
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn

from galestim import (
    CNNRegressor,
    CompactCNN,
    HarmonicNet,
    Normalizer,
    PosteriorRegressor,
    SpatialTransformer,
    SpinCNN,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.calibration import RecalibratedRegressor
from galestim.checkpoints import _safetensors, load_estimator, save_estimator
from galestim.networks import Augmentation, GaussianHead
from galestim.regression import SGD
from galestim.targets import LogitTransform, LogTransform

SPIN = SpinCNN(filters=(4,), kernel_sizes=(3,), conv_dropout=(0.2,), pool_after=(), dense_units=(8,))
MODELS = {
    "default": PosteriorRegressor(max_epochs=1, random_state=0),
    "crop": STNPosteriorRegressor(
        CompactCNN(widths=(2, 4)),
        spatial_transformer=SpatialTransformer("similarity", max_zoom=3.0, npix=10),
        augmentation=Augmentation(rotation=180.0),
        target_transforms={"y0": LogitTransform(high=3.0), "y1": "log"},
        head=GaussianHead(n_mixture=2),
        optimizer=SGD(momentum=0.5),
        max_epochs=1,
        n_passes=3,
        random_state=3,
    ),
    "ensemble": PosteriorRegressor(
        HarmonicNet(n_scales=4, hidden=8, blocks=1, dropout=0.1),
        target_transforms=["log", LogTransform()],
        n_estimators=2,
        precision="float64",
        max_epochs=2,
        random_state=3,
    ),
    "cnn": CNNRegressor(SPIN, max_epochs=2, augmentation="rotation", random_state=0),
}


@pytest.fixture(scope="module")
def galaxies():
    """Round galaxies, (120, 12, 12), and their brightness and radius."""
    rng = np.random.default_rng(0)
    y = np.column_stack([rng.uniform(0.5, 2, 120), rng.uniform(1.2, 3.2, 120)])
    r2 = np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0)
    images = y[:, :1, None] * np.exp(-r2 / (2 * y[:, 1, None, None] ** 2))
    return (images + 0.02 * rng.normal(size=images.shape)).astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(galaxies):
    """A small posterior regressor; nobody changes it."""
    return clone(MODELS["ensemble"]).fit(*galaxies)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def written(fitted, path):
    """The file of `fitted`."""
    save_estimator(fitted, path)
    return path


def assert_same(ours, theirs, images):
    """To the last bit."""
    np.testing.assert_array_equal(ours.predict(images), theirs.predict(images))
    if hasattr(ours, "predict_posterior"):
        one, other = ours.predict_posterior(images), theirs.predict_posterior(images)
        for name in ("means", "scale_trils", "weights", "groups"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.sample(3, random_state=0), other.sample(3, random_state=0))


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_same_estimator(galaxies, path, name):
    images, y = galaxies
    model = clone(MODELS[name]).fit(images, y)
    save_estimator(model, path)
    loaded = load_estimator(path)
    assert type(loaded) is type(model)
    assert repr(loaded) == repr(model)
    assert_same(loaded, model, images)
    assert loaded.history_ == model.history_
    assert loaded.image_shape_ == model.image_shape_ == (12, 12, 1)
    assert (loaded.n_parameters_, loaded.target_names_) == (model.n_parameters_, ["y0", "y1"])
    # and it is as good as new: it clones, pickles, and goes to a file again
    assert_same(pickle.loads(pickle.dumps(loaded)), model, images)
    before = path.read_bytes()
    save_estimator(loaded, path)
    assert path.read_bytes() == before
    clone(loaded)


@pytest.mark.parametrize("name", ["ensemble", "cnn"])
def test_training_goes_on_as_if_there_had_been_no_file(galaxies, path, name):
    images, y = galaxies
    model = clone(MODELS[name]).set_params(warm_start=True).fit(images, y)
    save_estimator(model, path)
    loaded = load_estimator(path).fit(images, y)
    model.fit(images, y)
    assert_same(loaded, model, images)
    assert [row["epoch"] for row in loaded.history_] == [row["epoch"] for row in model.history_]
    assert loaded.history_[-1]["epoch"] == 4


def test_what_is_fitted_is_all_in_the_file():
    """An attribute that is new to the estimators must be new to files too."""
    images, y = np.random.default_rng(0).normal(size=(20, 4, 4)), np.arange(1.0, 21)
    for kind in (CNNRegressor, PosteriorRegressor, STNPosteriorRegressor):
        model = kind(SPIN, max_epochs=1)
        state = model.fit(images, y).__getstate__().keys() - model.get_params(deep=False).keys()
        state -= {"_weights", "_galestim_version"}
        assert state - _safetensors.OF_SOME == _safetensors._fitted(type(model).__name__)


def test_names_and_units(galaxies, path):
    images, y = galaxies
    frame = pd.DataFrame(images.reshape(len(images), -1)).add_prefix("pixel")
    table = QTable(y, names=["flux", "radius"], units=[None, "arcsec"])
    model = clone(MODELS["ensemble"]).set_params(image_shape=[12, 12], target_transforms=None, lr=np.float32(0.01))
    model.fit(frame, table)
    save_estimator(model, path)
    loaded = load_estimator(path)
    assert_same(loaded, model, frame)
    assert loaded.predict_posterior(frame).units == [None, "arcsec"]
    assert loaded.lr == model.lr
    np.testing.assert_array_equal(loaded.feature_names_in_, model.feature_names_in_)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame.add_suffix("!"))


def test_one_target_stays_one_dimensional(galaxies, path):
    images, y = galaxies
    save_estimator(CNNRegressor(SPIN, max_epochs=1).fit(images, y[:, 0]), path)
    assert load_estimator(path).predict(images).shape == (120,)


def test_the_card_comes_back_and_others_can_read_it(fitted, path):
    card = {"data": {"npix": 96, "scale": 0.168}, "limits": ["σ = 0.055"], "license": None}
    save_estimator(fitted, path, card)
    loaded = load_estimator(path)
    assert loaded.card_ == card
    with safe_open(path, framework="np") as file:  # as a program that knows nothing of galestim
        assert json.loads(file.metadata()["galestim"])["card"] == card
    save_estimator(loaded, path)  # what a fit may have changed is not said again
    assert not hasattr(load_estimator(path), "card_")


def test_the_file_is_hardly_larger_than_the_weights(galaxies, path):
    model = PosteriorRegressor(max_epochs=1).fit(*galaxies)
    save_estimator(model, path)
    assert path.stat().st_size < 1.05 * 4 * model.n_parameters_


def test_the_device_is_that_of_the_reader(written, monkeypatch):
    assert load_estimator(written).device == "auto"
    assert load_estimator(written, device="cpu").device_ == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda' is not available on this machine"):
        load_estimator(written, device="cuda")


def test_reading_leaves_the_random_state_alone(written):
    before = torch.get_rng_state()
    load_estimator(written)
    assert torch.equal(torch.get_rng_state(), before)


# ---- what cannot be written


class Own(nn.Module):
    """A network of a user's own."""

    def __init__(self, image_shape, n_outputs):
        super().__init__()
        self.dense = nn.Linear(int(np.prod(image_shape)), n_outputs)

    def forward(self, x):
        return self.dense(x.flatten(1))


class OwnSpec(HarmonicNet):
    """A spec that is not galestim's, though it inherits from one."""


class Doubled(LogTransform):
    """A transform of a user's own."""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": Own}, "parameters.network is <class "),
        ({"network": OwnSpec(n_scales=4, hidden=8, blocks=1)}, r"parameters.network is OwnSpec\("),
        ({"target_transforms": ["log", Doubled()]}, r"parameters.target_transforms.1 is Doubled\(\)"),
        ({"optimizer": torch.optim.Adam}, "parameters.optimizer is <class 'torch.optim.adam.Adam'>"),
        ({"random_state": np.random.RandomState(0)}, r"parameters.random_state is RandomState\(MT19937\)"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(galaxies, path, changed, said):
    model = clone(MODELS["ensemble"]).set_params(max_epochs=1, n_estimators=1, **changed).fit(*galaxies)
    with pytest.raises(TypeError, match=f"^{said}.* which a file without code cannot hold; expected numbers"):
        save_estimator(model, path)
    assert list(path.parent.iterdir()) == []


def test_other_estimators_are_refused(fitted, galaxies, path):
    pipeline = make_pipeline(Normalizer("scale"), fitted)
    recalibrated = RecalibratedRegressor(fitted, cv="prefit").fit(*galaxies)
    for other in (pipeline, recalibrated, {"weights": 1}):
        with pytest.raises(TypeError, match=f"got a {type(other).__name__}; expected a fitted CNN"):
            save_estimator(other, path)
    save_estimator(recalibrated.estimator_, path)
    assert_same(load_estimator(path), fitted, galaxies[0])


def test_unfitted(path):
    with pytest.raises(NotFittedError):
        save_estimator(CNNRegressor(), path)


def test_callbacks_are_left_out_and_said_to_be(galaxies, path):
    model = CNNRegressor(SPIN, max_epochs=1, callbacks=[Callback()]).fit(*galaxies)
    with pytest.warns(UserWarning, match="callbacks are code, so the file does without them"):
        save_estimator(model, path)
    assert load_estimator(path).callbacks is None


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"model": CNNRegressor}, "the card cannot be written as JSON"),
        ({"rmse": float("nan")}, "the card cannot be written as JSON"),
        ("good", "the card is a str; expected a dict, or None"),
    ],
)
def test_cards_that_are_none(fitted, path, card, said):
    with pytest.raises(TypeError, match=said):
        save_estimator(fitted, path, card)


def test_a_failure_leaves_the_file_that_was_there(fitted, written):
    before = written.read_bytes()
    model = clone(fitted).set_params(network=Own)
    model.__setstate__({**fitted.__getstate__(), "verbose": Own})
    with pytest.raises(TypeError, match="verbose"):
        save_estimator(model, written)
    assert written.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        save_estimator(fitted, written.parent / "nowhere" / "model.safetensors")


# ---- what is not read


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a file; expected one that save_estimator wrote"):
        load_estimator(tmp_path / "missing.safetensors")


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_a_pickle_is_not_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (lambda: path.write_bytes(pickle.dumps(Bomb())), lambda: torch.save({"a": Bomb()}, path)):
        write()
        with pytest.raises(ValueError, match=r"cannot be read: .* nothing in it was\s+executed"):
            load_estimator(path)
    assert not Path("exploded").exists()


def test_files_that_are_cut_short(written):
    whole = written.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read: "):
            load_estimator(written)


def test_a_bit_that_flipped_in_weights_or_text(written):
    whole = written.read_bytes()
    for at in (whole.index(b'\\"hidden\\": 8') + 12, len(whole) - 3):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        written.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be read: it is not as it was written"):
            load_estimator(written)


def test_a_file_of_another_program(path):
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": np.zeros(3)}, path, metadata)
        with pytest.raises(ValueError, match="has no entry 'galestim', so it is of another program"):
            load_estimator(path)


def forge(path, change):
    """Rewrite a file with other content and a digest that fits, as someone would who means harm."""
    content = _safetensors._read(path)
    change(content.description, content.tensors)
    text = json.dumps({**content.description, "sha256": _safetensors._digest(content)})
    save_file(content.tensors, path, {"galestim": text})


def parameter(name, value):
    return lambda description, tensors: description["parameters"].update({name: value})


def attribute(name, value):
    return lambda description, tensors: description["fitted"].update({name: value})


def array(name, change):
    """Change an array; None is the largest of the weights."""

    def forged(description, tensors):
        key = name or max((key for key in tensors if key.startswith("weights.")), key=lambda key: tensors[key].size)
        tensors[key] = np.ascontiguousarray(change(tensors[key]))

    return forged


def network(**parameters):
    return lambda description, tensors: description["parameters"]["network"]["parameters"].update(parameters)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d, t: d.update({"format": 3}), "its format is 3, expected 2; update galestim"),
        (lambda d, t: d.update({"class": "Popen"}), "it names the estimator 'Popen'; expected one of CNN"),
        (lambda d, t: d.pop("fitted"), "that this galestim can read: 'fitted'"),
        (parameter("network", {"class": "Popen", "parameters": {}}), "it names the class 'Popen'; expected one of C"),
        (parameter("network", {"class": "HarmonicNet", "parameters": {"depth": 3}}), "its HarmonicNet has param"),
        (parameter("network", {"class": "LogTransform", "parameters": {}}), "'network' parameter"),
        (parameter("network", {"path": "os.system"}), "which is no value that galestim writes"),
        (parameter("n_layers", 3), "its PosteriorRegressor has parameters that this galestim does not know"),
        (parameter("max_epochs", "many"), "'max_epochs' parameter"),
        (attribute("predict", "text"), "it has predict, unknown to a PosteriorRegressor"),
        (lambda d, t: d["fitted"].pop("_seed"), "it has no _seed"),
        (attribute("image_shape_", 3), "holds no estimator that this galestim can read"),
        (lambda d, t: t.pop("fitted.pixel_mean_"), "it names the array 'fitted.pixel_mean_'"),
        (attribute("image_shape_", {"tuple": [12, 12]}), r"image_shape_ is \(12, 12\); expected \(H, W, C\)"),
        (attribute("n_features_in_", 145), "n_features_in_ is 145; expected 144"),
        (attribute("n_outputs_", 3), "target_mean_ is .*; expected 3 finite numbers"),
        (attribute("target_names_", ["y0", "y0"]), "expected 2 different names"),
        (attribute("target_units_", ["mag"]), "expected None, or 2 units"),
        (attribute("target_transforms_", [None, None]), "expected 2 transforms"),
        (attribute("history_", [1]), "expected a list of dicts, one per epoch"),
        (attribute("_seed", "1"), "_seed is '1'; expected a whole number"),
        (attribute("_one_dimensional_y", True), "_one_dimensional_y is True; expected a bool"),
        (array("fitted.pixel_scale_", lambda a: a * 0), "pixel_scale_ is .*; expected 1 finite numbers above 0"),
        (array("fitted.target_mean_", lambda a: a[:1]), "target_mean_ is .*; expected 2 finite numbers"),
        (array("fitted.width_spreads_", lambda a: a[None]), "width_spreads_ is .*; expected 2 finite numbers"),
        (array("fitted.pixel_mean_", lambda a: a.astype("i8")), "pixel_mean_ is .*; expected 1 finite numbers"),
        (array(None, lambda a: np.full_like(a, np.nan)), "weights.* has [0-9]+ numbers that are not finite"),
        (array(None, lambda a: a + np.inf), "weights.* has [0-9]+ numbers that are not finite"),
        (parameter("n_estimators", 2**31), "n_estimators is 2147483648, but its weights are for"),
        (parameter("n_passes", 2**31), "n_passes is 2147483648; expected at most 100000"),
        (network(hidden=2**20), "network.parameters.hidden is 1048576, but its weights are for"),
        (network(blocks=10**6), "network.parameters.blocks is 1000000, but its weights are for"),
        (network(hidden=30), "its network does not fit: by its parameters it is larger than its weights"),
        (lambda d, t: t.pop(max(t)), "its network does not fit"),
        (lambda d, t: t.update({"weights.more": np.zeros(3)}), "its network does not fit"),
    ],
)
def test_forged_files_are_refused(written, change, said):
    forge(written, change)
    with pytest.raises(ValueError, match=said):
        load_estimator(written)
