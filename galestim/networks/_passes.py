"""Monte Carlo dropout: many passes through the layers behind the first dropout, one through those in front."""

from __future__ import annotations

import torch

from ._dropout import monte_carlo_passes
from ._image_network import ImageNetwork, Inputs
from ._split import SplitNetwork

PASS_NUMBERS = 2**22  # features held at a time, over galaxies and passes


def repeated_passes(network: ImageNetwork, inputs: Inputs, seed: int, n_passes: int) -> torch.Tensor:
    """Outputs of `n_passes` networks drawn by dropout, ``(n, n_passes, n_outputs)``.

    Parameters
    ----------
    network : ImageNetwork around a SplitNetwork
    inputs : dict of Tensor
        What `network` is called with: pixels (n, H, W, C), and their camera where they have one.
    seed, n_passes : int
        A pass with the same seed and number is the same network.
    """
    split = network.network
    assert isinstance(split, SplitNetwork)
    seen = network.trunk(**inputs)
    at_once = max(1, PASS_NUMBERS // sum(part.numel() for part in _parts(seen)))
    outputs = []
    for start in range(0, n_passes, at_once):
        passes = range(start, min(start + at_once, n_passes))
        with monte_carlo_passes(split, seed, passes):
            outputs.append(split.rest(*_repeat(seen, len(passes))).unflatten(0, (len(passes), -1)))
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
