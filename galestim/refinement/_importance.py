"""Importance sampling of shapes: mixtures of t distributions, at modes or fitted to weighted draws."""

from __future__ import annotations

import math

import torch

FREEDOM = 6.0  # degrees of freedom of the proposals
WIDER = 2.0  # than the curvature at a mode says, in variance: bent posteriors have far tails
LEAST_SHARE = 0.03  # of a mode
N_PARTS, N_STEPS = 8, 4  # of a fitted proposal; of its fit
N_FITTED = 1000  # draws that it is fitted to
EFFECTIVE = 120.0  # draws that weights are tempered for, to which a proposal is fitted
BEFORE = 60.0  # draws that the covariance of all counts for in a part's
DEFENSIVE, FAR = 0.1, 4.0  # share of a wide part of the proposal; its variance over that of the draws


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

    def replace(self, rows: torch.Tensor, others: Mixture) -> None:
        """Put others, of as many parts, in the place of some galaxies'."""
        self.place[rows], self.factor[rows], self.share[rows] = others.place, others.factor, others.share

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
        """Squared distances of ``(G, K, d)`` from each part, in its widths: ``(G, S, K)``, in float32."""
        one, middle = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device), self.place.mean(1, keepdim=True)
        inverse = torch.linalg.solve_triangular(self.factor, one.expand_as(self.factor), upper=False)
        place = ((self.place - middle)[:, :, None] @ inverse.mT).flatten(1)[:, None]
        # one product for all parts
        off = torch.baddbmm(place.float(), (u - middle).float(), inverse.flatten(1, 2).mT.float(), beta=-1)
        return off.square_().unflatten(-1, self.place.shape[1:]).sum(-1).mT

    def of_parts(self, scaled: torch.Tensor) -> torch.Tensor:
        """Log densities of the parts, with their shares, at such distances."""
        d = self.place.shape[-1]
        constant = math.lgamma((FREEDOM + d) / 2) - math.lgamma(FREEDOM / 2) - d / 2 * math.log(FREEDOM * math.pi)
        log_volume = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        highest = constant - log_volume + self.share.clamp(min=1e-30).log()
        return highest[..., None].to(scaled) - (FREEDOM + d) / 2 * torch.log1p(scaled / FREEDOM)

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """At ``(G, K, d)``: ``(G, K)``."""
        return torch.logsumexp(self.of_parts(self.scaled(u)), dim=1).double()


def at_modes(found) -> Mixture:
    """The first proposal."""
    share = torch.softmax(0.7 * found.log_evidence, dim=1)
    share = torch.where(found.log_evidence.isfinite(), share.clamp(min=LEAST_SHARE), 0)
    return Mixture(found.place, torch.linalg.cholesky(WIDER * found.covariance), share / share.sum(1, keepdim=True))


def fitted(u: torch.Tensor, log_weights: torch.Tensor, generator: torch.Generator) -> Mixture:
    """A proposal fitted to weighted draws ``(G, K, d)``, by expectation and maximization of several t distributions.

    Weights are tempered first, until no few of them decide. One part is wide, so that weights stay bounded.
    """
    chosen = resampled(_tempered(log_weights) * log_weights, N_FITTED, generator)
    draws = u.gather(1, chosen[..., None].expand(-1, -1, u.shape[-1]))
    middle = draws.mean(1, keepdim=True)
    whole = (draws - middle).mT @ (draws - middle) / N_FITTED
    width = torch.linalg.cholesky(whole + 1e-12 * torch.eye(u.shape[-1], device=u.device))
    own = torch.linalg.solve_triangular(width, (draws - middle).mT, upper=False).mT  # of draws, in their widths
    now = _parts(own.float(), generator)
    place, factor = middle + now.place.double() @ width.mT, width[:, None] @ now.factor.double()
    now = Mixture(place, factor, now.share.double())
    wide = Mixture(middle, FAR**0.5 * width[:, None], torch.ones_like(now.share[:, :1]))
    return now.beside(wide, DEFENSIVE)


def _parts(draws: torch.Tensor, generator: torch.Generator) -> Mixture:
    """Parts of draws ``(G, N_FITTED, d)`` whose covariance is 1."""
    n_galaxies, n_draws, d = draws.shape
    own = N_PARTS ** (-2 / d) * torch.eye(d, device=draws.device)  # of a part, when they share the draws evenly
    rows = torch.arange(n_galaxies, device=draws.device)[:, None]
    places = draws[rows, torch.randint(n_draws, (n_galaxies, N_PARTS), generator=generator, device=draws.device)]
    factor = own.sqrt().expand(n_galaxies, N_PARTS, -1, -1)
    now = Mixture(places, factor, torch.full_like(places[..., 0], 1 / N_PARTS))
    for _ in range(N_STEPS):
        scaled = now.scaled(draws)
        belongs = torch.softmax(now.of_parts(scaled), dim=1)  # (G, S, K)
        pull, count = belongs * (FREEDOM + d) / (FREEDOM + scaled), belongs.sum(-1)[..., None]
        places = (pull @ draws) / pull.sum(-1, keepdim=True).clamp(min=1e-12)
        off = draws[:, None] - places[:, :, None]
        covariance = ((off * pull[..., None]).mT @ off + BEFORE * own) / (count + BEFORE)[..., None]
        now = Mixture(places, torch.linalg.cholesky(covariance), (count[..., 0] + 1) / (n_draws + N_PARTS))
    return now


def resampled(log_weights: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """Rows ``(G, n)`` of draws in proportion to their weights, evenly."""
    offset = torch.rand(len(log_weights), 1, generator=generator, device=log_weights.device).double()
    at = (torch.arange(n, device=log_weights.device) + offset) / n
    share = torch.softmax(log_weights, 1).nan_to_num(nan=1 / log_weights.shape[1])  # none has a weight
    return torch.searchsorted(share.cumsum(1), at).clamp(max=log_weights.shape[1] - 1)


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
