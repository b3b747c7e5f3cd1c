"""Weights that Keras saved, as a fitted `CNNRegressor`."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import nn

from .. import __version__
from .._io.hdf5 import opened_hdf5
from ..networks import SpinCNN
from ..regression import CNNRegressor
from ..targets import IdentityTransform

_INSIDE = "model.weights.h5"  # of a .keras file
_OTHERS = ("optimizer", "metrics", "compile", "vars")  # groups that are no layers
_LARGEST = 2**31  # bytes of weights


class _Layer(NamedTuple):
    """A convolution ``(h, w, in, out)`` or dense layer ``(in, out)`` as Keras has it."""

    name: str
    kernel: NDArray
    bias: NDArray


def load_keras_cnn(
    path,
    *,
    image_shape=(80, 80, 3),
    pool_after=(2, 3),
    pool_size=2,
    target_names=("lambda_r",),
    device="auto",
    random_state=None,
) -> CNNRegressor:
    """Read a convolutional network that Keras trained as a fitted estimator; it needs neither Keras nor TensorFlow.

    The network is a `SpinCNN`, such as the published spin network: unpadded convolutions with ReLU, some of them
    max-pooled, then dense layers, of which all but the last two end in ReLU.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or Path
        A ``.weights.h5`` or ``.keras`` file of Keras 3, or an ``.h5`` file of Keras 2, of weights or a whole model.
        Nothing in it is executed. A TensorFlow checkpoint becomes such a file by ``save_weights`` of Keras.
    image_shape : (H, W, C), default=(80, 80, 3)
        Shape of the training images.
    pool_after : sequence of int, default=(2, 3)
        Numbers, from 1, of the convolutions that a max-pooling follows, which the file does not tell.
    pool_size : int, default=2
        Side of its windows.
    target_names : sequence of str, default=("lambda_r",)
        What the network predicts, in the order of its outputs.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of further fits.

    Returns
    -------
    CNNRegressor
        Fitted; ``history_`` is empty. With ``warm_start=True`` its `fit` goes on from these weights, and
        :class:`~galestim.regression.Transfer` starts another from them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If h5py is missing.
    ValueError
        If the file is damaged, has other layers than convolutions and dense ones with a bias, or their shapes do not
        follow from one another with these `image_shape` and `pool_after`.

    Notes
    -----
    Pixels and targets are taken as they are, so give images scaled as in the training, such as to [0, 1] by
    ``Normalizer("minmax")``, channels last. Dropout, which weights do not tell, counts in further fits only; it is
    that of `SpinCNN`.

    Keras flattens maps row by row with the channels innermost, torch channel by channel: the first dense layer is
    put in order.

    Examples
    --------
    >>> from galestim.checkpoints import load_keras_cnn
    >>> spin = load_keras_cnn("spin.weights.h5")  # doctest: +SKIP
    >>> spin.predict(images)  # doctest: +SKIP
    """
    convolutions, dense = _sorted_layers(_read(Path(path).expanduser()), path)
    height, width, channels = (int(side) for side in image_shape)
    spec = _spec(convolutions, dense, pool_after, pool_size)
    names = [str(name) for name in target_names]
    if len(names) != len(dense[-1].bias):
        raise ValueError(
            f"target_names has {len(names)} names, but the last layer {dense[-1].name!r} has {len(dense[-1].bias)} "
            "outputs; expected a name for each."
        )
    model = CNNRegressor(spec, device=device, random_state=random_state)
    with torch.device("meta"):  # shapes alone
        layers = spec.build((height, width, channels), len(names))
    weights = _under_our_names(layers, [*convolutions, *dense], (height, width, channels))
    model.__setstate__(
        {
            **vars(model),
            **_fitted(names, (height, width, channels)),
            "n_parameters_": sum(weight.size for weight in weights.values()),
            "_seed": int(check_random_state(random_state).randint(np.iinfo(np.int32).max)),
            "_weights": weights
            | {name: np.full((channels, 1, 1), value) for name, value in (("pixel_mean", 0.0), ("pixel_scale", 1.0))},
            "_galestim_version": __version__,
        }
    )
    return model


def _fitted(names: list[str], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Attributes of a fit that took pixels and targets as they are."""
    k = len(names)
    return {
        "image_shape_": shape,
        "n_features_in_": int(np.prod(shape)),
        "n_outputs_": k,
        "target_names_": names,
        "target_units_": None,
        "target_transforms_": [IdentityTransform() for _ in names],
        "target_mean_": np.zeros(k),
        "target_scale_": np.ones(k),
        "pixel_mean_": np.zeros(shape[2]),
        "pixel_scale_": np.ones(shape[2]),
        "history_": [],
        "_one_dimensional_y": k == 1,
    }


# ---- the file


def _read(path: Path) -> list[_Layer]:
    """All layers of a file, in the order of their names or, where it tells, of the network."""
    with _weights_file(path) as file, opened_hdf5(file) as hdf5:
        root = hdf5.get("model_weights", hdf5)
        arrays: dict[str, list[tuple[str, NDArray]]] = {}
        for name, array in _data_sets(root):
            arrays.setdefault(name.rpartition("/")[0], []).append((name, array))
        order = [_text(name) for name in root.attrs.get("layer_names", [])]
    layers = [_layer(group, found, path) for group, found in arrays.items()]
    known = {name: number for number, name in enumerate(order)}
    return sorted(layers, key=lambda layer: (known.get(layer.name.split("/")[0], 0), _natural(layer.name)))


@contextmanager
def _weights_file(path: Path) -> Iterator[Path]:
    """The HDF5 file itself, out of an archive if it is in one."""
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is not a file; expected weights that Keras saved.")
    if not zipfile.is_zipfile(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        if _INSIDE not in archive.namelist() or archive.getinfo(_INSIDE).file_size > _LARGEST:
            raise ValueError(f"{str(path)!r} holds no {_INSIDE} of at most 2 GiB; expected a .keras file.")
        yield Path(archive.extract(_INSIDE, folder))


def _data_sets(root) -> Iterator[tuple[str, NDArray]]:
    """Name and content of all arrays, those of optimizers left out."""
    import h5py

    names: list[str] = []
    root.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in names:
        if not name.lstrip("_").startswith(_OTHERS) and root[name].ndim in (1, 2, 4):
            yield name, np.asarray(root[name], dtype=np.float32)


def _layer(group: str, found: Sequence[tuple[str, NDArray]], path) -> _Layer:
    """The layer of a group of arrays: one kernel and one bias."""
    kernels = [array for _, array in found if array.ndim > 1]
    biases = [array for _, array in found if array.ndim == 1]
    name = group.removesuffix("/vars").removeprefix("layers/").removeprefix("_layer_checkpoint_dependencies/")
    if len(kernels) != 1 or len(biases) != 1 or kernels[0].shape[-1] != len(biases[0]):
        raise ValueError(
            f"{str(path)!r}: the layer {name!r} has arrays of the shapes {[array.shape for _, array in found]}; "
            "expected a kernel and a bias. Layers besides convolutions and dense ones, such as batch normalization, "
            "have no place in a SpinCNN."
        )
    if not all(np.isfinite(array).all() for _, array in found):
        raise ValueError(
            f"{str(path)!r}: the layer {name!r} has values that are not finite; expected trained weights."
        )
    return _Layer(name, kernels[0], biases[0])


def _natural(name: str) -> list:
    """``conv2d`` before ``conv2d_1`` before ``conv2d_10``."""
    last = name.split("/")[0]
    number = re.search(r"_(\d+)$", last)
    return [last[: number.start()], int(number[1])] if number else [last, 0]


def _text(name) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


# ---- from layers to weights


def _sorted_layers(layers: list[_Layer], path) -> tuple[list[_Layer], list[_Layer]]:
    """Convolutions, and dense layers."""
    convolutions, dense = ([layer for layer in layers if layer.kernel.ndim == n] for n in (4, 2))
    if not convolutions or len(dense) < 2:
        raise ValueError(
            f"{str(path)!r} has {len(convolutions)} convolutions and {len(dense)} dense layers; expected at least "
            "one and two, as in SpinCNN."
        )
    return convolutions, dense


def _spec(convolutions: list[_Layer], dense: list[_Layer], pool_after, pool_size: int) -> SpinCNN:
    sides = [layer.kernel.shape[:2] for layer in convolutions]
    if any(height != width for height, width in sides):
        raise ValueError(f"the kernels have sides of {sides}; expected square ones.")
    rates = list(SpinCNN().conv_dropout)
    n = len(convolutions)
    return SpinCNN(
        filters=tuple(len(layer.bias) for layer in convolutions),
        kernel_sizes=tuple(side for side, _ in sides),
        conv_dropout=tuple((rates + rates[-1:] * n)[:n]),
        pool_after=tuple(pool_after),
        pool_size=pool_size,
        dense_units=tuple(len(layer.bias) for layer in dense[:-1]),
    )


def _under_our_names(network: nn.Module, layers: list[_Layer], image_shape) -> dict[str, NDArray]:
    """Weights by the names they have in a fitted regressor, each of the shape that it must have."""
    ours = [(name, layer) for name, layer in network.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights, maps = {}, image_shape[2]
    for (name, module), layer in zip(ours, layers, strict=True):
        if layer.kernel.ndim == 4:
            kernel, maps = layer.kernel.transpose(3, 2, 0, 1), layer.kernel.shape[3]
        elif isinstance(module, nn.Linear) and maps and len(layer.kernel) == module.in_features:
            units = layer.kernel.shape[1]
            kernel = layer.kernel.reshape(-1, maps, units).transpose(2, 1, 0).reshape(units, -1)
            maps = 0  # of the layers that follow, inputs are in no map
        else:
            kernel = layer.kernel.T
        if kernel.shape != tuple(module.weight.shape):
            raise ValueError(
                f"the layer {layer.name!r} has weights of the shape {layer.kernel.shape}; on images of {image_shape} "
                f"with a pooling after the convolutions of pool_after, expected {tuple(module.weight.shape)[::-1]} "
                "(inputs and outputs). Give the image_shape and the pool_after of the network that was trained."
            )
        weights[f"network.{name}.weight"], weights[f"network.{name}.bias"] = np.ascontiguousarray(kernel), layer.bias
    return weights
