"""Monte Carlo dropout: many passes through the layers behind the first dropout, one through those in front."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ._dropout import monte_carlo_passes
from ._image_network import ImageNetwork, Inputs
from ._split import SplitNetwork

MEAN_ERROR, WIDTH_ERROR = 0.05, 0.02  # of means, in σ, and of σ, as a share: what too few passes may change
WATCHED_PASSES, MOST_PASSES = 32, 1000  # by which the spread of passes is measured; never more than so many
PASS_NUMBERS = 2**22  # features held at a time, over galaxies and passes


def repeated_passes(network: ImageNetwork, inputs: Inputs, seed: int, n_passes: int) -> torch.Tensor:
    """Outputs ``(n, n_passes, n_outputs)`` of networks drawn by dropout, the same ones for the same seed."""
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


def enough_passes(means: NDArray, variances: NDArray) -> int:
    r"""Number of dropout passes whose mean and σ are those of endlessly many, to twice their standard errors.

    The mean of p passes errs by :math:`\sqrt{r/p}` σ, with the share r of the variance :math:`σ^2` that is between
    passes; :math:`σ^2` is the mean of what each pass has about that mean, :math:`σ_i^2 + (μ_i - μ)^2`, and errs by
    their scatter over :math:`\sqrt{p}`. Nine tenths of the galaxies are to be within `MEAN_ERROR` and `WIDTH_ERROR`.
    `means` and `variances` ``(n, n_passes, k)`` are those of the targets in each of some passes.
    """
    squares = variances + (means - means.mean(axis=1, keepdims=True)) ** 2
    total = squares.mean(axis=1)
    of_mean, of_width = means.var(axis=1, ddof=1) / total, squares.var(axis=1, ddof=1) / (2 * total) ** 2
    needed = 4 * np.maximum(of_mean / MEAN_ERROR**2, of_width / WIDTH_ERROR**2)
    known = needed[np.isfinite(needed).all(axis=1)]
    worst = np.quantile(known.max(axis=1), 0.9) if len(known) else MOST_PASSES
    return int(np.clip(np.ceil(worst), 1, MOST_PASSES))


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
