"""The posterior of shapes and fluxes, by an emulated likelihood, and draws from it."""

from __future__ import annotations

import copy
import math

import torch

from ._importance import Mixture, fitted, resampled
from ._light import drawn_fluxes, log_half_light_radius

FLUXES = 2  # draws of fluxes for each shape
N_HEAVY, HEAVY_SHARE = 6, 0.3  # parts of proposals at draws of large weights; their share
RADIUS = ("bulge_ln_radius", "disk_ln_radius", "bulge_sersic_index", "disk_sersic_index")


class Posterior:
    """Of galaxies, and the directions ``(G, d)`` about which angles are within half a turn."""

    def __init__(self, emulator, prior, about: torch.Tensor, generator: torch.Generator):
        self.emulator, self.prior, self.about, self.generator = emulator, prior, about, generator

    def of_rows(self, rows: torch.Tensor) -> Posterior:
        """That of some galaxies."""
        return Posterior(self.emulator.of_rows(rows), self.prior.of_rows(rows), self.about[rows], self.generator)

    def of_shapes(self, u: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Log density ``(G, K)`` of shapes, and one draw of the fluxes of each, by the names of `Refined.draws`."""
        fit, shapes = self.emulator.fit(u), self.emulator.coordinates.shapes(u)
        total, bulge, log_weight = drawn_fluxes(fit, FLUXES, self.generator)
        light = {"flux": total, "bulge_to_total": (bulge / total).clamp(0, 1)}
        if "half_light_radius" in self.prior.priors:
            light["half_light_radius"] = _half_light_radius(light["bulge_to_total"], shapes)
        log_weight = log_weight + self.prior.of_light(light)
        log_density = fit.log_evidence + self.prior.of_shapes(shapes, u) + self._within_half_turn(u)
        log_density = log_density + torch.logsumexp(log_weight, -1)
        chosen = resampled(log_weight.clamp(min=-1e6).flatten(0, 1), 1, self.generator).view(*u.shape[:2], 1)
        light = {name: values.gather(-1, chosen)[..., 0] for name, values in light.items()}
        return log_density.nan_to_num(nan=-torch.inf), {**light, **shapes}

    def _within_half_turn(self, u: torch.Tensor) -> torch.Tensor:
        """0 for directions within 90 degrees of those about which they are, -inf beyond: they come again."""
        total = torch.zeros_like(u[..., 0])
        for i, (name, one) in enumerate(self.emulator.coordinates.of.items()):
            if name.endswith("angle") and not one.known:
                total = torch.where((u - self.about[:, None])[..., i].abs() * one.unit <= 90, total, -torch.inf)
        return total


def with_radius(draws: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Draws ``(G, s)`` with the half-light radius of the whole."""
    if "half_light_radius" in draws:
        return draws
    every = {name: values[..., None] for name, values in draws.items()}
    return draws | {"half_light_radius": _half_light_radius(every["bulge_to_total"], draws)[..., 0]}


def _half_light_radius(bulge_to_total: torch.Tensor, shapes) -> torch.Tensor:
    return log_half_light_radius(bulge_to_total, *(shapes[name][..., None] for name in RADIUS)).exp()


class Sample:
    """Draws ``(G, K, d)`` of shapes from proposals that adapt to them, and their weights.

    Weights are those of all proposals as one (adaptive multiple importance sampling). That finds good proposals from
    few draws, but makes posteriors too narrow: where a draw in a tail has a large weight, proposals are raised, and
    its weight falls. So what counts are draws that come after.
    """

    def __init__(self, posterior: Posterior, proposal: Mixture, sizes):
        self.posterior, self.proposal = posterior, proposal
        self.used: list[tuple[int, Mixture]] = []
        self.log_each: list[torch.Tensor] = []  # log densities (G, K) of the proposals used, at all draws
        self.u, self.log_density = proposal.place[:, :0], proposal.share[:, :0]
        self.add(sizes)

    def add(self, sizes) -> None:
        """Draw so many more, from the proposal and those that it becomes."""
        for n in sizes:
            u, log_density, _ = self._drawn(n)
            self.u, self.log_density = torch.cat([self.u, u], 1), torch.cat([self.log_density, log_density], 1)
            for i, (_, one) in enumerate(self.used):
                self.log_each[i] = torch.cat([self.log_each[i], one.log_density(u)], 1)
            self.used.append((n, self.proposal))
            self.log_each.append(self.proposal.log_density(self.u))
            self.log_weights = self.log_density - self._log_proposals()
            heaviest, generator = self._heaviest(self.posterior.emulator), self.posterior.generator
            self.proposal = fitted(self.u, self.log_weights, generator).beside(heaviest, HEAVY_SHARE)

    def _drawn(self, n: int):
        u = self.posterior.emulator.coordinates.inside(self.proposal.draw(n, self.posterior.generator))
        return u, *self.posterior.of_shapes(u)

    def after(self, n: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Log weights ``(G, n)`` and draws, by the names of `Refined.draws`, from the proposal as it has become."""
        u, log_density, draws = self._drawn(n)
        return log_density - self.proposal.log_density(u), draws

    def of_rows(self, rows: torch.Tensor) -> Sample:
        """That of some galaxies."""
        some = copy.copy(self)
        some.posterior, some.proposal = self.posterior.of_rows(rows), self.proposal.of_rows(rows)
        some.used = [(n, proposal.of_rows(rows)) for n, proposal in self.used]
        some.log_each = [one[rows] for one in self.log_each]
        some.u, some.log_density, some.log_weights = self.u[rows], self.log_density[rows], self.log_weights[rows]
        return some

    def _heaviest(self, emulator) -> Mixture:
        """Parts at the draws of the largest weights, where proposals were too low (Raftery & Bao 2010)."""
        place = self._at(self.log_weights.topk(N_HEAVY).indices)
        covariance = torch.linalg.inv(emulator.expanded(place)[2])
        factor = torch.linalg.cholesky((covariance + covariance.mT) / 2)
        return Mixture(place, factor, torch.full_like(place[..., 0], 1 / N_HEAVY))

    def _at(self, rows: torch.Tensor) -> torch.Tensor:
        return self.u.gather(1, rows[..., None].expand(-1, -1, self.u.shape[-1]))

    def _log_proposals(self) -> torch.Tensor:
        total = sum(n for n, _ in self.used)
        shares = [math.log(n / total) for n, _ in self.used]
        return torch.logsumexp(torch.stack([share + one for share, one in zip(shares, self.log_each)]), 0)

    def shapes(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Shapes ``(G, n, d)`` of equal weight."""
        return self._at(resampled(self.log_weights, n, generator))
