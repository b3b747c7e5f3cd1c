"""What a bulge and a disk cannot describe of a galaxy: how much light it is, and how many pixels are alike."""

from __future__ import annotations

import torch

SIGNIFICANT = 2.0  # standard deviations of the error by which it must be above that of noise alone


def inferred_model_error(residuals: torch.Tensor, model: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    r"""Error of models, as a share of their light in a pixel, that remains in sums over many.

    Parameters
    ----------
    residuals, model, variance : Tensor of shape (G, npix, npix)
        Images less models; models without sky; variance of the noise, infinite where a pixel is bad.

    Returns
    -------
    Tensor of shape (G,)
        0 where residuals are not significantly above noise.

    Notes
    -----
    Squares of residuals are those of noise plus f² m², with the light m of the model; f is the estimate with the
    least variance. What arms, bars and rings leave is alike over A pixels, as far as the autocorrelation of the
    residuals says, so that √A f remains where independent errors would average out.
    """
    good = torch.isfinite(variance)
    variance, light = torch.where(good, variance, 1), model.clamp(min=0).double() * good
    square, excess = light.square(), (residuals.double().square() - variance) * good
    share = torch.zeros(len(model), 1, 1, dtype=torch.float64, device=model.device)
    for _ in range(5):
        weight = good / (variance + share * square).square()
        information = (weight * square.square()).sum((1, 2), keepdim=True).clamp(min=1e-300)
        share = ((weight * square * excess).sum((1, 2), keepdim=True) / information).clamp(min=0)
    share = (share - SIGNIFICANT * (2 / information).sqrt()).clamp(min=0)
    of_model = share * square / (variance + share * square)
    alike = _alike(
        torch.nan_to_num(residuals.double()) * good * of_model / variance.sqrt(), variance, of_model, share, square
    )
    return (share[:, 0, 0] * alike).sqrt()


def _alike(weighted, variance, of_model, share, square) -> torch.Tensor:
    """Number of pixels over which residuals are alike: the sum of their autocorrelation, where it is largest."""
    npix = weighted.shape[-1]
    power = torch.fft.rfft2(weighted, s=(2 * npix, 2 * npix)).abs().square()
    correlation = torch.fft.irfft2(power, s=(2 * npix, 2 * npix))
    lag = torch.fft.fftfreq(2 * npix, 1 / (2 * npix), dtype=torch.float64, device=weighted.device)
    distance = torch.hypot(lag[:, None], lag)
    sums = torch.stack([(correlation * (distance <= reach)).sum((1, 2)) for reach in range(npix // 4)])
    noise = of_model.square().sum((1, 2))
    alone = (of_model.square() * share * square / variance).sum((1, 2)).clamp(min=1e-300)
    return ((sums.amax(0) - noise) / alone).clamp(min=1)
