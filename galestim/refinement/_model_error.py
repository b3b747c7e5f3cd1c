r"""By how much noise has to be larger for what bulge and disk do not describe of a galaxy."""

from __future__ import annotations

import torch

LEAST_LEFT = 0.2  # share of the sum that fits leave at least, for galaxies of hardly more pixels than parameters


def noise_factor(residuals: torch.Tensor, fitted: torch.Tensor) -> torch.Tensor:
    r"""Factor ``(G,)`` of the noise, at least 1, that makes parameters scatter as what the best models leave does.

    Parameters
    ----------
    residuals : Tensor of shape (G, p)
        Images less best models, over the standard deviations of the noise.
    fitted : Tensor of shape (G, m, p)
        What was fitted to images, to first order, likewise.

    Notes
    -----
    Least squares with a model that is wrong scatter by the sandwich :math:`H^{-1} J H^{-1}` [1]_. With orthonormal
    directions q of all that was fitted, H is 1 and :math:`J_{ll} = \sum_x q_l(x)^2 r(x)^2` for residuals r that are
    independent. So the square of the factor is the mean of r², weighted by the leverage
    :math:`p(x) = \sum_l q_l(x)^2` of pixels, over what noise leaves after the fit, which is 1 − p.

    References
    ----------
    .. [1] White 1982, Econometrica 50, 1.
    """
    leverage = torch.linalg.qr(fitted.double().mT).Q.square().sum(-1)
    left = (leverage * (1 - leverage)).sum(1).clamp(min=LEAST_LEFT * fitted.shape[1])
    return ((leverage * residuals.double().square()).sum(1) / left).clamp(min=1).sqrt()
