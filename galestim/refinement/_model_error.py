r"""What bulge and disk cannot describe of a galaxy: relative deviations of its light, alike over a part of it.

Arms, bars and rings are the larger the farther out they are, so deviations are smooth in the logarithm of the radius
and in the direction: they are a sum of bumps there, of independent normal amounts.
"""

from __future__ import annotations

import math

import torch

CORE = 0.5  # radius [FWHM of the point-spread function] within which light is smooth: bumps are even there
FACTOR, DIRECTIONS = 1.8, 6  # of radii from one ring of bumps to the next; bumps in a ring
SHARES = torch.cat([torch.zeros(1), torch.logspace(-3, 0, 121)]).double()  # errors that are tried
SIGNIFICANT = 2.0  # gain of twice the log likelihood over that without an error


def bumps(npix: int, psf_fwhm: torch.Tensor) -> torch.Tensor:
    """Relative deviations ``(G, k, npix²)``, of 1 at the places where they are largest.

    Parameters
    ----------
    npix : int
    psf_fwhm : Tensor of shape (G,)
        In pixels.
    """
    at = torch.arange(npix, dtype=psf_fwhm.dtype, device=psf_fwhm.device) - (npix - 1) / 2
    x, y = at.repeat(npix), at.repeat_interleave(npix)
    ring = torch.asinh(torch.hypot(x, y) / (CORE * psf_fwhm[:, None])) / math.log(FACTOR)
    direction = torch.atan2(y, x) * (DIRECTIONS / (2 * math.pi))
    around = [_bump((direction - i + DIRECTIONS / 2) % DIRECTIONS - DIRECTIONS / 2) for i in range(DIRECTIONS)]
    rings = [_bump(ring - i) for i in range(int(ring.max()) + 2)]
    return torch.stack([rings[0], *(one * part for one in rings[1:] for part in around)], dim=1)


def _bump(distance: torch.Tensor) -> torch.Tensor:
    """Of width 1; those at all whole numbers add up to 1."""
    return torch.cos(0.5 * math.pi * distance.clamp(-1, 1)).square()


def likely_share(residuals: torch.Tensor, deviations: torch.Tensor, fitted: torch.Tensor) -> torch.Tensor:
    """Most likely standard deviation ``(G,)`` of the amounts of deviations; 0 if it is not significant.

    Parameters
    ----------
    residuals : Tensor of shape (G, p)
        Images less models, over the standard deviations of the noise.
    deviations : Tensor of shape (G, k, p)
        Likewise, of amount 1.
    fitted : Tensor of shape (G, m, p)
        What was fitted to images, to first order; of this residuals say nothing (restricted maximum likelihood).
    """
    basis = torch.linalg.qr(fitted.double().mT).Q
    deviations, residuals = (
        one.double() - (one.double() @ basis) @ basis.mT for one in (deviations, residuals[:, None])
    )
    square, vectors = torch.linalg.eigh(deviations @ deviations.mT)
    square = square.clamp(min=1e-9)[:, None]  # (G, 1, k)
    amount = (residuals @ deviations.mT @ vectors).square() / square
    variance = 1 + SHARES.to(square)[:, None].square() * square  # (G, shares, k)
    log_likelihood = -0.5 * (amount / variance + variance.log()).sum(-1)
    best, row = log_likelihood.max(1)
    known = 2 * (best - log_likelihood[:, 0]) > SIGNIFICANT
    return torch.where(known, SHARES.to(square)[row], 0)
