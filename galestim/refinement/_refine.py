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
FLUXES = 4  # draws of fluxes for each shape
MOST_ROUNDS, LEAST_DRAWS = 5, 80  # of draws of shapes, between which the proposal is adapted
FIRST_SHARE = 0.4  # of draws from the first proposal, in all rounds
LEAST_EFFECTIVE, LARGEST_K = 50.0, 0.7  # of draws of shapes; else there are more of them
MORE = 2  # times as many draws then


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
    n_shapes = -(-n_samples // FLUXES)
    drawn = _Drawn(likelihood, prior, found.place[:, :1], at_modes(found))
    n_rounds = min(MOST_ROUNDS, n_shapes // LEAST_DRAWS)
    for i in range(n_rounds):
        drawn.more(n_shapes // n_rounds + (i < n_shapes % n_rounds), generator)
    refined = drawn.weighed(chi2)
    poor = torch.nonzero((refined.effective < LEAST_EFFECTIVE) | ~(refined.k_hat < LARGEST_K))[:, 0]
    if len(poor):
        again = drawn.of_rows(poor)
        for _ in range(MOST_ROUNDS):
            again.more(MORE * n_shapes // MOST_ROUNDS, generator)
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
    """Draws of shapes in rounds, each from a proposal that those before it adapted."""

    def __init__(self, likelihood, prior, about: torch.Tensor, first: Mixture):
        self.likelihood, self.prior, self.about = likelihood, prior, about
        self.first, self.adapted = first, first
        self.shapes: list[torch.Tensor] = []
        self.parts: list[dict[str, torch.Tensor]] = []

    def of_rows(self, rows: torch.Tensor) -> _Drawn:
        """Those of some galaxies."""
        some = _Drawn(
            self.likelihood.of_rows(rows),
            self.prior.of_rows(rows),
            self.about[rows],
            self.first.of_rows(rows),
        )
        some.adapted = self.adapted.of_rows(rows)
        some.shapes = [u[rows] for u in self.shapes]
        some.parts = [{name: values[rows] for name, values in part.items()} for part in self.parts]
        return some

    def more(self, n: int, generator: torch.Generator) -> None:
        """Another round of `n`."""
        if self.shapes:
            self.adapted = adapted(self.adapted, torch.cat(self.shapes, 1), self.log_weights())
        proposal = self.adapted.beside(self.first, FIRST_SHARE)  # so that no tail is forgotten
        u = self.likelihood.coordinates.inside(proposal.draw(n, generator))
        part = self._posterior(u, generator)
        part["log_weight"] = part.pop("log_posterior") - proposal.log_density(u)
        self.shapes.append(u)
        self.parts.append(part)

    def log_weights(self) -> torch.Tensor:
        """Of all draws, each by the proposal that it came from.

        That of all proposals together would vary less, but those that came later were made of the earlier draws, and
        that makes posteriors too narrow, by 8 % where they are bent.
        """
        return torch.cat([part["log_weight"] for part in self.parts], 1)

    def weighed(self, chi2: torch.Tensor) -> Refined:
        """All draws, with weights whose tail is smoothed."""
        log_weights = self.log_weights()
        smoothed, k_hat = pareto_smoothed(log_weights.cpu().numpy())
        together = {name: torch.cat([part[name] for part in self.parts], 1) for name in self.parts[0]}
        weights = torch.as_tensor(smoothed).to(log_weights)[..., None] * together.pop("share")
        del together["log_weight"]
        draws = {name: values.flatten(1) for name, values in together.items()}
        k_hat = torch.as_tensor(k_hat).to(log_weights)
        return Refined(draws, weights.flatten(1), effective(log_weights), k_hat, chi2, self.likelihood.model_error)

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
