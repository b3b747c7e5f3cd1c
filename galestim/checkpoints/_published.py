"""Weights that the published codes saved, as fitted estimators.

A state dict holds numbers and their names alone: not the size of the images, the dropout rate, the names of the
outputs or how the labels were scaled. What can be read off the shapes is read and checked; the rest must be said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import nn

from .. import __version__
from ..networks import N_NUMBERS, CroppedNetwork, Dropout, GaussianHead, read_state_dict, trained_weights
from ..regression import STNPosteriorRegressor, forbid_constant, read_targets
from ..targets import check_domain, resolve_transforms

_KINDS = {N_NUMBERS[kind]: kind for kind in ("crop", "zoom_shift", "affine")}
_LAST = "vgg.classifier.6"  # the output
_NUMBER_SIGMA = 1e-3  # of standardized targets, where the network predicts numbers alone
_SMALLEST = 33  # px; smaller images leave no map to the localization


def load_published_stn(
    path,
    targets,
    *,
    image_size,
    target_names=("bulge_to_total", "half_light_radius", "flux"),
    target_transforms=("logit", "log", "log"),
    dropout=4e-4,
    n_passes=1000,
    device="auto",
    random_state=None,
) -> STNPosteriorRegressor:
    r"""Read a network trained by the published code of GaMPEN [1]_ as a fitted estimator.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or Path
        A state dict written by ``torch.save``, by itself or as the entry ``"state_dict"`` or ``"model_state_dict"``
        of a dict; its names may begin with ``module.``. Nothing in the file is executed.
    targets : array-like of shape (n, n_targets)
        The labels of all galaxies that the network was *trained* on, in physical units: location and scale of its
        outputs are the mean and standard deviation (over n) of their transforms. Of a data frame or table that has
        columns of the names in `target_names`, those are taken.
    image_size : int or (int, int)
        Height and width of the training images, in pixels; one number if they are square.
    target_names : sequence of str, default=("bulge_to_total", "half_light_radius", "flux")
        What the network predicts, in the order of its outputs.
    target_transforms : str, object, sequence or dict, default=("logit", "log", "log")
        How the labels were transformed before they were standardized, as `STNPosteriorRegressor` takes it.
    dropout : float, default=4e-4
        The rate the network was trained with, which the file does not tell. It sets the spread between passes.
    n_passes : int, default=1000
        Number of Monte Carlo dropout passes in prediction.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of the passes' dropout.

    Returns
    -------
    STNPosteriorRegressor
        Made by `STNPosteriorRegressor.gampen` and fitted; ``history_`` is empty. With ``warm_start=True`` its
        `fit` goes on from these weights.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds anything but a state dict of tensors, a weight is missing, unknown, not finite or of another
        shape than the published one, `image_size` or `target_names` disagree with the weights, or a label has no
        finite transform.

    Notes
    -----
    Images must be what that code showed its network: stretched with ``np.arcsinh``, and one band repeated to as many
    channels as the first convolution has, three as published. Pixels are not standardized. Labels are not moved off
    the bounds of a logit as `fit` does, since that would change location and scale.

    No checkpoint of the published code was at hand when this was written. The order of the :math:`(3k + k^2) / 2`
    outputs for k targets is an assumption, read from the description in [1]_: k means, the k logarithms of D, then
    the strict lower triangle of L row by row (for three targets, column by column is the same), where
    :math:`Σ = L D L^T`.
    **Compare predictions for a few galaxies with those of the original before you rely on them.**

    Networks that were trained for less have fewer outputs: 2k, means and logarithms of variances (L is then the
    identity), or k, trained on the mean squared error, whose posteriors are as wide as dropout makes them, and 1e-3
    of the labels' spread besides. Of a localization with three outputs, the zoom is taken to come before the shift.

    For a given map of the localization there are always four sizes of square images, so the size cannot be inferred.
    The weights of the convolutions may be numbered as in torchvision's VGG-16 or with dropout layers between them.

    References
    ----------
    .. [1] Ghosh et al. 2022, ApJ 935, 138 (GaMPEN).

    Examples
    --------
    A file like those of the published code, but narrow and untrained:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import torch
    >>> from galestim import VGG16, SpatialTransformer
    >>> from galestim.checkpoints import load_published_stn
    >>> crop = SpatialTransformer(localization="gampen", max_zoom=None).build((40, 40, 3))
    >>> vgg = VGG16(units=4).build((40, 40, 3), n_outputs=9)
    >>> weights = crop.state_dict() | {f"vgg.{name}": weight for name, weight in vgg.state_dict().items()}
    >>> labels = np.random.default_rng(0).uniform(0.1, 0.9, size=(50, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trained.pt"
    ...     torch.save(weights, path)
    ...     model = load_published_stn(path, labels, image_size=40)
    >>> image = np.arcsinh(np.random.default_rng(1).normal(size=(40, 40)))
    >>> model.predict_posterior(np.repeat(image[None, :, :, None], 3, axis=3), n_passes=2)
    MixturePosterior(1 galaxy; targets: bulge_to_total, half_light_radius, flux)
    """
    names = [str(name) for name in target_names]
    model = STNPosteriorRegressor.gampen(
        target_transforms=target_transforms,
        dropout=dropout,
        n_passes=n_passes,
        device=device,
        random_state=random_state,
    )
    labels = read_targets(_columns(targets, names), targets, model)
    latent = _latent_labels(labels.values, model, names)
    forbid_constant(labels._replace(names=names), np.arange(len(latent)))
    state = _named_weights(path)
    layout = _layout(state)
    state |= _as_full_covariance(state, layout["outputs"], names)
    image_shape = (*_checked_sides(image_size, layout["pixels"]), layout["channels"])
    model.set_params(network__units=layout["units"], spatial_transformer__kind=layout["kind"])
    model._validate_params()
    weights = _under_our_names(state, model, image_shape, GaussianHead().n_outputs(len(names)))
    model.__setstate__(
        {
            **vars(model),
            **_fitted(latent, model, names, image_shape),
            "target_units_": labels.units,
            "n_parameters_": sum(weight.numel() for weight in weights.values()),
            "_seed": int(check_random_state(random_state).randint(np.iinfo(np.int32).max)),
            "_weights": _with_input(weights, image_shape[2]),
            "_galestim_version": __version__,
        }
    )
    return model


def _fitted(latent: NDArray, model: STNPosteriorRegressor, names: list[str], image_shape) -> dict[str, Any]:
    """Attributes of a fit that took pixels as they are and learned from these transformed labels ``(n, k)``."""
    k, scale = len(names), latent.std(axis=0)
    return {
        "image_shape_": image_shape,
        "n_features_in_": int(np.prod(image_shape)),
        "n_outputs_": k,
        "target_names_": names,
        "target_transforms_": resolve_transforms(model.target_transforms, names),
        "target_mean_": latent.mean(axis=0),
        "target_scale_": np.where(scale > 0, scale, 1.0),
        "pixel_mean_": np.zeros(image_shape[2]),
        "pixel_scale_": np.ones(image_shape[2]),
        "width_factors_": np.ones(k),
        "width_spreads_": np.zeros(k),
        "history_": [],
        "_one_dimensional_y": False,
    }


def _with_input(weights: Mapping[str, torch.Tensor], channels: int) -> dict[str, NDArray]:
    """The weights by their names in a fitted regressor of one member, whose input leaves pixels as they are."""
    named = {f"0.network.{name}": weight.numpy() for name, weight in weights.items()}
    input_scales = {"0.pixel_mean": np.zeros((channels, 1, 1)), "0.pixel_scale": np.ones((channels, 1, 1))}
    return named | input_scales


def _columns(targets, names: Sequence[str]):
    """The columns of these names, if there are such; else all."""
    columns = [str(column) for column in getattr(targets, "columns", [])]
    return targets[list(names)] if names and set(names) <= set(columns) else targets


def _latent_labels(labels: NDArray, model: STNPosteriorRegressor, names: Sequence[str]) -> NDArray:
    """Transformed labels ``(n, k)``, all finite."""
    if labels.shape[1] != len(names) or len(labels) < 2:
        raise ValueError(
            f"targets has shape {labels.shape}; expected (n, {len(names)}), the labels of all n training galaxies: a "
            f"column for each of {', '.join(names)}."
        )
    transforms = resolve_transforms(model.target_transforms, names)
    check_domain(labels, transforms, names)
    latent = np.column_stack([transform.forward(column) for transform, column in zip(transforms, labels.T)])
    for row, column in np.argwhere(~np.isfinite(latent))[:1]:
        raise ValueError(
            f"{names[column]}: row {row} is {labels[row, column]:g}, which {transforms[column]!r} takes to "
            f"{latent[row, column]}; expected labels as the network was trained on, which had finite transforms. The "
            "published code moves B/T of 0 and 1 inward: where its table has them transformed, as custom_logit_bt, "
            "pass scipy.special.expit of that column."
        )
    return latent


def _named_weights(path) -> dict[str, torch.Tensor]:
    """The weights of a file by their names, without prefix, from whichever entry of a checkpoint holds them."""
    state = read_state_dict(path)
    for entry in ("state_dict", "model_state_dict"):
        inner = state.get(entry)
        state = inner if isinstance(inner, Mapping) else state
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _layout(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the network, from the shapes of its weights."""
    channels = _shape(state, "localization.0.weight", "(64, channels, 11, 11)")[1]
    flat = _shape(state, "fc_loc.0.weight", "(32, 96 × pixels of the localization's map)")[1]
    numbers = _shape(state, "fc_loc.2.weight", "(1, 32), (3, 32) or (6, 32)")[0]
    if numbers not in _KINDS:
        raise ValueError(
            f"'fc_loc.2.weight' has {numbers} rows; expected 1, for a zoom, 3, for a zoom and a shift, or 6, for an "
            "affine transformation."
        )
    return {
        "channels": channels,
        "pixels": flat / 96,
        "kind": _KINDS[numbers],
        "units": _shape(state, "vgg.classifier.0.weight", "(units, 25088)")[0],
        "outputs": _shape(state, "vgg.classifier.6.weight", "(outputs, units)")[0],
    }


def _shape(state: Mapping[str, torch.Tensor], key: str, expected: str) -> tuple[int, ...]:
    shape = tuple(_tensor(state, key).shape)
    if len(shape) != expected.split(")")[0].count(",") + 1:
        raise ValueError(f"{key!r} has shape {shape}; expected {expected}.")
    return shape


def _tensor(state: Mapping[str, torch.Tensor], key: str) -> torch.Tensor:
    """Entry `key`, which must be there and finite."""
    if key not in state:
        raise ValueError(
            f"the file has no {key!r}; expected a spatial transformer in front of a VGG-16, as published. It has "
            f"{len(state)} entries: {_some(state)}."
        )
    return trained_weights(state[key], repr(key))


def _some(names) -> str:
    names = [repr(str(name)) for name in names]
    return ", ".join(names[:4] + ["…"] * (len(names) > 4)) or "none"


def _as_full_covariance(state: Mapping[str, torch.Tensor], n_outputs: int, names: Sequence[str]) -> dict:
    """The last layer with the outputs of a full covariance, whatever of it the network was trained for."""
    k = len(names)
    full = GaussianHead().n_outputs(k)
    if n_outputs not in (full, 2 * k, k):
        fitting = [str(j) for j in range(1, 100) if n_outputs in (GaussianHead().n_outputs(j), 2 * j, j)]
        raise ValueError(
            f"target_names has {k} names ({', '.join(names)}), but the last layer, {_LAST + '.weight'!r}, has "
            f"{n_outputs} rows; expected {full} (full covariance), {2 * k} (variances alone) or {k} (numbers alone). "
            f"Name all targets, in the order of its outputs: {' or '.join(fitting)} of them."
        )
    weight, bias = _tensor(state, f"{_LAST}.weight"), _tensor(state, f"{_LAST}.bias")
    missing = full - n_outputs
    bias = torch.cat([bias, bias.new_zeros(missing)])
    if n_outputs == k:
        bias[k : 2 * k] = 2 * math.log(_NUMBER_SIGMA)
    return {f"{_LAST}.weight": torch.cat([weight, weight.new_zeros(missing, weight.shape[1])]), f"{_LAST}.bias": bias}


def _checked_sides(image_size, n_pixels: float) -> tuple[int, int]:
    """Height and width, if the localization then has a map of that many pixels."""
    sides = (image_size, image_size) if np.ndim(image_size) == 0 else tuple(image_size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side >= _SMALLEST for side in sides):
        raise ValueError(f"image_size={image_size!r}; expected pixels, 96 or (height, width), from {_SMALLEST} on.")
    height, width = (int(side) for side in sides)
    if _map_side(height) * _map_side(width) != n_pixels:
        fitting = [side for side in range(_SMALLEST, 2000) if _map_side(side) ** 2 == n_pixels]
        hint = f"square ones of {fitting[0]} to {fitting[-1]} px fit" if fitting else "no square ones fit"
        raise ValueError(
            f"image_size={image_size!r} gives {96 * _map_side(height) * _map_side(width)} inputs to fc_loc.0, but it "
            f"has {96 * n_pixels:g}; expected the size of the images that the network was trained on ({hint})."
        )
    return height, width


def _map_side(side: int) -> int:
    """Side of the localization's map: convolutions of 11 and 9 pixels, each pooled 3/2, all unpadded."""
    for kernel in (11, 9):
        side = (side - kernel + 1 - 3) // 2 + 1
    return side


def _under_our_names(state, model: STNPosteriorRegressor, image_shape, n_outputs: int) -> dict[str, torch.Tensor]:
    """The weights by the names they have in our network; all of them, no others, and each of its shape."""
    with torch.device("meta"):  # names and shapes alone
        vgg = model.network.build(image_shape, n_outputs)
        expected = CroppedNetwork(model.spatial_transformer.build(image_shape), vgg).state_dict()
    numbered = _numbered(vgg.features, plain="vgg.features.2.weight" in state)
    published = {name: _published_name(name, numbered) for name in expected}
    weights = {ours: _tensor(state, theirs) for ours, theirs in published.items()}
    for name, weight in weights.items():
        got, shape = tuple(weight.shape), tuple(expected[name].shape)
        if got != shape:
            raise ValueError(f"{published[name]!r} has shape {got}; expected {shape}, as published.")
    if unknown := [name for name in state if name not in published.values()]:
        raise ValueError(
            f"the file has entries that the published network has not: {_some(unknown)}. Another architecture would "
            "predict something else, so it was refused."
        )
    return weights


def _numbered(features: Iterable[nn.Module], plain: bool) -> list[int]:
    """Our numbers of the layers that the file counts; `plain`, as torchvision counts them: all but dropout."""
    return [i for i, layer in enumerate(features) if not (plain and isinstance(layer, Dropout))]


def _published_name(name: str, numbered: Sequence[int]) -> str:
    name = name.removeprefix("transformer.").replace("network.", "vgg.")
    return re.sub(r"(?<=features\.)\d+", lambda number: str(numbered.index(int(number[0]))), name)
