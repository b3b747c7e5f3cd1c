"""Refinement of galaxies: modes, draws around them, and the weights that make these a posterior."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ._importance import Mixture, adapted, at_modes, effective
from ._light import drawn_fluxes, log_half_light_radius
from ._modes import climbed, modes
from ._pareto import pareto_smoothed

N_CANDIDATES = 24  # shapes that are looked at before the best of them climb
FIRST_STEPS, N_KEPT = 6, 2  # of all starts; so many of them, the best, climb on
STEPS = 24, 8, 6  # at most, of a climb; after it, the variances of pixels become those of the model that was found
FLUXES = 2  # draws of fluxes for each shape
LEAST_EFFECTIVE, LARGEST_K = 50.0, 0.7  # of draws of shapes; else there are more of them
MORE, FIRST_SHARE = 2, 0.3  # times as many draws then, this share of them from the first proposal


class Refined(NamedTuple):
    """Draws of G galaxies, and how far they can be relied on."""

    draws: dict[str, torch.Tensor]  # (G, s) by name of the parameter
    weights: torch.Tensor  # (G, s), of sum 1
    effective: torch.Tensor  # (G,), number of draws of shapes
    k_hat: torch.Tensor  # (G,)
    chi2: torch.Tensor  # (G,), per pixel, of the best shape, without an error of the model
    model_error: torch.Tensor  # (G,)


def refine(likelihood, prior, candidates: torch.Tensor, *, n_starts: int, n_samples: int, generator) -> Refined:
    """Refine the galaxies of a `Likelihood`, from shapes ``(G, n, d)`` that might be theirs."""
    found, chi2 = _search(likelihood, candidates, n_starts)
    n_shapes, first = -(-n_samples // FLUXES), at_modes(found)
    drawn = _Drawn(likelihood, prior, found.place[:, :1], first, n_shapes, generator)
    refined = drawn.weighed(chi2)
    poor = torch.nonzero((refined.effective < LEAST_EFFECTIVE) | ~(refined.k_hat < LARGEST_K))[:, 0]
    if len(poor):
        of_poor, some = first.of_rows(poor), (likelihood.of_rows(poor), prior.of_rows(poor), found.place[poor, :1])
        better = adapted(of_poor, drawn.shapes[poor], drawn.log_weights[poor])
        again = _Drawn(*some, better.beside(of_poor, FIRST_SHARE), MORE * n_shapes, generator)
        _replace(refined, poor, again.weighed(chi2[poor]), generator)
    return refined


def _search(likelihood, candidates: torch.Tensor, n_starts: int):
    """The modes, and χ² per pixel at the best of them."""
    rows = torch.arange(len(candidates), device=candidates.device)
    value, fluxes = likelihood.profile(candidates)
    order = value.argsort(1, descending=True)[:, :n_starts]
    u, fluxes = candidates[rows[:, None], order], fluxes[rows[:, None], order]
    likelihood.refer(fluxes[rows, 0])
    u, value, _, fluxes = climbed(likelihood, u, FIRST_STEPS)
    order = value.argsort(1, descending=True)[:, :N_KEPT]
    u, fluxes = u[rows[:, None], order], fluxes[rows[:, None], order]
    top = torch.zeros_like(rows)
    for i, steps in enumerate(STEPS):
        likelihood.refer(fluxes[rows, top])
        if i > 0:
            model = likelihood.model(u[rows, top], fluxes[rows, top])
            likelihood.weigh(model, fluxes[rows, top, 2], infer=i == len(STEPS) - 1)
        u, value, matrix, fluxes = climbed(likelihood, u, steps)
        top = value.argmax(1)
    return modes(u, value, matrix), likelihood.chi2(u[rows, top], fluxes[rows, top])


class _Drawn:
    """Draws of shapes from one proposal, which none of them had a part in: their weights are exact."""

    def __init__(self, likelihood, prior, about: torch.Tensor, proposal: Mixture, n: int, generator):
        self.likelihood, self.prior, self.about = likelihood, prior, about
        self.shapes = likelihood.coordinates.inside(proposal.draw(n, generator))
        self.part = self._posterior(self.shapes, generator)
        self.log_weights = self.part.pop("log_posterior") - proposal.log_density(self.shapes)

    def weighed(self, chi2: torch.Tensor) -> Refined:
        """All draws, with weights whose tail is smoothed."""
        smoothed, k_hat = (torch.as_tensor(a) for a in pareto_smoothed(self.log_weights.cpu().numpy()))
        weights = smoothed.to(self.log_weights)[..., None] * self.part["share"]
        draws = {name: values.flatten(1) for name, values in self.part.items() if name != "share"}
        error = self.likelihood.model_error
        k_hat = k_hat.to(self.log_weights)
        return Refined(draws, weights.flatten(1), effective(self.log_weights), k_hat, chi2, error)

    def _posterior(self, u: torch.Tensor, generator) -> dict[str, torch.Tensor]:
        """Parameters ``(G, K, fluxes)``, the log posterior of shapes ``(G, K)``, and the shares of their fluxes."""
        fit, shapes = self.likelihood.fit(u), self.likelihood.coordinates.shapes(u)
        total, bulge, log_weight = drawn_fluxes(fit, FLUXES, generator)
        bulge_to_total = (bulge / total).clamp(0, 1)
        ln_radius = log_half_light_radius(bulge_to_total, *(shapes[name][..., None] for name in RADIUS))
        of_light = {"flux": total, "bulge_to_total": bulge_to_total, "half_light_radius": ln_radius.exp()}
        log_weight = log_weight + self.prior.of_light(of_light)
        log_shapes = self.prior.of_shapes(shapes, u) + self._within_half_turn(u)
        log_posterior = fit.log_evidence + log_shapes + torch.logsumexp(log_weight, -1)
        return {
            **of_light,
            **{name: values[..., None].expand_as(total) for name, values in shapes.items()},
            "log_posterior": log_posterior.nan_to_num(nan=-torch.inf),
            "share": torch.softmax(log_weight.clamp(min=-1e6), -1),
        }

    def _within_half_turn(self, u: torch.Tensor) -> torch.Tensor:
        """0 for directions within 90 degrees of a mode's, -inf beyond: they come again."""
        total = torch.zeros_like(u[..., 0])
        for i, (name, one) in enumerate(self.likelihood.coordinates.of.items()):
            if name.endswith("angle") and not one.known:
                total = torch.where((u - self.about)[..., i].abs() * one.unit <= 90, total, -torch.inf)
        return total


RADIUS = ("bulge_ln_radius", "disk_ln_radius", "bulge_sersic_index", "disk_sersic_index")


def _replace(refined: Refined, rows: torch.Tensor, better: Refined, generator: torch.Generator) -> None:
    """Put better draws of some galaxies in the place of theirs: as many, of equal weight, evenly by their weights."""
    n = refined.weights.shape[1]
    offset = torch.rand(len(rows), 1, generator=generator, device=rows.device).double()
    at = (torch.arange(n, device=rows.device) + offset) / n
    chosen = torch.searchsorted(better.weights.cumsum(1), at).clamp(max=better.weights.shape[1] - 1)
    for name, values in refined.draws.items():
        values[rows] = better.draws[name].gather(1, chosen)
    refined.weights[rows] = 1 / n
    refined.effective[rows], refined.k_hat[rows] = better.effective, better.k_hat
