"""Checks that the parts of a fitted estimator in a file fit together, before a network is built of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..targets import TARGET_TRANSFORMS


def check_fitted(fitted: Mapping[str, Any]) -> None:
    """Refuse fitted attributes whose types, shapes or values are not those of a fit."""
    n_targets, shape = fitted["n_outputs_"], fitted["image_shape_"]
    _require("n_outputs_", n_targets, _is_count(n_targets), "a whole number above 0")
    is_shape = isinstance(shape, tuple) and len(shape) == 3 and all(map(_is_count, shape))
    _require("image_shape_", shape, is_shape, "(H, W, C)")
    n_features = fitted["n_features_in_"]
    _require("n_features_in_", n_features, n_features == prod(shape) and _is_count(n_features), f"{prod(shape)}")
    for name in ("_seed", "n_parameters_"):
        _require(name, fitted[name], type(fitted[name]) is int and fitted[name] >= 0, "a whole number")
    passes = fitted.get("n_passes_", 1)
    _require("n_passes_", passes, _is_count(passes), "a whole number above 0")
    flat = fitted["_one_dimensional_y"]
    _require("_one_dimensional_y", flat, flat is False or (flat is True and n_targets == 1), "a bool")
    history = fitted["history_"]
    is_history = isinstance(history, list) and all(isinstance(row, dict) and "epoch" in row for row in history)
    _require("history_", history, is_history, "a list of dicts, one per epoch")
    for name, length in (("pixel", shape[2]), ("target", n_targets)):
        _require_numbers(f"{name}_mean_", fitted, length)
        _require_numbers(f"{name}_scale_", fitted, length, above_0=True)
    if "width_factors_" in fitted:
        _require_numbers("width_factors_", fitted, n_targets, above_0=True)
        _require_numbers("width_spreads_", fitted, n_targets)
    _check_targets(fitted, n_targets)
    _check_camera(fitted, n_targets)
    features = fitted.get("feature_names_in_", np.empty(n_features, object))
    is_names = isinstance(features, np.ndarray) and features.dtype == object and features.shape == (n_features,)
    _require("feature_names_in_", features, is_names, f"{n_features} names")


def _check_targets(fitted: Mapping[str, Any], n: int) -> None:
    names, units, transforms = (fitted[f"target_{what}_"] for what in ("names", "units", "transforms"))
    is_names = _are(str, names, n) and len(set(names)) == n
    _require("target_names_", names, is_names, f"{n} different names")
    _require("target_units_", units, units is None or _are((str, type(None)), units, n), f"None, or {n} units")
    kinds = tuple(TARGET_TRANSFORMS.values())
    _require("target_transforms_", transforms, _are(kinds, transforms, n), f"{n} transforms")


def _check_camera(fitted: Mapping[str, Any], n: int) -> None:
    camera, learned_in, domain = fitted.get("camera_", False), fitted.get("_learned_in"), fitted.get("domain_")
    _require("camera_", camera, isinstance(camera, bool), "a bool")
    _require("_on_sky", fitted.get("_on_sky", True), isinstance(fitted.get("_on_sky", True), bool), "a bool")
    is_choice = (
        isinstance(learned_in, np.ndarray) and learned_in.shape == (2, n) and np.isin(learned_in, (0, 1)).all()
    )
    _require("_learned_in", learned_in, bool(is_choice) if camera else learned_in is None, f"(2, {n}) of 0 and 1")
    if domain is not None:
        is_range = camera and isinstance(domain, np.ndarray) and domain.ndim == 2 and len(domain) == 3
        rising = is_range and domain.dtype.kind == "f" and bool((np.diff(domain, axis=0) > 0).all())
        _require("domain_", domain, rising, "three rows of limits, each above the one before")


def _are(kinds, values, n: int) -> bool:
    return isinstance(values, list) and len(values) == n and all(isinstance(value, kinds) for value in values)


def _is_count(value) -> bool:
    return type(value) is int and value > 0


def _require_numbers(name: str, fitted: Mapping[str, Any], n: int, above_0: bool = False) -> None:
    values = fitted[name]
    is_right = isinstance(values, np.ndarray) and values.dtype.kind == "f" and values.shape == (n,)
    is_right = is_right and bool(np.isfinite(values).all()) and not (above_0 and (values <= 0).any())
    _require(name, values, is_right, f"{n} finite numbers" + above_0 * " above 0")


def _require(name: str, value, is_right: bool, expected: str) -> None:
    if not is_right:
        raise ValueError(f"{name} is {repr(value)[:100]}; expected {expected}.")


def check_finite(tensors: Mapping[str, NDArray]) -> None:
    """Refuse weights and other arrays that are not finite: whatever they predict looks like a missing image."""
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"{name} has {int((~np.isfinite(array)).sum())} numbers that are not finite; expected none."
            )


def check_counts(parameters, weights: Mapping[str, NDArray], image_shape: tuple[int, ...]) -> None:
    """Refuse parameters of a network that count more than its weights have: layers, channels, members."""
    at_most = max([len(weights), *image_shape, *(side for array in weights.values() for side in array.shape)])
    for name, value in _numbers(parameters, "parameters"):
        if value > at_most:
            raise ValueError(f"{name} is {value}, but its weights are for {at_most} at most.")


def _numbers(value, name: str) -> Iterator[tuple[str, int]]:
    """Whole numbers within specs of networks, under their names."""
    if type(value) is int:
        yield name, value
    for key, item in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield from _numbers(item, f"{name}.{key}")


@contextmanager
def no_more_than(weights: Mapping[str, NDArray]) -> Iterator[None]:
    """Within, a network with more tensors or numbers than `weights` is an error as soon as one is made."""
    left = [len(weights), sum(array.size for array in weights.values())]
    thread = threading.get_ident()

    def count(module, name, parameter) -> None:
        if parameter is not None and threading.get_ident() == thread:
            left[0] -= 1
            left[1] -= parameter.numel()
            if min(left) < 0:
                raise ValueError("its network does not fit: by its parameters it is larger than its weights.")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
