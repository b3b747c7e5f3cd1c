"""Modes of the posteriors of shapes, by damped Gauss–Newton steps of many galaxies at once."""

from __future__ import annotations

from typing import NamedTuple

import torch

LONGEST = 1.0  # step in a coordinate
DAMPING = 1e-2  # at first
SAME = 3.0  # distance of modes that are one, squared, in their own widths
WORSE = 20.0  # than the best mode, in log evidence, that counts no more


class Modes(NamedTuple):
    """S modes of each of G galaxies: where, the inverse of the curvature there, and their log evidence."""

    place: torch.Tensor  # (G, S, d)
    covariance: torch.Tensor  # (G, S, d, d)
    log_evidence: torch.Tensor  # (G, S), -inf for those that are none


def climbed(likelihood, u: torch.Tensor, n_steps: int, enough: float = 0.02):
    """Climb from ``(G, S, d)`` to the modes: their places, the values there, curvatures, and the best fluxes.

    A step is that of Levenberg (1944, Q. Appl. Math. 2, 164) and Marquardt; what does not get better is damped more.
    Galaxies that have arrived rest.
    """
    state = [u, *likelihood.expanded(u)]
    damping = torch.full(u.shape[:2], DAMPING, dtype=torch.float64, device=u.device)
    moving = torch.arange(len(u), device=u.device)
    for _ in range(n_steps):
        here = [part[moving] for part in state]
        tried = _stepped(likelihood, here[0], here[2], here[3], damping[moving])
        new = [tried, *likelihood.of_rows(moving).expanded(tried)]
        gain = new[1] - here[1]
        better = gain > 0
        for part, found, old in zip(state, new, here):
            part[moving] = torch.where(better.view(*better.shape, *[1] * (old.ndim - 2)), found, old)
        damping[moving] = torch.where(better, 0.2 * damping[moving], 8 * damping[moving]).clamp(1e-7, 1e7)
        arrived = torch.where(better, gain < enough, damping[moving] > 1e3).all(1)
        moving = moving[~arrived]
        if not len(moving):
            break
    u, value, _, matrix, fluxes = state
    return u, value, matrix, fluxes


def _stepped(likelihood, u, gradient, matrix, damping) -> torch.Tensor:
    diagonal = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    step = -torch.linalg.solve(matrix + damping[..., None, None] * diagonal, gradient)
    shortened = step * (LONGEST / step.abs().amax(-1, keepdim=True)).clamp(max=1)
    return likelihood.coordinates.inside(u + shortened)


def modes(u: torch.Tensor, value: torch.Tensor, matrix: torch.Tensor) -> Modes:
    """The distinct ones of ``(G, S, d)``, the best first, with Laplace's approximation of their evidence."""
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
        evidence[:, s] = torch.where(again | (evidence[:, s] < evidence[:, 0] - WORSE), -torch.inf, evidence[:, s])
    return Modes(u, covariance, evidence)
