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
OF_IMAGES = ("fluxes", "middle", "basis", "data", "level", "images")
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
        self.level_precision, self.fluxes = likelihood.level_precision, likelihood.fluxes.double()
        samples = self.profiles.samples(self.coordinates.shapes(u))  # (G, 2, N, s)
        self.middle = samples.mean(2, keepdim=True)
        samples = samples - self.middle
        self.basis = _principal(samples)  # (G, 2, s, R)
        scores = samples @ self.basis
        scores = torch.cat([torch.full_like(scores[..., :1], 1 / scores.shape[2]), scores], 3).to(images)
        mixed = scores.mT @ images  # the mean image, and what components add to it
        model = (likelihood.fluxes[:, None, :2] @ mixed[:, :, 0])[:, 0] + likelihood.fluxes[:, 2:]
        known = torch.stack([likelihood.images - model, torch.ones_like(model)], 1)
        columns = torch.cat([likelihood.whitened(known), likelihood.whitened(mixed.flatten(1, 2))], 1)
        # only products of these matter, which their triangular factor has, too
        columns = torch.linalg.qr(columns.mT, mode="r").R.mT.double().contiguous()
        self.data, self.level = columns[:, 0], columns[:, 1]
        self.images = columns[:, 2:].unflatten(1, (2, -1))

    def of_rows(self, rows: torch.Tensor) -> Emulator:
        """That of some galaxies."""
        some = copy.copy(self)
        some.profiles, some.level_precision = self.profiles.of_rows(rows), self.level_precision[rows]
        for name in OF_IMAGES:
            setattr(some, name, getattr(self, name)[rows])
        return some

    def fit(self, u: torch.Tensor) -> Fit:
        """Compare shapes ``(G, K, d)`` with the images, in float32, as residuals are small."""
        single = copy.copy(self)
        for name in OF_IMAGES:
            setattr(single, name, getattr(self, name).float())
        shapes = {name: values.float() for name, values in self.coordinates.shapes(u).items()}
        size = max(1, CHUNK // len(u))
        parts = [
            single._solved(single._changes({name: values[:, i : i + size] for name, values in shapes.items()}))[-1]
            for i in range(0, u.shape[1], size)
        ]
        return Fit(*(torch.cat(values, 1) for values in zip(*parts)))

    def expanded(self, u: torch.Tensor):
        """Log posterior ``(G, K)`` of shapes ``(G, K, d)`` with their best fluxes, none negative, and its expansion.

        That is the gradient ``(G, K, d)`` and Gauss–Newton matrix ``(G, K, d, d)`` of minus its value. Fluxes and sky
        follow (variable projection, with the matrix of Kaufman 1975, BIT 15, 49); they come last.
        """
        changes = self._changes(self.coordinates.shapes(u))
        components, residuals, fit = self._solved(changes)
        fluxes, chi2 = fit.positive()
        more = fluxes - self.fluxes[:, None]
        residuals = residuals - more[..., 2:] * self.level[:, None] - (more[..., None, :2] @ components)[..., 0, :]
        slopes = self._slopes(u, fluxes)
        known = self.coordinates.known.to(u)
        gradient = known * u - (slopes @ residuals[..., None])[..., 0]
        cross = products(components, slopes, self.level).mT
        matrix = slopes @ slopes.mT - cross @ torch.cholesky_solve(cross.mT, fit.factor)
        matrix = matrix + torch.diag(known + LOOSE * (1 - known))
        return -0.5 * chi2 + self.coordinates.normal(u), gradient, (matrix + matrix.mT) / 2, fluxes

    def _changes(self, shapes: dict[str, torch.Tensor]) -> torch.Tensor:
        """By what the components ``(G, K, 2, p')`` of shapes differ from the mean of those that were rendered.

        They are over the noise, as vectors that have the products that images have.
        """
        scores = (self.profiles.samples(shapes) - self.middle) @ self.basis
        return (scores @ self.images[:, :, 1:]).transpose(1, 2)

    def _slopes(self, u: torch.Tensor, fluxes: torch.Tensor) -> torch.Tensor:
        """By what galaxies ``(G, K)`` of such fluxes change with each coordinate: ``(G, K, d, p')``."""
        shapes, one = self.coordinates.shapes(u), torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        moved, samples = self.coordinates.shapes(u[:, :, None] + STEP * one), self.profiles.samples
        by = [
            torch.stack([(moved[name] - shapes[name][..., None]) / STEP for name in names], -1)
            for names in samples.parameters(shapes)
        ]  # (G, K, d, m) of each component
        scores = samples.slopes(shapes).flatten(2, 3) @ self.basis
        light = (scores @ self.images[:, :, 1:]).unflatten(2, (u.shape[1], -1))
        return (torch.stack(by, 1) @ (light * fluxes[..., :2].mT[..., None, None])).sum(1)

    def _solved(self, changes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Fit]:
        """Components, residuals from them with the fluxes that likelihoods refer to, and the best fluxes."""
        components = self.images[:, None, :, 0] + changes
        residuals = self.data[:, None] - (self.fluxes[:, None, None, :2] @ changes)[..., 0, :]
        return components, residuals, solved(components, residuals, self.level, self.level_precision, self.fluxes)


def _principal(samples: torch.Tensor) -> torch.Tensor:
    """What makes orthonormal scores of centered samples ``(…, N, s)``: ``(…, s, R)``, 0 for those that are none."""
    rows, columns = samples.shape[-2:]
    square = samples @ samples.mT if rows <= columns else samples.mT @ samples
    variance, vectors = torch.linalg.eigh(square)
    variance, vectors = variance[..., -MOST:, None].mT, vectors[..., -MOST:]
    there = variance > LEAST**2 * variance[..., -1:].clamp(min=1e-300)
    scale = torch.where(there, variance.clamp(min=1e-300).rsqrt(), 0)
    return samples.mT @ vectors * scale.square() if rows <= columns else vectors * scale
