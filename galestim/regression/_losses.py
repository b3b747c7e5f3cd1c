"""Losses per galaxy, averaged with the galaxies' weights."""

from __future__ import annotations

import torch
from torch import nn

from ..networks import GaussianHead

POINTWISE = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}

SPREAD_WEIGHT = 5.0  # of crops that are not the same multiple of their galaxies; at 1 they stay too much alike


class WeightedLoss(nn.Module):
    """Weighted mean over a batch of a pointwise loss, itself averaged over the targets.

    Parameters
    ----------
    kind : {"mse", "mae", "huber"}
    """

    def __init__(self, kind: str):
        super().__init__()
        self.pointwise = POINTWISE[kind](reduction="none")

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

    Parameters
    ----------
    head : GaussianHead
    """

    def __init__(self, head: GaussianHead):
        super().__init__()
        self.head = head

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
