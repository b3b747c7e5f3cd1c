"""The likelihood of images: shapes are tried, fluxes and the level of the sky are solved for."""

from __future__ import annotations

import copy

import torch

from ._coordinates import SHAPES
from ._model_error import inferred_model_error

STEPS = {  # of the differences
    "ln_radius": 4e-3,
    "sersic_index": 1e-2,
    "axis_ratio": 4e-3,
    "position_angle": 0.5,
    "x_offset": 1e-2,
    "y_offset": 1e-2,
    "psf_width": 0.2,  # of its error
}
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
FAINTEST = 1e-4  # of a component, as a share of the flux, so that its shape still has derivatives


class Fit:
    """What K shapes of G galaxies make of their images, each with its best fluxes and level of the sky.

    Attributes
    ----------
    log_evidence : Tensor of shape (G, K)
        Logarithm of the integral of the likelihood over fluxes and sky, as if fluxes had no limits and a flat prior.
    best : Tensor of shape (G, K, 3)
        Fluxes of bulge and disk, level of the sky: the mean of their conditional normal distribution.
    factor : Tensor of shape (G, K, 3, 3)
        Cholesky factor of its precision.
    chi2 : Tensor of shape (G, K)
        At `best`.
    """

    def __init__(self, log_evidence, best, factor, chi2):
        self.log_evidence, self.best, self.factor, self.chi2 = log_evidence, best, factor, chi2


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

    def _variance(self, model: torch.Tensor) -> torch.Tensor:
        light = model.clamp(min=0)
        return self._noise(light) + (self.model_error[:, None] * light).square()

    def _noise(self, light: torch.Tensor) -> torch.Tensor:
        return self.sky_variance + light / self.gain[:, None]

    def weigh(self, model: torch.Tensor, level: torch.Tensor, infer: bool = False) -> None:
        """Take the variances of the pixels from models ``(G, npix²)``, to which levels of the sky ``(G,)`` come.

        The error of the model is inferred from what the best one leaves, if it is to be.
        """
        if self.infers and infer:
            residuals = self.images - model - level[:, None].to(model)
            variance = self._noise(model.clamp(min=0))
            stamps = (values.unflatten(1, (self.profiles.npix, -1)) for values in (residuals, model, variance))
            self.model_error = inferred_model_error(*stamps).to(model)
        self.weight = self._variance(model).rsqrt()

    def chi2(self, u: torch.Tensor, fluxes: torch.Tensor) -> torch.Tensor:
        """Of models of shapes ``(G, d)``, per pixel and by noise alone: ``(G,)``."""
        model = self.model(u, fluxes)
        residuals = self.images - model - fluxes[:, 2:].to(model)
        return (residuals.square() / self._noise(model.clamp(min=0))).sum(1) / self.n_pixels.clamp(min=1)

    def refer(self, fluxes: torch.Tensor) -> None:
        """Compute residuals from models of these fluxes ``(G, 3)``, so that float32 is enough for the rest."""
        self.fluxes = fluxes.to(self.images)

    def model(self, u: torch.Tensor, fluxes: torch.Tensor) -> torch.Tensor:
        """Images ``(G, npix²)`` of one shape ``(G, d)`` each, without sky."""
        components = self.profiles.draw(self.coordinates.shapes(u[:, None]))[:, 0]
        return (fluxes[:, None, :2].to(components) @ components)[:, 0]

    def fit(self, u: torch.Tensor) -> Fit:
        """Try shapes ``(G, K, d)``."""
        return self._solve(*self._whitened(self.profiles.draw(self.coordinates.shapes(u))))

    def _whitened(self, components: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components ``(G, K, 2, p)``, and residuals ``(G, K, p)`` from the model that is referred to, over σ."""
        components = components * self.weight[:, None, None]
        residuals = (self.images - self.fluxes[:, 2:]) * self.weight
        reference = self.fluxes[:, None, None, :2].expand(*components.shape[:2], 1, 2) @ components
        return components, reference[:, :, 0].neg_().add_(residuals[:, None])

    def _products(self, components: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Of components, and a level of 1, with others ``(G, K, m, p)``: ``(G, K, 3, m)``."""
        level = (others.flatten(1, 2) @ self.weight[:, :, None]).view(*others.shape[:2], 1, -1)
        return torch.cat([components @ others.mT, level], dim=2).double()

    def _solve(self, components: torch.Tensor, residuals: torch.Tensor) -> Fit:
        precision = self._products(components, components)
        square = (self.weight.square().sum(1).double() + self.level_precision)[:, None, None]
        last = torch.cat([precision[..., 2, :], square.expand(*precision.shape[:2], 1)], dim=-1)
        precision = torch.cat([precision, last[..., None]], dim=-1)
        pull = self._products(components, residuals[:, :, None])[..., 0]
        pull[..., 2] -= self.level_precision[:, None] * self.fluxes[:, None, 2]
        scale = precision.diagonal(dim1=-2, dim2=-1).sqrt()
        scaled = precision / (scale[..., :, None] * scale[..., None, :])
        scaled.diagonal(dim1=-2, dim2=-1).add_(1e-9)  # two components of one shape
        factor = torch.linalg.cholesky(scaled) * scale[..., None]
        step = torch.cholesky_solve(pull[..., None], factor)[..., 0]
        fixed = self.level_precision[:, None] * self.fluxes[:, None, 2].double().square()
        square = residuals.square().sum(-1).double() + fixed
        chi2 = square - (pull * step).sum(-1)
        log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return Fit(-0.5 * chi2 - log_determinant, self.fluxes[:, None] + step, factor, chi2)

    def of_rows(self, rows: torch.Tensor) -> Likelihood:
        """That of some galaxies."""
        some = copy.copy(self)
        some.profiles = self.profiles.of_rows(rows)
        for name in OF_GALAXIES:
            setattr(some, name, getattr(self, name)[rows])
        return some

    # ---- to find modes

    def profile(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log posterior ``(G, K)`` of shapes with their best fluxes, none negative, and these fluxes."""
        components, residuals = self._whitened(self.profiles.draw(self.coordinates.shapes(u)))
        return self._profile(components, residuals, u)[:2]

    def _profile(self, components, residuals, u):
        fit = self._solve(components, residuals)
        fluxes = self._positive(fit)
        off = (fit.factor.mT @ (fluxes - fit.best)[..., None])[..., 0].square().sum(-1)
        return -0.5 * (fit.chi2 + off) + self.coordinates.normal(u), fluxes, fit

    def _positive(self, fit: Fit) -> torch.Tensor:
        """The best fluxes of which none is negative: with one of them fixed next to 0, the others follow."""
        fluxes = fit.best
        for i in (0, 1):
            least = FAINTEST * fit.best[..., :2].sum(-1).abs()
            covariance = torch.cholesky_inverse(fit.factor)
            lack = (least - fit.best[..., i]).clamp(min=0)
            fluxes = fluxes + lack[..., None] * covariance[..., i] / covariance[..., i, i, None]
        return torch.cat([fluxes[..., :2].clamp(min=1e-30), fluxes[..., 2:]], dim=-1)

    def expanded(self, u: torch.Tensor):
        """Gradient ``(G, K, d)`` and Gauss–Newton matrix ``(G, K, d, d)`` of minus the log posterior of shapes.

        Fluxes and sky follow (variable projection, with the matrix of Kaufman 1975, BIT 15, 49).
        """
        shapes = self.coordinates.shapes(u)
        base = self.profiles.draw(shapes)
        components, residuals = self._whitened(base)
        value, fluxes, fit = self._profile(components, residuals, u)
        change = (fluxes - self.fluxes[:, None]).to(components)
        residuals = (
            residuals - (change[..., None, :2] @ components)[..., 0, :] - change[..., 2:] * self.weight[:, None]
        )
        by_shape = self._derivatives(shapes, base, fluxes[..., :2].to(base))  # (G, K, shapes, p)
        slopes = self.coordinates.slopes(u)
        gradient = -(slopes.mT @ (by_shape @ residuals[..., None]).double())[..., 0]
        cross = self._products(components, by_shape).mT
        matrix = (by_shape @ by_shape.mT).double()
        matrix = matrix - cross @ torch.cholesky_solve(cross.mT, fit.factor)
        matrix = slopes.mT @ matrix @ slopes
        known = self.coordinates.known.to(u)
        gradient = gradient + known * u
        matrix = matrix + torch.diag(known + 1e-3 * (1 - known))
        return value, gradient, (matrix + matrix.mT) / 2, fluxes

    def _derivatives(self, shapes, base: torch.Tensor, fluxes: torch.Tensor) -> torch.Tensor:
        """Of whitened models by the shapes, of a bulge and a disk at once where they differ in what is theirs."""
        found: dict[str, torch.Tensor] = {}
        weight = self.weight[:, None]
        for ending, step in STEPS.items():
            names = [name for name in SHAPES if name.endswith(ending) and name in shapes]
            if not names:
                continue
            signs = {name: self._side(name, shapes[name]) * step for name in names}
            moved = shapes | {name: shapes[name] + sign for name, sign in signs.items()}
            change = (self.profiles.draw(moved) - base) * fluxes[..., None]
            for name, sign in signs.items():
                which = change[:, :, 0 if name.startswith("bulge") else 1] if len(names) > 1 else change.sum(2)
                found[name] = which * weight / sign[..., None].float()
        return torch.stack([found[name] for name in SHAPES if name in found], dim=2)

    def _side(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Which way a step stays inside of what can be drawn: 1 or -1."""
        far = {"axis_ratio": 0.9, "sersic_index": 5.0}.get(name.split("_", 1)[1], torch.inf)
        return torch.where(value > far, -1.0, 1.0)
