"""State dicts read from files, without executing what a pickle may hide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch


def read_state_dict(path: str | Path) -> Mapping[str, torch.Tensor]:
    """The mapping that `torch.save` wrote, without running what a pickle may hide.

    A file that holds anything else than tensors and plain containers, is damaged or no mapping is a ValueError.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is not a file; expected a state dict that torch.save wrote.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise ValueError(
            f"{str(path)!r} holds something else than tensors, or is damaged; it was refused and nothing in it was "
            "executed. Expected a state dict written by torch.save."
        ) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{str(path)!r} holds a {type(state).__name__}; expected a state dict.")
    return state


def trained_weights(value, name: str, hint: str = "") -> torch.Tensor:
    """`value`, which must be a tensor of finite real numbers, as trained weights are."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        what = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(f"{name} is {what}; expected a tensor of real numbers.")
    if not value.isfinite().all():
        raise ValueError(f"{name} has values that are not finite; expected trained weights{hint}.")
    return value
