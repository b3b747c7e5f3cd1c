"""Differentiable simulation of galaxy images, and the Cramér–Rao bound of what they tell."""

from ._airy import AiryPSF
from ._bound import cramer_rao_bound
from ._camera_prior import CameraPrior
from ._galaxy_prior import GalaxyPrior, SpinPrior, sim_v1_prior
from ._near import neighbors_of
from ._neighbor_prior import NeighborPrior
from ._noise import add_noise, noise_variance
from ._priors import LogUniform, Mixture, Near, Uniform
from ._profiles import Profiles, alike
from ._psf import PSF, DoubleMoffatPSF, GaussianPSF, ImagePSF, MoffatPSF
from ._radius import half_light_radius
from ._render import render, render_stars, render_with_stars
from ._scene import render_scene
from ._sersic import enclosed_light
from ._sim_v2 import sim_v2_cameras, sim_v2_neighbors, sim_v2_prior
from ._survey import Band, hsc_like, sdss_like

__all__ = [
    "AiryPSF",
    "Band",
    "CameraPrior",
    "DoubleMoffatPSF",
    "GalaxyPrior",
    "GaussianPSF",
    "ImagePSF",
    "LogUniform",
    "Mixture",
    "MoffatPSF",
    "Near",
    "NeighborPrior",
    "SpinPrior",
    "Uniform",
    "add_noise",
    "cramer_rao_bound",
    "half_light_radius",
    "hsc_like",
    "noise_variance",
    "render",
    "render_scene",
    "render_stars",
    "sdss_like",
    "sim_v1_prior",
    "sim_v2_cameras",
    "sim_v2_neighbors",
    "sim_v2_prior",
]
