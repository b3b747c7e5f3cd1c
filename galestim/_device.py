"""Devices: what the parameter `device` means on this machine."""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(__name__)


def resolve_device(device: str | torch.device, *, fall_back: bool = False) -> str:
    """The device that `device` means on this machine; ``"auto"`` is CUDA, else Apple's MPS, else the CPU.

    A ValueError says if it is unknown, or absent, unless it is to `fall_back` to what ``"auto"`` would use, as a
    model that was saved elsewhere must.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    best = next(kind for kind, here in present.items() if here)
    if device == "auto":
        return best
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.") from error
    if present.get(wanted.type, False):
        return str(wanted)
    if fall_back:
        logger.info("device %r is not available here; using %r", str(wanted), best)
        return best
    raise ValueError(
        f"device={str(wanted)!r} is not available on this machine; use device='auto' (here: {best!r}), or install "
        "a torch that supports it."
    )
