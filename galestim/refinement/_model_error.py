r"""What bulge and disk cannot describe of a galaxy: relative deviations of its light, alike over a part of it.

Arms, bars and rings are the larger the farther out they are, so deviations are smooth in the logarithm of the radius
and in the direction: they are sums of bumps there, of independent normal amounts. How large these are differs from
ring to ring.
"""

from __future__ import annotations

import math

import torch

CORE = 0.5  # radius [FWHM of the point-spread function] within which light is smooth: bumps are even there
FACTOR, RINGS, DIRECTIONS = 1.8, 9, 6  # of radii from one ring of bumps to the next; rings; bumps in one
RING = torch.tensor([0, *(1 + i // DIRECTIONS for i in range(DIRECTIONS * (RINGS - 1)))])  # of each bump
USUAL = 0.2  # share of the light by which galaxies deviate: the prior is half of a normal distribution
N_STEPS = 40  # of expectation and maximization
SIGNIFICANT = 2.0 * RINGS  # gain of twice the log likelihood over that without an error (Akaike's criterion)


def bumps(npix: int, psf_fwhm: torch.Tensor) -> torch.Tensor:
    """Relative deviations ``(G, k, npix²)``, which are 1 in all.

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
    rings = [_bump(ring.clamp(max=RINGS - 1) - i) for i in range(RINGS)]
    return torch.stack([rings[0], *(one * part for one in rings[1:] for part in around)], dim=1)


def _bump(distance: torch.Tensor) -> torch.Tensor:
    """Of width 1; those at all whole numbers add up to 1."""
    return torch.cos(0.5 * math.pi * distance.clamp(-1, 1)).square()


def likely_shares(residuals: torch.Tensor, deviations: torch.Tensor, fitted: torch.Tensor) -> torch.Tensor:
    """Most likely standard deviations ``(G, k)`` of the amounts of bumps, alike in a ring; 0 if not significant.

    Parameters
    ----------
    residuals : Tensor of shape (G, p)
        Images less models, over the standard deviations of the noise.
    deviations : Tensor of shape (G, k, p)
        Likewise, of bumps of amount 1.
    fitted : Tensor of shape (G, m, p)
        What was fitted to images, to first order; of this residuals say nothing (restricted maximum likelihood).
    """
    basis = torch.linalg.qr(fitted.double().mT).Q
    both = torch.cat([deviations, residuals[:, None]], 1).double()
    both = both - (both @ basis) @ basis.mT
    square, pull = both[:, :-1] @ both[:, :-1].mT, (both[:, :-1] @ both[:, -1:].mT)[..., 0]
    ring = RING.to(square.device)
    member = torch.nn.functional.one_hot(ring).to(square)  # (k, RINGS)
    number, variance = member.sum(0), torch.full((len(square), RINGS), (USUAL / 2) ** 2).to(square)
    for _ in range(N_STEPS):  # Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39, 1
        mean, covariance = _amounts(square, pull, variance[:, ring])
        total = (mean.square() + covariance.diagonal(dim1=-2, dim2=-1)) @ member
        variance = 0.5 * USUAL**2 * ((number.square() + 4 * total / USUAL**2).sqrt() - number)
    mean, covariance = _amounts(square, pull, variance[:, ring])
    log_volume = torch.logdet(covariance) - variance[:, ring].clamp(min=1e-12).log().sum(-1)
    gain = (pull * mean).sum(-1) + log_volume
    return torch.where(gain[:, None] > SIGNIFICANT, variance[:, ring].sqrt(), 0)


def _amounts(square: torch.Tensor, pull: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean ``(G, k)`` and covariance of the amounts of bumps, of these variances before images are seen."""
    covariance = torch.linalg.inv(square + torch.diag_embed(1 / variance.clamp(min=1e-12)))
    return (covariance @ pull[..., None])[..., 0], covariance
