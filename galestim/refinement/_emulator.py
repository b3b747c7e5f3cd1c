r"""A likelihood without rendering: images between rendered ones, by way of their transforms at a few wave numbers.

An image is a linear function of its Fourier transform. Those of similar galaxies vary in few ways, so a few dozen
wave numbers tell how to mix rendered images into that of a shape between them: a regression on principal components.
Among some hundred rendered shapes it is right to a hundredth of the noise of a whole image.
"""

from __future__ import annotations

import copy

import torch

from ._linear import Fit, products, solved

LEAST = 1e-5  # of a principal component, over the largest
MOST = 40  # principal components
CHUNK = 2048  # shapes at a time, for the sake of caches
STEP = 1e-3  # of differences, in coordinates
LOOSE = 0.05  # precision of coordinates without a prior, in their units, of galaxies that say nothing of them


class Emulator:
    """The likelihood of G galaxies, emulated between shapes that were rendered.

    Parameters
    ----------
    likelihood : Likelihood
    u : Tensor of shape (G, N, d)
    images : Tensor of shape (G, 2, N, npix²)
        Of bulges and disks.
    """

    def __init__(self, likelihood, u: torch.Tensor, images: torch.Tensor):
        self.coordinates, self.profiles = likelihood.coordinates, likelihood.profiles
        self.level_precision, self.fluxes = likelihood.level_precision, torch.zeros_like(likelihood.fluxes).double()
        samples = self.profiles.samples(self.coordinates.shapes(u)).transpose(1, 2)  # (G, 2, N, s)
        self.middle = samples.mean(2, keepdim=True)
        samples = samples - self.middle
        self.basis = _principal(samples)  # (G, 2, s, R)
        scores = samples @ self.basis
        scores = torch.cat([torch.full_like(scores[..., :1], 1 / scores.shape[2]), scores], 3).to(images)
        mixed = (scores.mT @ images).flatten(1, 2)  # the mean image, and what components add to it
        known = torch.stack([likelihood.images, torch.ones_like(likelihood.images)], 1)
        columns = torch.cat([likelihood.whitened(known), likelihood.whitened(mixed)], 1)
        # only products of these matter, which their triangular factor has, too
        columns = torch.linalg.qr(columns.mT, mode="r").R.mT.double().contiguous()
        self.data, self.level = columns[:, 0], columns[:, 1]
        self.images = columns[:, 2:].unflatten(1, (2, -1))

    def of_rows(self, rows: torch.Tensor) -> Emulator:
        """That of some galaxies."""
        some = copy.copy(self)
        some.profiles = self.profiles.of_rows(rows)
        for name in ("level_precision", "fluxes", "middle", "basis", "data", "level", "images"):
            setattr(some, name, getattr(self, name)[rows])
        return some

    def components(self, u: torch.Tensor) -> torch.Tensor:
        """Components ``(G, K, 2, p')`` over the noise, as vectors that have the products that images have."""
        samples = self.profiles.samples(self.coordinates.shapes(u)).transpose(1, 2)
        scores = (samples - self.middle) @ self.basis
        return (self.images[:, :, :1] + scores @ self.images[:, :, 1:]).transpose(1, 2)

    def fit(self, u: torch.Tensor) -> Fit:
        """Compare shapes ``(G, K, d)`` with the images."""
        parts = [self._solved(self.components(some)) for some in u.split(max(1, CHUNK // len(u)), 1)]
        return Fit(*(torch.cat(values, 1) for values in zip(*parts)))

    def _solved(self, components: torch.Tensor) -> Fit:
        residuals = self.data[:, None].expand(-1, components.shape[1], -1)
        return solved(components, residuals, self.level, self.level_precision, self.fluxes)

    def expanded(self, u: torch.Tensor):
        """Log posterior ``(G, K)`` of shapes ``(G, K, d)`` with their best fluxes, none negative, and its expansion.

        That is the gradient ``(G, K, d)`` and Gauss–Newton matrix ``(G, K, d, d)`` of minus its value. Fluxes and sky
        follow (variable projection, with the matrix of Kaufman 1975, BIT 15, 49); they come last.
        """
        components, d = self.components(u), u.shape[-1]
        fit = self._solved(components)
        fluxes, chi2 = fit.positive()
        residuals = self.data[:, None] - fluxes[..., 2:] * self.level[:, None]
        residuals = residuals - (fluxes[..., None, :2] @ components)[..., 0, :]
        moved = (u[:, :, None] + STEP * torch.eye(d, dtype=u.dtype, device=u.device)).flatten(1, 2)
        change = self.components(moved).unflatten(1, (-1, d)) - components[:, :, None]
        slopes = (fluxes[:, :, None, None, :2] @ change)[..., 0, :] / STEP  # (G, K, d, p')
        known = self.coordinates.known.to(u)
        gradient = known * u - (slopes @ residuals[..., None])[..., 0]
        cross = products(components, slopes, self.level).mT
        matrix = slopes @ slopes.mT - cross @ torch.cholesky_solve(cross.mT, fit.factor)
        matrix = matrix + torch.diag(known + LOOSE * (1 - known))
        return -0.5 * chi2 + self.coordinates.normal(u), gradient, (matrix + matrix.mT) / 2, fluxes


def _principal(samples: torch.Tensor) -> torch.Tensor:
    """What makes orthonormal scores of centered samples ``(…, N, s)``: ``(…, s, R)``, 0 for those that are none."""
    rows, columns = samples.shape[-2:]
    square = samples @ samples.mT if rows <= columns else samples.mT @ samples
    variance, vectors = torch.linalg.eigh(square)
    variance, vectors = variance[..., -MOST:, None].mT, vectors[..., -MOST:]
    there = variance > LEAST**2 * variance[..., -1:].clamp(min=1e-300)
    scale = torch.where(there, variance.clamp(min=1e-300).rsqrt(), 0)
    return samples.mT @ vectors * scale.square() if rows <= columns else vectors * scale
