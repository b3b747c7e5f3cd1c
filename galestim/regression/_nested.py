"""Nested state, such as that of an optimizer, as JSON and tensors, and back.

=====================  ====================================
``{"tensor": name}``   a tensor, kept beside by this name
``{"tuple": […]}``     a tuple
``{"dict": [[k, v]]}`` a dict, whose keys may be numbers
=====================  ====================================

Numbers, text, None and lists are themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def flattened(value: Any, name: str, tensors: dict[str, Any]) -> Any:
    """`value`, which is called `name`, as JSON; its tensors are added to `tensors` as arrays."""
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor):
        tensors[name] = np.array(value.detach().cpu().numpy(), order="C")
        return {"tensor": name}
    if isinstance(value, list | tuple):
        items = [flattened(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {"dict": [[key, flattened(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    raise TypeError(f"{name} is {value!r}; a checkpoint holds numbers, text and tensors. Fit without checkpoint=.")


def restored(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """What was `flattened`."""
    if isinstance(value, list):
        return [restored(item, tensors) for item in value]
    match value:
        case {"tensor": str(name)}:
            return tensors[name]
        case {"tuple": items}:
            return tuple(restored(items, tensors))
        case {"dict": items}:
            return {key: restored(item, tensors) for key, item in items}
    return value
