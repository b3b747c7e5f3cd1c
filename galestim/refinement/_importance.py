"""Importance sampling of shapes: mixtures of t distributions, at modes or fitted to weighted draws."""

from __future__ import annotations

import math

import torch

FREEDOM = 6.0  # degrees of freedom of the proposals
WIDER = 2.0  # than the curvature at a mode says, in variance: bent posteriors have far tails
LEAST_SHARE = 0.03  # of a mode
ADAPTED_WIDER = 1.5  # in variance, than weighted draws are
BEFORE = 22.0  # draws that the covariance before them counts for
EFFECTIVE = 60.0  # draws that weights are tempered for, to which a proposal is fitted
N_STEPS = 3  # of the fit


class Mixture:
    """Mixtures of S t distributions for each of G galaxies."""

    def __init__(self, place: torch.Tensor, factor: torch.Tensor, share: torch.Tensor):
        self.place, self.factor, self.share = place, factor, share

    def of_rows(self, rows: torch.Tensor) -> Mixture:
        """Those of some galaxies."""
        return Mixture(self.place[rows], self.factor[rows], self.share[rows])

    def beside(self, other: Mixture, share: float) -> Mixture:
        """Both together, with a `share` of the other."""
        place = torch.cat([self.place, other.place], 1)
        factor = torch.cat([self.factor, other.factor], 1)
        return Mixture(place, factor, torch.cat([(1 - share) * self.share, share * other.share], 1))

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

    def scaled(self, u: torch.Tensor) -> torch.Tensor:
        """Squared distances of ``(G, K, d)`` from each part, in its widths: ``(G, S, K)``."""
        off = u[:, None] - self.place[:, :, None]
        return torch.linalg.solve_triangular(self.factor, off.mT, upper=False).square().sum(-2)

    def of_parts(self, scaled: torch.Tensor) -> torch.Tensor:
        """Log densities of the parts, with their shares, at such distances."""
        d = self.place.shape[-1]
        constant = math.lgamma((FREEDOM + d) / 2) - math.lgamma(FREEDOM / 2) - d / 2 * math.log(FREEDOM * math.pi)
        log_volume = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[..., None]
        each = constant - log_volume - (FREEDOM + d) / 2 * torch.log1p(scaled / FREEDOM)
        return each + self.share.clamp(min=1e-300).log()[..., None]

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """At ``(G, K, d)``: ``(G, K)``."""
        return torch.logsumexp(self.of_parts(self.scaled(u)), dim=1)


def at_modes(found) -> Mixture:
    """The first proposal."""
    share = torch.softmax(0.7 * found.log_evidence, dim=1)
    share = torch.where(found.log_evidence.isfinite(), share.clamp(min=LEAST_SHARE), 0)
    return Mixture(found.place, torch.linalg.cholesky(WIDER * found.covariance), share / share.sum(1, keepdim=True))


def adapted(proposal: Mixture, u: torch.Tensor, log_weights: torch.Tensor) -> Mixture:
    """A proposal fitted to weighted draws ``(G, K, d)`` by expectation and maximization, from the last one.

    Weights are tempered first, until no few of them decide; parts with few draws stay as they are.
    """
    weights = torch.softmax(_tempered(log_weights) * log_weights, dim=1)
    count, d, before = 1 / weights.square().sum(1, keepdim=True), u.shape[-1], proposal.factor @ proposal.factor.mT
    now = proposal
    for _ in range(N_STEPS):
        scaled = now.scaled(u)
        belongs = torch.softmax(now.of_parts(scaled), dim=1) * weights[:, None]  # (G, S, K)
        pull, share = belongs * (FREEDOM + d) / (FREEDOM + scaled), belongs.sum(-1)
        few = (count * share < 3)[..., None]
        means = (pull @ u) / pull.sum(-1, keepdim=True).clamp(min=1e-12)
        means = torch.where(few, proposal.place, means)
        off = u[:, None] - means[:, :, None]
        covariance = (off * pull[..., None]).mT @ off / share.clamp(min=1e-12)[..., None, None]
        old = torch.where(few, 1.0, BEFORE / (count * share + BEFORE)[..., None])[..., None]
        factor = torch.linalg.cholesky(old * before + (1 - old) * covariance)
        share = torch.where(proposal.share > 0, share.clamp(min=LEAST_SHARE), 0)
        now = Mixture(means, factor, share / share.sum(1, keepdim=True))
    return Mixture(now.place, now.factor * math.sqrt(ADAPTED_WIDER), now.share)


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
