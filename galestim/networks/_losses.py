"""Losses: one number per galaxy, averaged with the galaxies' weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ._gaussian_head import GaussianHead

POINTWISE = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}

SPREAD_WEIGHT = 5.0  # of crops that are not the same multiple of their galaxies; at 1 they stay too much alike


class WeightedLoss(nn.Module):
    """Weighted mean over a batch of a pointwise loss, itself averaged over the targets.

    Parameters
    ----------
    kind : {"mse", "mae", "huber"}
    """

    needs_spread = False  # whether a target that is the same in all rows cannot be learned

    def __init__(self, kind: str):
        super().__init__()
        self.pointwise = POINTWISE[kind](reduction="none")

    def n_outputs(self, n_targets: int) -> int:
        """Number of outputs of a network for so many targets."""
        return n_targets

    def extra_labels(self, targets: NDArray, names: list[str]) -> dict[str, NDArray]:
        """Labels that the loss needs besides the targets: none."""
        return {}

    def estimates(self, output: torch.Tensor, n_targets: int) -> torch.Tensor:
        """Numbers ``(n, n_targets)`` that outputs mean."""
        return output

    def forward(self, output, labels):
        target = labels["target"]
        if output.shape != target.shape:  # torch would broadcast, and learn something else
            raise ValueError(
                f"the network maps {len(target)} images to {tuple(output.shape)}; expected {tuple(target.shape)}, "
                "(n, n_outputs). Build it with as many outputs as its second argument says."
            )
        return _mean(self.pointwise(output, target).mean(dim=1), labels["weight"])


class NegativeLogLikelihood(nn.Module):
    """Weighted mean over a batch of minus the log density of the targets under the predicted mixtures.

    If crops follow a `size_target`, see `SpatialTransformer`, the network's last output is the logarithm of their
    side.
    """

    needs_spread = True

    def __init__(self, head: GaussianHead, size_target: str | None = None):
        super().__init__()
        self.head, self.size_target = head, size_target

    def n_outputs(self, n_targets: int) -> int:
        """Number of outputs of a network for so many targets."""
        return self.head.n_outputs(n_targets)

    def extra_labels(self, targets: NDArray, names: list[str]) -> dict[str, NDArray]:
        """Labels that the loss needs besides the targets: ``log_size`` (n, 1), where crops follow a size.

        Raises
        ------
        ValueError
            If `size_target` is none of the targets, or not a length.
        """
        if self.size_target is None:
            return {}
        if self.size_target not in names:
            raise ValueError(
                f"size_target={self.size_target!r} is none of the targets {names}; name one of them, or none."
            )
        size = targets[:, [names.index(self.size_target)]]
        if (size <= 0).any():
            row = int(np.argmax(size <= 0))
            raise ValueError(
                f"size_target={self.size_target!r} is {size[row, 0]:g} in row {row}; expected lengths above 0."
            )
        return {"log_size": np.log(size)}

    def estimates(self, output: torch.Tensor, n_targets: int) -> torch.Tensor:
        """Means ``(n, n_targets)`` of the mixtures that outputs mean."""
        mixture = self.head(output[:, : self.head.n_outputs(n_targets)], n_targets)
        return (mixture.log_weights.exp()[..., None] * mixture.means).sum(dim=-2)

    def forward(self, output, labels):
        weight = labels["weight"]
        if "log_size" not in labels:
            return _mean(self._of_each(output, labels), weight)
        # crops that are all the same multiple of their galaxy's size cost nothing, whatever the multiple
        log_ratio = output[:, -1] - labels["log_size"][:, 0]
        spread = _mean((log_ratio - _mean(log_ratio, weight)).square(), weight)
        return _mean(self._of_each(output[:, :-1], labels), weight) + SPREAD_WEIGHT * spread

    def _of_each(self, output, labels):
        target = labels["target"]
        mixture = self.head(output, target.shape[1])
        return -mixture.log_prob(target, labels.get("variance"))


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (weight * values).sum() / weight.sum()
