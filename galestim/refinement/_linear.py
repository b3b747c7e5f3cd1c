"""What enters a model linearly: fluxes of components and the level of the sky, solved for given shapes."""

from __future__ import annotations

from typing import NamedTuple

import torch

ROUNDING = 1e-5  # of products, relative
FAINTEST = 1e-4  # of a component, as a share of the flux, so that its shape still has derivatives


class Fit(NamedTuple):
    """What K shapes of G galaxies make of their images, each with its best fluxes and level of the sky.

    Attributes
    ----------
    log_evidence : Tensor of shape (G, K)
        Logarithm of the integral of the likelihood over fluxes and sky, as if fluxes had no limits and a flat prior.
    best : Tensor of shape (G, K, 3)
        Fluxes of bulge and disk, level of the sky: the mean of their conditional normal distribution.
    factor : Tensor of shape (G, K, 3, 3)
        Cholesky factor of its precision.
    chi2 : Tensor of shape (G, K)
        At `best`.
    """

    log_evidence: torch.Tensor
    best: torch.Tensor
    factor: torch.Tensor
    chi2: torch.Tensor

    def positive(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The best fluxes of which none is negative, and χ² there: with one fixed next to 0, the others follow."""
        fluxes = self.best
        covariance = torch.cholesky_inverse(self.factor)
        for i in range(fluxes.shape[-1] - 1):
            least = FAINTEST * self.best[..., :-1].sum(-1).abs()
            lack = (least - self.best[..., i]).clamp(min=0)
            fluxes = fluxes + lack[..., None] * covariance[..., i] / covariance[..., i, i, None]
        fluxes = torch.cat([fluxes[..., :-1].clamp(min=1e-30), fluxes[..., -1:]], dim=-1)
        off = (self.factor.mT @ (fluxes - self.best)[..., None])[..., 0].square().sum(-1)
        return fluxes, self.chi2 + off


def products(components: torch.Tensor, others: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Of components ``(G, K, c, p)``, and a level ``(G, p)``, with others ``(G, K, m, p)``: ``(G, K, c + 1, m)``."""
    of_level = (others.flatten(1, 2) @ level[:, :, None]).view(*others.shape[:2], 1, -1)
    return torch.cat([components @ others.mT, of_level], dim=2).double()


def solved(components, residuals, level, level_precision, reference) -> Fit:
    """Solve for fluxes and level.

    Parameters
    ----------
    components : Tensor of shape (G, K, c, p)
        Images of flux 1, over the standard deviations of their pixels.
    residuals : Tensor of shape (G, K, p)
        Likewise, from a model of `reference` fluxes and level ``(G, c + 1)``.
    level : Tensor of shape (G, p)
        A level of 1, likewise.
    level_precision : Tensor of shape (G,)
        Of the prior of the level, about 0.
    """
    precision = products(components, components, level)
    square = (level.double().square().sum(1) + level_precision)[:, None, None]
    last = torch.cat([precision[..., -1, :], square.expand(*precision.shape[:2], 1)], dim=-1)
    precision = torch.cat([precision, last[..., None]], dim=-1)
    pull = products(components, residuals[:, :, None], level)[..., 0]
    pull[..., -1] -= level_precision[:, None] * reference[:, None, -1]
    scale = precision.diagonal(dim1=-2, dim2=-1).sqrt().clamp(min=1e-30)  # of components without light
    scaled = precision / (scale[..., :, None] * scale[..., None, :])
    scaled.diagonal(dim1=-2, dim2=-1).add_(1e-9)  # two components of one shape
    factor, failed = torch.linalg.cholesky_ex(scaled)
    if failed.any():  # products of float32 are right to 1e-7
        wider = scaled[failed > 0] + ROUNDING * torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
        factor[failed > 0] = torch.linalg.cholesky(wider)
    factor = factor * scale[..., None]
    step = torch.cholesky_solve(pull[..., None], factor)[..., 0]
    fixed = level_precision[:, None] * reference[:, None, -1].double().square()
    chi2 = residuals.square().sum(-1).double() + fixed - (pull * step).sum(-1)
    log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return Fit(-0.5 * chi2 - log_determinant, reference[:, None] + step, factor, chi2)
