"""Dropout layers: masks drawn cheaply in training, and once per pass in Monte Carlo dropout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import nn

from .._randomness import own_generator

_LEVELS = 2**16

# By layer, one generator per pass. It belongs to the thread that predicts: threads may share the layers.
_passes: ContextVar[Mapping[nn.Module, list[np.random.Generator]]] = ContextVar("galestim_passes")


class TrainingDropout(nn.Module):
    """Dropout in training alone: what predicts, Monte Carlo passes too, has the whole network.

    It keeps a network from learning its images by heart, and costs nothing in prediction.

    Parameters
    ----------
    rate : float in [0, 1)
    """

    def __init__(self, rate: float):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate}; expected a dropout rate in [0, 1).")
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * _kept(x, self.rate) if self.training and self.rate else x

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class Dropout(TrainingDropout):
    """Zero each entry with probability `rate` while training, and scale the others by ``1 / (1 - rate)``.

    The same layer as `torch.nn.Dropout` [1]_, but on a CPU the mask is cut from 64-bit random words, four entries a
    word, so drawing it costs less; `rate` is therefore rounded to a multiple of 2⁻¹⁶.

    .. versionadded:: 0.1.0

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        generators = _passes.get({}).get(self) if self.rate else None
        return self._one_mask_per_pass(x, generators) if generators else super().forward(x)

    def _one_mask_per_pass(self, x: torch.Tensor, generators: list[np.random.Generator]) -> torch.Tensor:
        """Rows ``(pass, galaxy)`` of `x`: all galaxies of a pass lose the same entries."""
        n_passes, shape = len(generators), x.shape[1:]
        kept = np.stack([generator.random(shape, dtype=np.float32) >= self.rate for generator in generators])
        mask = torch.from_numpy(kept).to(x) / (1 - self.rate)
        return (x.unflatten(0, (n_passes, -1)) * mask.unsqueeze(1)).flatten(0, 1)


def set_dropout(module: nn.Module, rate: float | None) -> None:
    """Give every dropout layer inside `module` this rate (None: leave it), and make those of torch ours."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            child = Dropout(child.p)
            setattr(module, name, child)
        if isinstance(child, Dropout) and rate is not None:
            child.rate = rate
        set_dropout(child, rate)


def drops_out(module: nn.Module) -> bool:
    """True if passes through `module` can differ."""
    return any(isinstance(layer, Dropout) and layer.rate > 0 for layer in module.modules())


@contextmanager
def monte_carlo_passes(module: nn.Module, seed: int, passes: range) -> Iterator[None]:
    """Within this context every dropout layer drops, whatever mode `module` is in.

    The batch must hold the galaxies once per pass, pass by pass. The masks of a pass depend on `seed` and on its
    number alone, not on the galaxies: a pass is one network, drawn from the posterior over networks that dropout
    stands for [1]_, and a galaxy's posterior does not depend on the company in which it is predicted.

    References
    ----------
    .. [1] Gal & Ghahramani 2016, *Dropout as a Bayesian approximation*, ICML.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    token = _passes.set(
        {
            layer: [np.random.default_rng((seed, number, index)) for index in passes]
            for number, layer in enumerate(layers)
        }
    )
    try:
        yield
    finally:
        _passes.reset(token)


def _kept(x: torch.Tensor, rate: float) -> torch.Tensor:
    """A tensor like `x`, strides included, of zeros (dropped) and ``1 / (1 - rate)`` (kept)."""
    generator = own_generator(x.device)
    if x.device.type != "cpu":
        return torch.empty_like(x).bernoulli_(1 - rate, generator=generator).mul_(1 / (1 - rate))
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    levels = words.view(torch.int16)[: x.numel()]
    kept = levels >= round(rate * _LEVELS) - _LEVELS // 2
    mask = kept.to(x.dtype).mul_(1 / (1 - rate))
    return mask.as_strided(x.shape, torch.empty_like(x, device="meta").stride())
