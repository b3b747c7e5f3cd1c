r"""By how much noise has to be larger for what bulge and disk do not describe of a galaxy."""

from __future__ import annotations

import math

import torch

LEAST_LEFT = 0.2  # share of the sums that fits leave at least, for galaxies of hardly more pixels than parameters


def noise_factor(residuals: torch.Tensor, fitted: torch.Tensor, psf_fwhm: torch.Tensor) -> torch.Tensor:
    r"""Factor ``(G,)`` of the noise, at least 1, that makes parameters scatter as what the best models leave does.

    Parameters
    ----------
    residuals : Tensor of shape (G, npix, npix)
        Images less best models, over the standard deviations of the noise.
    fitted : Tensor of shape (G, m, npix, npix)
        What was fitted to images, to first order, likewise.
    psf_fwhm : Tensor of shape (G,)
        In pixels.

    Notes
    -----
    Least squares with a model that is wrong scatter by the sandwich :math:`H^{-1} J H^{-1}` [1]_. With orthonormal
    directions q of all that was fitted, H is 1 and

    .. math:: J_{ll} = \sum_{x, y} q_l(x) r(x) K(x - y) q_l(y) r(y),

    with residuals r that are alike over a kernel K [2]_. Whatever of a galaxy the model lacks leaves residuals no
    sharper than the point-spread function, so K is the autocorrelation of a Gaussian of that width; what is larger
    than that, another camera sees as well. The mean of J over all directions, over what independent noise would give
    after the fit, is the square of the factor.

    References
    ----------
    .. [1] White 1982, Econometrica 50, 1.
    .. [2] Conley 1999, J. Econom. 92, 1.
    """
    npix, count = fitted.shape[-1], fitted.shape[1]
    basis = torch.linalg.qr(fitted.double().flatten(2).mT).Q.mT.unflatten(2, (npix, npix))
    lag = torch.arange(npix, dtype=torch.float64, device=fitted.device)
    width = psf_fwhm.double()[:, None, None] / math.sqrt(4 * math.log(2))  # √2 times the standard deviation
    kernel = torch.exp(-0.5 * ((lag[:, None] - lag) / width).square())[:, None]

    def alike(images: torch.Tensor) -> torch.Tensor:
        """Sums ``(G,)`` over pixels of images ``(G, m, npix, npix)`` and what they are smoothed."""
        return (images * (kernel @ images @ kernel)).sum((1, 2, 3))

    absorbed = sum(alike(basis * basis[:, i : i + 1]) for i in range(count))
    left = (count - absorbed).clamp(min=LEAST_LEFT * count)
    return (alike(basis * residuals.double()[:, None]) / left).clamp(min=1).sqrt()
