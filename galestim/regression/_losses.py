"""Losses per galaxy, averaged with the galaxies' weights."""

from __future__ import annotations

from torch import nn

from ..networks import GaussianHead

POINTWISE = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}


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
        loss = self.pointwise(output, target).mean(dim=1)
        return (labels["weight"] * loss).sum() / labels["weight"].sum()


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
        target = labels["target"]
        mixture = self.head(output, target.shape[1])
        loss = -mixture.log_prob(target, labels.get("variance"))
        return (labels["weight"] * loss).sum() / labels["weight"].sum()
