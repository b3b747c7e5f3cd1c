"""Dropout whose masks come from random 16-bit words, since on a CPU drawing the mask is what dropout costs."""

from __future__ import annotations

import torch
from torch import nn

_LEVELS = 2**16


class Dropout(nn.Module):
    """Zero each entry with probability `rate` while training, and scale the others by ``1 / (1 - rate)``.

    The same layer as `torch.nn.Dropout` [1]_, but on a CPU the mask is cut from 64-bit random words, four entries a
    word, so drawing it costs less; `rate` is therefore rounded to a multiple of 2⁻¹⁶.

    Parameters
    ----------
    rate : float in [0, 1)

    References
    ----------
    .. [1] Srivastava et al. 2014, JMLR 15, 1929.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> dropped = Dropout(0.25)(torch.ones(100_000))
    >>> round(float((dropped == 0).float().mean()), 2), round(float(dropped.max()), 4)
    (0.25, 1.3333)
    """

    def __init__(self, rate: float):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate}; expected a dropout rate in [0, 1).")
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.rate)
        return x * _kept(x, self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def _kept(x: torch.Tensor, rate: float) -> torch.Tensor:
    """A tensor like `x`, strides included, of zeros (dropped) and ``1 / (1 - rate)`` (kept)."""
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: x.numel()]
    kept = levels >= round(rate * _LEVELS) - _LEVELS // 2
    mask = kept.to(x.dtype).mul_(1 / (1 - rate))
    return mask.as_strided(x.shape, torch.empty_like(x, device="meta").stride())
