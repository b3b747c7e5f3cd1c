"""The likelihood of images: shapes are rendered, fluxes and the level of the sky are solved for."""

from __future__ import annotations

import copy

import torch

from ._linear import Fit, solved
from ._marginalized import whitened, whitening
from ._model_error import noise_factor

STEP = 0.01  # of differences, in coordinates

OF_GALAXIES = (
    "images",
    "sky_variance",
    "gain",
    "level_precision",
    "n_pixels",
    "fluxes",
    "model_error",
    "noise_factor",
    "beside",
    "others",
    "weight",
    "taken",
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
        Error of the model, as a share of its light in a pixel, or "infer": the factor of the noise that it takes.
    beside : Tensor of shape (G, k, npix²), optional
        Light of neighbors, of standard normal amounts.
    """

    def __init__(
        self,
        profiles,
        coordinates,
        images,
        sky_variance,
        gain,
        sky_error,
        *,
        model_error=None,
        beside=None,
    ):
        self.profiles, self.coordinates = profiles, coordinates
        self.images, self.sky_variance, self.gain = images, sky_variance, gain
        self.level_precision = 1 / sky_error.double().square().clamp(min=1e-30)
        self.n_pixels = torch.isfinite(sky_variance).sum(1)
        self.fluxes = torch.zeros(len(images), 3, device=images.device)
        self.infers = model_error == "infer"
        share = 0.0 if model_error is None or self.infers else float(model_error)
        self.model_error = torch.full((len(images),), share, device=images.device)
        self.noise_factor = torch.ones(len(images), device=images.device)
        self.beside = beside
        self.others = torch.zeros_like(images)  # light of neighbors, as far as it is known
        self._weigh(images)

    def of_rows(self, rows: torch.Tensor) -> Likelihood:
        """That of some galaxies."""
        some = copy.copy(self)
        some.profiles = self.profiles.of_rows(rows)
        for name in OF_GALAXIES:
            values = getattr(self, name)
            setattr(some, name, None if values is None else values[rows])
        return some

    def _noise(self, light: torch.Tensor) -> torch.Tensor:
        return self.sky_variance + light.clamp(min=0) / self.gain[:, None]

    def whitened(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(G, K, npix²)`` in units of all beside the model: noise, its error, and neighbors."""
        return whitened(images * self.weight[:, None], self.taken)

    def refer(self, fluxes: torch.Tensor, components: torch.Tensor) -> None:
        """Take the noise from the best models, and compute residuals from their fluxes.

        Then float32 is enough for the rest.

        Parameters
        ----------
        fluxes : Tensor of shape (G, 3)
            With the level of the sky.
        components : Tensor of shape (G, 2, npix²)
        """
        self.fluxes = fluxes.to(self.images)
        model = self._model(components)
        if self.beside is not None:
            pull = whitened(self.whitened(self._residuals(model)[:, None]), self.taken)
            amounts = pull.to(self.images) @ (self.beside * self.weight[:, None]).mT
            self.others = (amounts @ self.beside)[:, 0].clamp(min=0)
        self._weigh(model)

    def _weigh(self, model: torch.Tensor) -> None:
        """Weights of pixels, 0 of bad ones, and what `whitened` takes out."""
        variance = self._noise(model + self.others) + (self.model_error[:, None] * model.clamp(min=0)).square()
        self.weight = variance.rsqrt() / self.noise_factor[:, None]
        self.taken = None if self.beside is None else whitening(self.beside * self.weight[:, None])

    def _residuals(self, model: torch.Tensor) -> torch.Tensor:
        return self.images - model - self.fluxes[:, 2:]

    def infer(self, u: torch.Tensor, components: torch.Tensor) -> None:
        """Infer the factor of the noise from what the best models leave, which are of shapes ``(G, d)``."""
        model = self._model(components)
        moved = u[:, None] + STEP * torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        slopes = (self.fluxes[:, None, None, :2] @ self.draw(moved))[:, :, 0] - model[:, None]
        fitted = torch.cat([slopes, components, torch.ones_like(model)[:, None]], 1) * self.weight[:, None]
        residuals = (self._residuals(model) - self.others) * self.weight
        self.noise_factor = noise_factor(residuals, fitted).to(model)
        self._weigh(model)

    def _model(self, components: torch.Tensor) -> torch.Tensor:
        return _light(self.fluxes, components)

    def chi2(self, components: torch.Tensor, fluxes: torch.Tensor) -> torch.Tensor:
        """Of models of such fluxes, as for `refer`, per pixel and by noise alone: ``(G,)``."""
        fluxes = fluxes.to(self.images)
        model = _light(fluxes, components)
        residuals = self.images - model - fluxes[:, 2:] - self.others
        return (residuals.square() / self._noise(model + self.others)).sum(1) / self.n_pixels.clamp(min=1)

    def draw(self, u: torch.Tensor) -> torch.Tensor:
        """Components ``(G, K, 2, npix²)`` of flux 1 of shapes ``(G, K, d)``."""
        return self.profiles.draw(self.coordinates.shapes(u))

    def fit(self, components: torch.Tensor) -> Fit:
        """Compare components ``(G, K, 2, npix²)`` with the images."""
        components = self.whitened(components.flatten(1, 2)).view_as(components)
        known = self.whitened(torch.stack([self.images - self.fluxes[:, 2:], torch.ones_like(self.images)], 1))
        fluxes = self.fluxes[:, None, None, :2].to(components).expand(*components.shape[:2], 1, 2)
        reference = (fluxes @ components)[:, :, 0]
        residuals = reference.neg_().add_(known[:, :1])
        return solved(components, residuals, known[:, 1], self.level_precision, self.fluxes)


def _light(fluxes: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
    """Galaxies ``(G, npix²)`` whose components ``(G, 2, npix²)`` have these fluxes, without the sky."""
    return (fluxes[:, None, :2] @ components)[:, 0].clamp(min=0)
