"""Importance sampling of shapes: mixtures of t distributions, adapted between rounds."""

from __future__ import annotations

import math

import torch

FREEDOM = 6.0  # degrees of freedom of the proposals
WIDER = 1.15  # than the curvature at a mode says, in variance
LEAST_SHARE = 0.03  # of a mode
ADAPTED_WIDER = 1.25  # in variance, than the draws are
ADAPTED_SHARE = 0.85  # of an adapted covariance that comes from the draws
EFFECTIVE = 60.0  # draws that weights are tempered for, from which a proposal is adapted


class Mixture:
    """Mixtures of S t distributions for each of G galaxies."""

    def __init__(self, place: torch.Tensor, factor: torch.Tensor, share: torch.Tensor):
        self.place, self.factor, self.share = place, factor, share

    def of_rows(self, rows: torch.Tensor) -> Mixture:
        """Those of some galaxies."""
        return Mixture(self.place[rows], self.factor[rows], self.share[rows])

    def beside(self, other: Mixture, share: float) -> Mixture:
        """Both together, with a `share` of the other."""
        pairs = ((self.place, other.place), (self.factor, other.factor))
        shares = torch.cat([(1 - share) * self.share, share * other.share], 1)
        return Mixture(*(torch.cat(pair, 1) for pair in pairs), shares)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draws ``(G, n, d)``."""
        d = self.place.shape[-1]
        rows = torch.arange(len(self.place), device=self.place.device)[:, None]
        which = torch.multinomial(self.share, n, replacement=True, generator=generator)
        normal = torch.randn(*which.shape, d, generator=generator, dtype=torch.float64, device=self.place.device)
        # a chi-square of an even number of degrees of freedom is a sum of exponentials
        uniform = torch.rand(*which.shape, int(FREEDOM) // 2, generator=generator, device=self.place.device).double()
        stretch = (FREEDOM / (-2 * uniform.clamp(min=1e-12).log().sum(-1))).sqrt()
        return self.place[rows, which] + (self.factor[rows, which] @ normal[..., None])[..., 0] * stretch[..., None]

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """At ``(G, K, d)``: ``(G, K)``."""
        d = u.shape[-1]
        constant = math.lgamma((FREEDOM + d) / 2) - math.lgamma(FREEDOM / 2) - d / 2 * math.log(FREEDOM * math.pi)
        off = u[:, None] - self.place[:, :, None]
        scaled = torch.linalg.solve_triangular(self.factor, off.mT, upper=False)
        log_volume = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[..., None]
        each = constant - log_volume - (FREEDOM + d) / 2 * torch.log1p(scaled.square().sum(-2) / FREEDOM)
        return torch.logsumexp(each + self.share.clamp(min=1e-300).log()[..., None], dim=1)


def at_modes(found) -> Mixture:
    """The first proposal."""
    share = torch.softmax(0.7 * found.log_evidence, dim=1)
    share = torch.where(found.log_evidence.isfinite(), share.clamp(min=LEAST_SHARE), 0)
    return Mixture(found.place, torch.linalg.cholesky(WIDER * found.covariance), share / share.sum(1, keepdim=True))


def adapted(proposal: Mixture, u: torch.Tensor, log_weights: torch.Tensor) -> Mixture:
    """A proposal of the means and covariances of weighted draws ``(G, K, d)``, one for each part of the last.

    Weights are tempered first, until no few of them decide.
    """
    weights = torch.softmax(_tempered(log_weights) * log_weights, dim=1)
    off = u[:, None] - proposal.place[:, :, None]
    scaled = torch.linalg.solve_triangular(proposal.factor, off.mT, upper=False).square().sum(-2)
    log_volume = proposal.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[..., None]
    d = u.shape[-1]
    each = (
        -log_volume
        - (FREEDOM + d) / 2 * torch.log1p(scaled / FREEDOM)
        + proposal.share.clamp(min=1e-300).log()[..., None]
    )
    belongs = torch.softmax(each, dim=1) * weights[:, None]  # (G, S, K)
    share = belongs.sum(-1)
    means = (belongs @ u) / share.clamp(min=1e-12)[..., None]
    off = u[:, None] - means[:, :, None]
    covariance = (off * belongs[..., None]).mT @ off / share.clamp(min=1e-12)[..., None, None]
    old = proposal.factor @ proposal.factor.mT
    few = (share < 0.05)[..., None]
    means = torch.where(few, proposal.place, means)
    mixed = torch.where(few[..., None], old, ADAPTED_SHARE * covariance + (1 - ADAPTED_SHARE) * old)
    share = torch.where(proposal.share > 0, share.clamp(min=LEAST_SHARE), 0)
    return Mixture(means, torch.linalg.cholesky(ADAPTED_WIDER * mixed), share / share.sum(1, keepdim=True))


def effective(log_weights: torch.Tensor) -> torch.Tensor:
    """Effective number of draws: ``(G,)``."""
    weights = torch.softmax(log_weights, dim=1)
    return 1 / weights.square().sum(1)


def _tempered(log_weights: torch.Tensor) -> torch.Tensor:
    """Powers ``(G, 1)`` of the weights with which enough draws count."""
    power = torch.ones(len(log_weights), 1, dtype=torch.float64, device=log_weights.device)
    for _ in range(25):
        power = torch.where(effective(power * log_weights)[:, None] < EFFECTIVE, 0.8 * power, power)
    return power
