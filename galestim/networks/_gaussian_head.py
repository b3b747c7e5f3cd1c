"""Mixture-of-Gaussians head: raw outputs of a network to a posterior, and the likelihood that trains it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator

MAX_LOG_SCALE, MAX_ENTRY = 10.0, 100.0  # in units of standardized targets


class GaussianMixture(NamedTuple):
    """Mixtures of M Gaussians over k targets, one per galaxy; any leading shape ``(…)``."""

    log_weights: torch.Tensor  # (..., M), normalized
    means: torch.Tensor  # (..., M, k)
    scale_trils: torch.Tensor  # (..., M, k, k), lower-triangular Cholesky factors of the covariances

    def log_prob(self, y: torch.Tensor, y_variance: torch.Tensor | None = None) -> torch.Tensor:
        """Log density at `y` ``(..., k)``; `y_variance` of its own errors is added to each component's covariance."""
        trils = self.scale_trils if y_variance is None else _widened(self.scale_trils, y_variance)
        offset = (y.unsqueeze(-2) - self.means).unsqueeze(-1)
        whitened = torch.linalg.solve_triangular(trils, offset, upper=False).squeeze(-1)
        log_det = trils.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        k = y.shape[-1]
        log_density = -0.5 * (whitened.square().sum(-1) + k * math.log(2 * math.pi)) - log_det
        return torch.logsumexp(self.log_weights + log_density, dim=-1)


def _widened(trils: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Cholesky factors of L Lᵀ + diag(variance)."""
    return torch.linalg.cholesky(trils @ trils.mT + torch.diag_embed(variance).unsqueeze(-3))


class GaussianHead(BaseEstimator):
    r"""The meaning of a network's outputs: a full-covariance Gaussian, or a mixture of several, over the targets.

    Of each component's (3k + k²)/2 numbers the first k are its mean μ, the next k the logarithms of D and the rest,
    row by row, the strict lower triangle of the unit-triangular L in :math:`Σ = L D L^T` [1]_. A mixture has one
    more number per component, the logarithm of its weight, in front of all else.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_mixture : int, default=1
        Number of Gaussians.
    bounded : bool, default=True
        Whether to keep standard deviations within e^±10 (of standardized targets), entries of L within ±100, by
        saturating smoothly; neither can then overflow. False is the published form.

    References
    ----------
    .. [1] Ghosh et al. 2022, ApJ 935, 138: GaMPEN, section 3.3.

    Examples
    --------
    >>> import torch
    >>> head = GaussianHead(n_mixture=2)
    >>> head.n_outputs(n_targets=3)
    20
    >>> mixture = head(torch.zeros(5, 20), n_targets=3)
    >>> mixture.means.shape, mixture.log_prob(torch.zeros(5, 3)).shape
    (torch.Size([5, 2, 3]), torch.Size([5]))
    """

    def __init__(self, n_mixture=1, bounded=True):
        self.n_mixture = n_mixture
        self.bounded = bounded

    def n_outputs(self, n_targets: int) -> int:
        """Number of outputs that a network must have.

        Parameters
        ----------
        n_targets : int
            Number of targets, k.

        Returns
        -------
        int
        """
        weights = self.n_mixture if self.n_mixture > 1 else 0
        return weights + self.n_mixture * (3 * n_targets + n_targets**2) // 2

    def __call__(self, raw: torch.Tensor, n_targets: int) -> GaussianMixture:
        """Read raw outputs ``(…, n_outputs)`` as mixtures.

        Raises
        ------
        ValueError
            If their number is not what `n_outputs` says.
        """
        if raw.shape[-1] != self.n_outputs(n_targets):
            raise ValueError(
                f"the network gives {raw.shape[-1]} numbers per image; expected {self.n_outputs(n_targets)} for "
                f"{n_targets} targets and {self.n_mixture} Gaussians. Build it with as many outputs as asked for."
            )
        n_weights = self.n_mixture if self.n_mixture > 1 else 0
        logits, raw = raw[..., :n_weights], raw[..., n_weights:].unflatten(-1, (self.n_mixture, -1))
        log_weights = logits.log_softmax(-1) if n_weights else torch.zeros_like(raw[..., 0])
        means, log_d, lower = raw.split([n_targets, n_targets, raw.shape[-1] - 2 * n_targets], dim=-1)
        return GaussianMixture(log_weights, means, self._scale_trils(0.5 * log_d, lower))

    def _scale_trils(self, log_scale: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
        """Cholesky factors L √D ``(…, k, k)``."""
        if self.bounded:
            log_scale, lower = _saturate(log_scale, MAX_LOG_SCALE), _saturate(lower, MAX_ENTRY)
        k = log_scale.shape[-1]
        rows, columns = torch.tril_indices(k, k, offset=-1, device=lower.device)
        unit = torch.eye(k, dtype=lower.dtype, device=lower.device).expand(*lower.shape[:-1], k, k).clone()
        unit[..., rows, columns] = lower
        return unit * log_scale.exp().unsqueeze(-2)


def _saturate(x: torch.Tensor, bound: float) -> torch.Tensor:
    """Approach ±bound smoothly; the identity to third order about 0."""
    return bound * torch.tanh(x / bound)
