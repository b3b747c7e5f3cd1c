"""The likelihood of images: shapes are rendered, fluxes and the level of the sky are solved for."""

from __future__ import annotations

import copy

import torch

from ._linear import Fit, solved
from ._model_error import inferred_model_error

OF_GALAXIES = (
    "images",
    "sky_variance",
    "gain",
    "level_precision",
    "n_pixels",
    "fluxes",
    "model_error",
    "weight",
)


class Likelihood:
    """Normal likelihood of the images of G galaxies, whose pixels are independent.

    The variance of a pixel is that of the sky and of the photons of a model, which stays while shapes vary: it tells
    next to nothing of a galaxy by itself.

    Parameters
    ----------
    profiles : Profiles
    coordinates : Coordinates
    images, sky_variance : Tensor of shape (G, npix²)
        Variances are infinite where a pixel is bad; images are 0 there.
    gain : Tensor of shape (G,)
        Electrons per image unit; infinite leaves out photons.
    sky_error : Tensor of shape (G,)
        Standard deviation of the level of the sky [image units].
    model_error : float, "infer" or None, default=None
        Error of the model, as a share of its light in a pixel.
    """

    def __init__(self, profiles, coordinates, images, sky_variance, gain, sky_error, model_error=None):
        self.profiles, self.coordinates = profiles, coordinates
        self.images, self.sky_variance, self.gain = images, sky_variance, gain
        self.level_precision = 1 / sky_error.double().square().clamp(min=1e-30)
        self.n_pixels = torch.isfinite(sky_variance).sum(1)
        self.fluxes = torch.zeros(len(images), 3, device=images.device)
        self.infers = model_error == "infer"
        share = 0.0 if model_error is None or self.infers else float(model_error)
        self.model_error = torch.full((len(images),), share, device=images.device)
        self.weight = self._variance(images).rsqrt()  # 0 where a pixel is bad

    def of_rows(self, rows: torch.Tensor) -> Likelihood:
        """That of some galaxies."""
        some = copy.copy(self)
        some.profiles = self.profiles.of_rows(rows)
        for name in OF_GALAXIES:
            setattr(some, name, getattr(self, name)[rows])
        return some

    def _variance(self, model: torch.Tensor) -> torch.Tensor:
        light = model.clamp(min=0)
        return self._noise(light) + (self.model_error[:, None] * light).square()

    def _noise(self, light: torch.Tensor) -> torch.Tensor:
        return self.sky_variance + light / self.gain[:, None]

    def refer(self, fluxes: torch.Tensor, components: torch.Tensor, infer: bool = False) -> None:
        """Take the variances of pixels from the best models, and compute residuals from their fluxes.

        Then float32 is enough for the rest. The error of models is inferred from what the best ones leave, if it is
        to be.

        Parameters
        ----------
        fluxes : Tensor of shape (G, 3)
            With the level of the sky.
        components : Tensor of shape (G, 2, npix²)
        """
        self.fluxes = fluxes.to(self.images)
        model = self._model(components)
        if self.infers and infer:
            residuals = self.images - model - self.fluxes[:, 2:]
            stamps = (x.unflatten(1, (self.profiles.npix, -1)) for x in (residuals, model, self._noise(model)))
            self.model_error = inferred_model_error(*stamps).to(model)
        self.weight = self._variance(model).rsqrt()

    def _model(self, components: torch.Tensor) -> torch.Tensor:
        return (self.fluxes[:, None, :2] @ components)[:, 0].clamp(min=0)

    def chi2(self, components: torch.Tensor) -> torch.Tensor:
        """Of models of the fluxes that are referred to, per pixel and by noise alone: ``(G,)``."""
        model = self._model(components)
        residuals = self.images - model - self.fluxes[:, 2:]
        return (residuals.square() / self._noise(model)).sum(1) / self.n_pixels.clamp(min=1)

    def draw(self, u: torch.Tensor) -> torch.Tensor:
        """Components ``(G, K, 2, npix²)`` of flux 1 of shapes ``(G, K, d)``."""
        return self.profiles.draw(self.coordinates.shapes(u))

    def fit(self, components: torch.Tensor) -> Fit:
        """Compare components ``(G, K, 2, npix²)`` with the images."""
        components = components * self.weight[:, None, None]
        residuals = (self.images - self.fluxes[:, 2:]) * self.weight
        reference = (self.fluxes[:, None, None, :2].expand(*components.shape[:2], 1, 2) @ components)[:, :, 0]
        residuals = reference.neg_().add_(residuals[:, None])
        return solved(components, residuals, self.weight, self.level_precision, self.fluxes)
