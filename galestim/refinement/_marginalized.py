"""What an image may hold beside the model, of known shapes and unknown amounts: a covariance of few ranks."""

from __future__ import annotations

import torch


def whitening(columns: torch.Tensor) -> torch.Tensor:
    r"""What takes such light out of images ``(…, p)``, so that products are those of its covariance and the noise's.

    Parameters
    ----------
    columns : Tensor of shape (G, k, p)
        Images over the standard deviations of their pixels, times those of their amounts, which are normal.

    Returns
    -------
    Tensor of shape (G, p, k)
        R, with which :math:`c - R R^T c` has independent pixels of variance 1.

    Notes
    -----
    The covariance is :math:`Σ = 1 + A A^T`. With :math:`A^T A = V S^2 V^T` its root is

    .. math:: Σ^{-1/2} = 1 - A V \operatorname{diag}\left(\frac{1 - (1 + S^2)^{-1/2}}{S^2}\right) V^T A^T.
    """
    columns = columns.double()
    square, vectors = torch.linalg.eigh(columns @ columns.mT)
    square = square.clamp(min=0)[:, None]
    root = (1 + square).sqrt()
    return columns.mT @ vectors / (root * (root + 1)).sqrt()  # (1 - 1 / root) / square


def whitened(images: torch.Tensor, taken: torch.Tensor | None) -> torch.Tensor:
    """Images ``(G, K, p)`` over the noise, without what `taken` (G, p, k) takes out; in float64: little is left."""
    if taken is None:
        return images
    images = images.double()
    return images - (images @ taken) @ taken.mT
