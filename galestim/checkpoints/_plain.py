"""Values as JSON and arrays, and back; nothing in them can be run.

Numbers, text, None and lists are themselves. Whatever else there is, is an object of JSON that says what it is:

=========================================  =======================================================================
``{"tuple": […]}``                         a tuple
``{"dict": {…}}``                          a dict, whose keys are text
``{"text": […]}``                          an array of text
``{"tensor": name}``                       an array of numbers, kept beside the JSON by this name
``{"class": name, "parameters": {…}}``     an object of galestim that has parameters alone, such as a network's spec
=========================================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..networks import VGG16, Augmentation, CompactCNN, GaussianHead, HarmonicNet, SpatialTransformer, SpinCNN
from ..regression import SGD
from ..targets import TARGET_TRANSFORMS

Tensors = dict[str, NDArray]

_NETWORKS = (CompactCNN, HarmonicNet, SpinCNN, VGG16)
SPECS: dict[str, type] = {
    kind.__name__: kind
    for kind in (*_NETWORKS, SpatialTransformer, GaussianHead, Augmentation, SGD, *TARGET_TRANSFORMS.values())
}


def described(value, name: str, tensors: Tensors) -> Any:
    """`value`, which is called `name`, as JSON; its arrays are added to `tensors`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        items = [described(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.ndarray):
        return _described_array(value, name, tensors)
    if type(value) in SPECS.values():
        parameters = value.get_params(deep=False)
        return {"class": type(value).__name__, "parameters": described_each(parameters, name, tensors)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": described_each(value, name, tensors)}
    raise TypeError(
        f"{name} is {value!r}, which a file without code cannot hold; expected numbers, text, or one of galestim's "
        f"own {', '.join(SPECS)}. Give it such a value (set_params), or pickle the estimator."
    )


def described_each(values: Mapping[str, Any], name: str, tensors: Tensors) -> dict[str, Any]:
    """A dict of `described` values."""
    return {key: described(value, f"{name}.{key}", tensors) for key, value in values.items()}


def _described_array(array: NDArray, name: str, tensors: Tensors) -> dict:
    if array.dtype.kind in "OU":
        return {"text": [str(item) for item in array]}
    tensors[name] = np.array(array, order="C")
    return {"tensor": name}


def restored(value, tensors: Tensors) -> Any:
    """The object that was `described` as `value`."""
    if isinstance(value, list):
        return [restored(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"tuple": list(items)}:
            return tuple(restored(items, tensors))
        case {"dict": dict(entries)}:
            return {key: restored(entry, tensors) for key, entry in entries.items()}
        case {"text": list(words)}:
            return np.array(words, dtype=object)
        case {"tensor": str(name)}:
            return named(tensors, name, "array")
        case {"class": str(name), "parameters": dict(parameters)}:
            return made(named(SPECS, name, "class"), parameters, tensors)
    raise ValueError(f"it holds {value!r}, which is no value that galestim writes.")


def made(kind: Callable, parameters: Mapping[str, Any], tensors: Tensors) -> Any:
    """An object of one of galestim's classes, of parameters that were `described`."""
    try:
        return kind(**{key: restored(value, tensors) for key, value in parameters.items()})
    except TypeError as error:
        raise ValueError(f"its {kind.__name__} has parameters that this galestim does not know: {error}.") from error


def named(known: Mapping[str, Any], name: str, what: str) -> Any:
    """The entry of this name."""
    if name not in known:
        raise ValueError(f"it names the {what} {name!r}; expected one of {', '.join(known)}.")
    return known[name]
