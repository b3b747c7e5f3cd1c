"""Modes of the posteriors of shapes, by damped Gauss–Newton steps of many galaxies at once."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ._emulator import LOOSE

LONGEST = 1.0  # step in a coordinate
DAMPING = 1e-2  # at first
SAME = 3.0  # distance of modes that are one, squared, in their own widths
WORSE = 20.0  # than the best mode, in log evidence, that counts no more


class Modes(NamedTuple):
    """S modes of each of G galaxies: where, the inverse of the curvature there, and their log evidence."""

    place: torch.Tensor  # (G, S, d)
    covariance: torch.Tensor  # (G, S, d, d)
    log_evidence: torch.Tensor  # (G, S), -inf for those that are none

    def widened(self, factor: torch.Tensor, known: torch.Tensor) -> Modes:
        """What noise larger by a factor ``(G,)`` makes of them; coordinates that are `known` (d,) have a prior."""
        share = factor.double().square().reciprocal()[:, None, None, None]
        prior = torch.diag(known.to(self.place) + LOOSE * (1 - known.to(self.place)))
        matrix = share * torch.linalg.inv(self.covariance) + (1 - share) * prior
        covariance = torch.linalg.inv((matrix + matrix.mT) / 2)
        return Modes(self.place, (covariance + covariance.mT) / 2, share[..., 0, 0] * self.log_evidence)


def climbed(emulator, u: torch.Tensor, n_steps: int, enough: float = 0.02):
    """Climb from ``(G, S, d)`` to the modes: their places, the values there, and curvatures.

    A step is that of Levenberg (1944, Q. Appl. Math. 2, 164) and Marquardt; what does not get better is damped more.
    """
    u, (value, gradient, matrix, _) = u.clone(), emulator.expanded(u)
    damping = torch.full(u.shape[:2], DAMPING, dtype=torch.float64, device=u.device)
    for _ in range(n_steps):
        tried = _stepped(emulator, u, gradient, matrix, damping)
        found, slope, curvature, _ = emulator.expanded(tried)
        gain = found - value
        better = gain > 0
        u[better], value[better], gradient[better] = tried[better], found[better], slope[better]
        matrix[better] = curvature[better]
        damping = torch.where(better, 0.2 * damping, 8 * damping).clamp(1e-7, 1e7)
        if torch.where(better, gain < enough, damping > 1e3).all():
            break
    return u, value, matrix


def _stepped(emulator, u, gradient, matrix, damping) -> torch.Tensor:
    diagonal = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    step = -torch.linalg.solve(matrix + damping[..., None, None] * diagonal, gradient)
    shortened = step * (LONGEST / step.abs().amax(-1, keepdim=True)).clamp(max=1)
    return emulator.coordinates.inside(u + shortened)


def modes(u: torch.Tensor, value: torch.Tensor, matrix: torch.Tensor, n: int, worse: float) -> Modes:
    """The `n` best distinct ones of ``(G, S, d)``, the best first, with Laplace's approximation of their evidence.

    One whose evidence is below that of the best by more than `worse` is none.
    """
    covariance = torch.linalg.inv(matrix)
    covariance = (covariance + covariance.mT) / 2
    evidence = value + 0.5 * torch.logdet(covariance)
    order = evidence.argsort(1, descending=True)
    rows = torch.arange(len(u), device=u.device)[:, None]
    u, covariance, matrix, evidence = (
        u[rows, order],
        covariance[rows, order],
        matrix[rows, order],
        evidence[rows, order],
    )
    for s in range(1, u.shape[1]):
        off = u[:, :s] - u[:, s, None]
        distance = (off[..., None, :] @ matrix[:, :s] @ off[..., None])[..., 0, 0]
        again = ((distance < SAME * u.shape[-1]) & evidence[:, :s].isfinite()).any(1)
        evidence[:, s] = torch.where(again | (evidence[:, s] < evidence[:, 0] - worse), -torch.inf, evidence[:, s])
    order = evidence.argsort(1, descending=True)[:, :n]
    return Modes(u[rows, order], covariance[rows, order], evidence[rows, order])
