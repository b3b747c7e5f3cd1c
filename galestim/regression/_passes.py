"""Monte Carlo dropout: many passes through what is random, one through what is not."""

from __future__ import annotations

import torch
from torch import nn

from ..networks import SplitNetwork
from ..networks._dropout import monte_carlo_passes
from ._image_network import ImageNetwork

PASS_NUMBERS = 2**22  # features held at a time, over galaxies and passes


class ContextAsChannels(SplitNetwork):
    """Any network as a `SplitNetwork`: the context enters as constant channels, and all of it is repeated per pass.

    Parameters
    ----------
    network : torch.nn.Module
        Takes the image's channels and one more per number of the context.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def trunk(self, x):
        return x

    def rest(self, features, context=None):
        if context is not None:
            maps = context[:, :, None, None].expand(-1, -1, *features.shape[2:])
            features = torch.cat([features, maps.to(features.dtype)], dim=1)
        return self.network(features)


def repeated_passes(network: ImageNetwork, pixels: torch.Tensor, seed: int, n_passes: int) -> torch.Tensor:
    """Outputs of `n_passes` networks drawn by dropout, ``(n, n_passes, n_outputs)``.

    Parameters
    ----------
    network : ImageNetwork around a SplitNetwork
    pixels : Tensor of shape (n, H, W, C)
    seed, n_passes : int
        A pass with the same seed and number is the same network.
    """
    split = network.network
    assert isinstance(split, SplitNetwork)
    features = split.trunk(network.prepare(pixels))
    at_once = max(1, PASS_NUMBERS // sum(part.numel() for part in _parts(features)))
    outputs = []
    for start in range(0, n_passes, at_once):
        passes = range(start, min(start + at_once, n_passes))
        with monte_carlo_passes(split, seed, passes):
            outputs.append(split.rest(_repeat(features, len(passes))).unflatten(0, (len(passes), -1)))
    return torch.cat(outputs).movedim(0, 1)


def _parts(features) -> list[torch.Tensor]:
    if features is None:
        return []
    return [features] if isinstance(features, torch.Tensor) else [t for part in features for t in _parts(part)]


def _repeat(features, times: int):
    """Rows once per pass, pass by pass; through nested tuples."""
    if features is None:
        return None
    if isinstance(features, tuple):
        return tuple(_repeat(part, times) for part in features)
    return features.repeat(times, *[1] * (features.ndim - 1))
