"""Differentiable simulation of galaxy images, and the Cramér–Rao bound of what they tell."""

from ._bound import cramer_rao_bound
from ._galaxy_prior import GalaxyPrior, SpinPrior, sim_v1_prior
from ._noise import add_noise, noise_variance
from ._priors import LogUniform, Near, Uniform
from ._psf import GaussianPSF, ImagePSF, MoffatPSF
from ._radius import half_light_radius
from ._render import render
from ._scene import render_scene
from ._survey import Band, hsc_like, sdss_like

__all__ = [
    "Band",
    "GalaxyPrior",
    "GaussianPSF",
    "ImagePSF",
    "LogUniform",
    "MoffatPSF",
    "Near",
    "SpinPrior",
    "Uniform",
    "add_noise",
    "cramer_rao_bound",
    "half_light_radius",
    "hsc_like",
    "noise_variance",
    "render",
    "render_scene",
    "sdss_like",
    "sim_v1_prior",
]
