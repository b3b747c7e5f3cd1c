"""The twelve parameters of a galaxy: names, limits, and conversion to tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ._sersic import MAX_INDEX, MIN_INDEX

PARAMETERS = {  # name: (low, high); positive where low is None
    "flux": (None, torch.inf),
    "bulge_to_total": (0.0, 1.0),
    "bulge_radius": (None, torch.inf),
    "disk_radius": (None, torch.inf),
    "bulge_sersic_index": (MIN_INDEX, MAX_INDEX),
    "disk_sersic_index": (MIN_INDEX, MAX_INDEX),
    "bulge_axis_ratio": (None, 1.0),
    "disk_axis_ratio": (None, 1.0),
    "bulge_position_angle": (-torch.inf, torch.inf),
    "disk_position_angle": (-torch.inf, torch.inf),
    "x_offset": (-torch.inf, torch.inf),
    "y_offset": (-torch.inf, torch.inf),
}


def as_tensors(parameters: Mapping, names=tuple(PARAMETERS), device=None, dtype=None) -> dict[str, torch.Tensor]:
    """The named parameters as tensors (n,) of one dtype, checked; others are left out."""
    missing = [name for name in names if name not in parameters]
    if missing:
        raise ValueError(f"parameters lack {', '.join(missing)}; expected {', '.join(names)}.")
    device, dtype = place(parameters, device, dtype)
    tensors = {name: torch.as_tensor(parameters[name], device=device, dtype=dtype) for name in names}
    n = len(tensors[names[0]]) if tensors[names[0]].ndim else None
    for name, values in tensors.items():
        if values.shape != (n,):
            raise ValueError(f"{name} has shape {tuple(values.shape)}; expected ({n},), one number per galaxy.")
        _check_limits(name, values.detach())
    return tensors


def place(parameters: Mapping, device=None, dtype=None) -> tuple[torch.device, torch.dtype]:
    """Device and dtype to draw with: those asked for, else those of the first tensor, else the CPU and float32."""
    given = next((v for v in parameters.values() if isinstance(v, torch.Tensor)), torch.empty(0))
    return device or given.device, dtype or given.dtype


def _check_limits(name: str, values: torch.Tensor) -> None:
    low, high = PARAMETERS[name]
    inside = (values > 0 if low is None else values >= low) & (values <= high) & values.isfinite()
    if not inside.all():
        row = int((~inside).nonzero()[0, 0])
        limits = f"{'more than 0' if low is None else f'at least {low:g}'} and at most {high:g}"
        raise ValueError(f"{name}[{row}]={values[row].item():g}; expected finite, {limits}.")
