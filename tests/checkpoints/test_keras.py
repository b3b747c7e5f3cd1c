"""Weights in the layouts of Keras 2 and 3, and a forward pass written out by hand."""

import pickle
import zipfile

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from galestim.checkpoints import load_estimator, load_keras_cnn, save_estimator

SHAPE = (20, 20, 3)
FILTERS, KERNELS, DENSE = (3, 4, 5), (4, 3, 2), (6, 5, 1)  # 20 → 17 → 15 → 7 (pooled) → 6 → 3 (pooled)
RNG = np.random.default_rng(0)
OPTIONS = {"image_shape": SHAPE, "pool_after": (2, 3)}


def layers():
    """Kernels and biases as Keras has them, by the names that it gives them."""
    found, channels = {}, SHAPE[2]
    for i, (width, side) in enumerate(zip(FILTERS, KERNELS)):
        found[f"conv2d_{i}" if i else "conv2d"] = RNG.normal(size=(side, side, channels, width)) / side
        channels = width
    inputs = 3 * 3 * channels
    for i, units in enumerate(DENSE):
        found[f"dense_{i}" if i else "dense"] = RNG.normal(size=(inputs, units)) / np.sqrt(inputs)
        inputs = units
    return {
        name: (kernel.astype("f4"), RNG.normal(size=kernel.shape[-1]).astype("f4")) for name, kernel in found.items()
    }


LAYERS = layers()


def keras_3(path):
    with h5py.File(path, "w") as file:
        for name, arrays in LAYERS.items():
            for number, array in enumerate(arrays):
                file[f"layers/{name}/vars/{number}"] = array
        file.create_group("layers/dropout/vars")
        file["optimizer/vars/0"] = np.zeros(3)


def keras_archive(path):
    keras_3(path.with_suffix(".weights.h5"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(path.with_suffix(".weights.h5"), "model.weights.h5")


def keras_2(path, root="", names=None):
    """Layers have names of their own, whose order the file tells."""
    names = names or {name: f"{'zyxwvu'[i]}_layer" for i, name in enumerate(LAYERS)}
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = np.array([name.encode() for name in names.values()])
        for name, (kernel, bias) in LAYERS.items():
            group[f"{names[name]}/{names[name]}/kernel:0"] = kernel
            group[f"{names[name]}/{names[name]}/bias:0"] = bias


FILES = {
    "spin.weights.h5": keras_3,
    "spin.keras": keras_archive,
    "weights.h5": keras_2,
    "model.h5": lambda path: keras_2(path, "model_weights"),
}


def by_hand(images):
    """The network of Keras, whose maps are ``(n, H, W, C)``."""
    x = torch.from_numpy(images)
    for number, (kernel, bias) in enumerate(list(LAYERS.values())[:3], start=1):
        x = F.conv2d(x.movedim(-1, 1), torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), torch.from_numpy(bias))
        x = (F.max_pool2d(x, 2) if number in (2, 3) else x).relu().movedim(1, -1)
    x = x.reshape(len(x), -1)
    for number, (kernel, bias) in enumerate(list(LAYERS.values())[3:]):
        x = x @ torch.from_numpy(kernel) + torch.from_numpy(bias)
        x = x.relu() if number == 0 else x
    return x.numpy()


@pytest.mark.parametrize("name", FILES)
def test_predicts_what_keras_does(tmp_path, name):
    FILES[name](tmp_path / name)
    model = load_keras_cnn(tmp_path / name, **OPTIONS)
    images = RNG.random((4, *SHAPE)).astype("f4")
    expected = by_hand(images)
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(model.predict(images), expected[:, 0], rtol=1e-5)
    assert model.target_names_ == ["lambda_r"]


def test_it_is_an_estimator_as_any_other(tmp_path):
    keras_3(tmp_path / "spin.weights.h5")
    model = load_keras_cnn(tmp_path / "spin.weights.h5", **OPTIONS, random_state=0)
    images = RNG.random((8, *SHAPE)).astype("f4")
    save_estimator(model, tmp_path / "spin.safetensors")
    for again in (load_estimator(tmp_path / "spin.safetensors"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(images), model.predict(images))
    tuned = model.set_params(warm_start=True, max_epochs=1, lr=1e-9).fit(images, model.predict(images))
    assert [row["epoch"] for row in tuned.history_] == [1]


def broken(path):
    with h5py.File(path, "w") as file:
        file["layers/batch_normalization/vars/0"] = np.zeros(3)
        file["layers/batch_normalization/vars/1"] = np.zeros(3)


@pytest.mark.parametrize(
    ("write", "options", "error"),
    [
        (keras_3, {"image_shape": (30, 30, 3)}, "the layer 'dense' has weights of the shape .* Give the image_shape"),
        (keras_3, {"pool_after": (1,)}, "the layer 'dense' has weights of the shape"),
        (
            keras_3,
            {"target_names": ["a", "b"]},
            "target_names has 2 names, but the last layer 'dense_2' has 1 outputs",
        ),
        (broken, {}, "the layer 'batch_normalization' has arrays of the shapes"),
        (lambda path: path.write_bytes(b"no HDF5"), {}, "cannot be read"),
        (lambda path: h5py.File(path, "w").close(), {}, "has 0 convolutions and 0 dense layers"),
    ],
)
def test_files_that_are_no_such_network(tmp_path, write, options, error):
    write(tmp_path / "spin.weights.h5")
    with pytest.raises(ValueError, match=error):
        load_keras_cnn(tmp_path / "spin.weights.h5", **OPTIONS | options)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected weights that Keras saved"):
        load_keras_cnn(tmp_path / "absent.keras")
