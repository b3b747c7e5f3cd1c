"""What was rendered of galaxies, of which emulators are made."""

from __future__ import annotations

import copy

import torch

from ._emulator import Emulator

LATEST = 128  # shapes that are kept


class Rendered:
    """Shapes of galaxies that were rendered, and their images: the latest ones, each in a place of its own."""

    def __init__(self, likelihood, u: torch.Tensor):
        images = likelihood.draw(u)
        n_galaxies, _, _, n_pixels = images.shape
        self.likelihood, self.n = likelihood, 0  # shapes that are kept
        self.places = torch.arange(0, device=u.device)  # of the latest that were added
        self.all_u = u.new_empty(n_galaxies, LATEST, u.shape[2])
        self.all_images = images.new_empty(n_galaxies, 2, LATEST, n_pixels)
        self._keep(u, images)
        self.refer(likelihood.fit(images))

    @property
    def u(self) -> torch.Tensor:
        """Shapes ``(G, N, d)``."""
        return self.all_u[:, : self.n]

    @property
    def images(self) -> torch.Tensor:
        """Their images ``(G, 2, N, npix²)``."""
        return self.all_images[:, :, : self.n]

    def of_rows(self, rows: torch.Tensor) -> Rendered:
        """Those of some galaxies."""
        some = copy.copy(self)
        some.likelihood = self.likelihood.of_rows(rows)
        some.all_u, some.all_images, some.best = self.all_u[rows], self.all_images[rows], self.best[rows]
        return some

    def add(self, u: torch.Tensor):
        """Render more, and compare them with the images."""
        images = self.likelihood.draw(u)
        fit = self.likelihood.fit(images)
        self._keep(u, images)
        return fit

    def _keep(self, u: torch.Tensor, images: torch.Tensor) -> None:
        """In free places, or in those of the oldest."""
        first = (int(self.places[-1]) + 1) % LATEST if self.n else 0
        self.places = (first + torch.arange(u.shape[1], device=u.device)) % LATEST
        self.all_u[:, self.places], images = u, images.transpose(1, 2)
        n = min(u.shape[1], LATEST - first)  # slices, as they are quicker than places
        self.all_images[:, :, first : first + n] = images[:, :, :n]
        self.all_images[:, :, : u.shape[1] - n] = images[:, :, n:]
        self.n = min(self.n + u.shape[1], LATEST)

    def refer(self, fit, infer: bool = False) -> None:
        """Take noise and residuals from the best of the latest, of which this is the fit."""
        fluxes, chi2 = fit.positive()
        rows = torch.arange(len(fluxes), device=fluxes.device)
        best = (-0.5 * chi2 + self.likelihood.coordinates.normal(self.all_u[:, self.places])).argmax(1)
        place = self.places[best]
        self.best = self.all_images[rows, :, place]
        self.likelihood.refer(fluxes[rows, best], self.best)
        if infer:
            self.likelihood.infer(self.all_u[rows, place], self.best)

    def chi2(self, fit) -> torch.Tensor:
        """Of the best of the latest, of which this is the fit: per pixel, by noise alone ``(G,)``."""
        fluxes, chi2 = fit.positive()
        rows, best = torch.arange(len(fluxes), device=fluxes.device), chi2.argmin(1)
        return self.likelihood.chi2(self.all_images[rows, :, self.places[best]], fluxes[rows, best])

    def emulator(self) -> Emulator:
        """What is between them."""
        return Emulator(self.likelihood, self.u, self.images)
