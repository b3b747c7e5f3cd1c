"""Refinement of galaxies: modes, draws around them, and the weights that make these a posterior."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch

from ._importance import Mixture, at_modes, effective, resampled
from ._modes import WORSE, Modes, climbed, modes
from ._pareto import LARGEST_K, pareto_smoothed
from ._posterior import Posterior, Sample, with_radius
from ._rendered import Rendered

N_CANDIDATES = 40  # shapes that are rendered first
N_STARTS, N_MODES = 16, 4  # from which to climb; that are kept
SEARCHES, N_AROUND, STEPS = 3, 6, 12  # searches for modes; shapes rendered around each mode; steps of a climb
FIRST, N_CHECKED = 48, 32  # shapes rendered from the first proposal, and to compare the emulated likelihood with
ROUGH, FINE = (400,), (300, 500, 700, 1000)  # draws from adapting proposals, before and after that
LAST, LEAST = 1.25, 1000  # draws after these, which make the posterior: for each that is asked for, and at least
PLENTY = 0.175  # effective ones for each that is asked for; where there are fewer, more are drawn
MORE, LAST_OF_MORE = (1000, 2000), 3.75  # from proposals that go on adapting, and after: for each that is asked for
AGAIN, ENOUGH = 3, 150.0  # so often, more is done for galaxies that have fewer effective draws
MISFIT = 1.5  # χ² per pixel of a model that does not describe its image
CLEARLY = 40.0  # by how much χ² is less where another search has found a better mode
LARGEST_ERROR = 0.2  # of an emulated log likelihood


class Refined(NamedTuple):
    """Draws of G galaxies, and how far they can be relied on."""

    draws: dict[str, torch.Tensor]  # (G, s) by name of the parameter
    effective: torch.Tensor  # (G,), number of draws of shapes
    k_hat: torch.Tensor  # (G,)
    error: torch.Tensor  # (G,), rms error of the emulated log likelihood
    chi2: torch.Tensor  # (G,), per pixel, of the best shape, by noise alone
    noise_factor: torch.Tensor  # (G,), for an error of the model

    def quality(self) -> torch.Tensor:
        """1 or more where draws can be relied on, the less the fewer are effective: ``(G,)``."""
        right = (self.k_hat < LARGEST_K) & (self.error < LARGEST_ERROR)
        return self.effective / ENOUGH * torch.where(right, 1, 1e-3)

    def replace(self, rows: torch.Tensor, others: Refined, which: torch.Tensor) -> None:
        """Put those of the others for `which` that holds in the place of galaxies."""
        for name, values in self.draws.items():
            values[rows[which]] = others.draws[name][which]
        for mine, theirs in zip(self[1:], others[1:]):
            mine[rows[which]] = theirs[which]


def refine(likelihood, prior, candidates: torch.Tensor, *, n_samples: int, generator) -> Refined:
    """Refine the galaxies of a `Likelihood`, from shapes ``(G, n, d)`` that might be theirs.

    Those that no shape describes are refined anew from the other half of the candidates, as their best mode is missed
    more easily, and the better is kept.
    """
    fresh = copy.copy(likelihood)
    first, second = candidates.chunk(2, 1)
    refined = _refined(likelihood, prior, first, n_samples, generator)
    rows = torch.nonzero(refined.chi2 > MISFIT)[:, 0]
    if len(rows):
        again = fresh.of_rows(rows), prior.of_rows(rows), second[rows]
        other = _refined(*again, n_samples, generator)
        better = (refined.chi2[rows] - other.chi2) * likelihood.n_pixels[rows] > CLEARLY
        refined.replace(rows, other, better)
    return refined


def _refined(likelihood, prior, candidates: torch.Tensor, n_samples: int, generator) -> Refined:
    rendered = Rendered(likelihood, candidates)
    found = _search(rendered, generator)
    about, proposal = found.place[:, 0], at_modes(found)
    refined, proposal = _sampled(rendered, prior, about, proposal, n_samples, generator)
    for _ in range(AGAIN):
        rows = torch.nonzero(refined.quality() < 1)[:, 0]
        if not len(rows):
            break
        some = rendered.of_rows(rows), prior.of_rows(rows), about[rows], proposal.of_rows(rows)
        other, others_proposal = _sampled(*some, n_samples, generator)
        proposal.replace(rows, others_proposal)
        refined.replace(rows, other, other.quality() > refined.quality()[rows])
    return refined


def _search(rendered: Rendered, generator) -> Modes:
    """The modes; they and what is around them are rendered, and climbed anew with these."""
    u, likelihood = rendered.u, rendered.likelihood
    for i in range(SEARCHES):
        emulator = rendered.emulator()
        value = -0.5 * emulator.fit(u).positive()[1] + emulator.coordinates.normal(u)
        start = _best_of_both(u, value, emulator.coordinates)
        place, value, matrix = climbed(emulator, start, STEPS)
        last = i == SEARCHES - 1
        found = modes(place, value, matrix, N_MODES, WORSE if last else torch.inf)
        around = at_modes(found).draw(N_MODES * (N_AROUND - 1), generator)
        fit = rendered.add(torch.cat([found.place, emulator.coordinates.inside(around)], 1))
        rendered.refer(fit, infer=likelihood.infers and last)
        u = torch.cat([found.place, start], 1)
    return found.widened(likelihood.noise_factor, likelihood.coordinates.known) if likelihood.infers else found


def _best_of_both(u: torch.Tensor, value: torch.Tensor, coordinates) -> torch.Tensor:
    """Shapes of the largest `value` ``(G, N_STARTS, d)``, in turns with smaller and with larger bulges than disks."""
    shapes = coordinates.shapes(u)
    larger = shapes["bulge_ln_radius"] > shapes["disk_ln_radius"]
    before = (value[:, None] > value[..., None]) & (larger[:, None] == larger[..., None])  # (G, N, N)
    order = before.sum(-1).argsort(dim=1, stable=True)[:, :N_STARTS]
    return u.gather(1, order[..., None].expand(-1, -1, u.shape[-1]))


def _sampled(rendered: Rendered, prior, about, proposal: Mixture, n_samples: int, generator):
    """Draws by an emulated likelihood, which is compared at some of them with the rendered one, and learns these."""
    inside = rendered.likelihood.coordinates.inside
    rendered.add(inside(proposal.draw(FIRST, generator)))
    emulator = rendered.emulator()
    sample = Sample(Posterior(emulator, prior, about, generator), proposal, ROUGH)
    shapes = sample.shapes(N_CHECKED, generator)
    fit = rendered.add(shapes)
    off = fit.log_evidence - emulator.fit(shapes).log_evidence
    error, chi2 = (off - off.mean(1, keepdim=True)).square().mean(1).sqrt(), rendered.chi2(fit)
    sample = Sample(Posterior(rendered.emulator(), prior, about, generator), sample.proposal, FINE)
    last = sample.after(max(LEAST, round(LAST * n_samples)))
    refined = _drawn(last, rendered.likelihood, error, chi2, n_samples, generator)
    rows = torch.nonzero(refined.effective < PLENTY * n_samples)[:, 0]
    if len(rows):
        some = sample.of_rows(rows)
        some.add(MORE)
        known = rendered.likelihood.of_rows(rows), error[rows], chi2[rows]
        last = some.after(max(LEAST, round(LAST_OF_MORE * n_samples)))
        others = _drawn(last, *known, n_samples, generator)
        refined.replace(rows, others, torch.ones_like(rows, dtype=torch.bool))
        sample.proposal.replace(rows, some.proposal)
    return refined, sample.proposal


def _drawn(weighted, likelihood, error: torch.Tensor, chi2: torch.Tensor, n: int, generator) -> Refined:
    """Draws of equal weight, from log weights and draws."""
    log_weights, draws = weighted
    k_hat = torch.as_tensor(pareto_smoothed(log_weights.cpu().numpy())[1]).to(error)
    chosen = resampled(log_weights, n, generator)
    draws = with_radius({name: values.gather(1, chosen) for name, values in draws.items()})
    return Refined(draws, effective(log_weights), k_hat, error, chi2, likelihood.noise_factor)
