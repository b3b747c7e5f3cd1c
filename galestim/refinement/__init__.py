"""Refinement: posteriors that are exact where it matters, by comparing rendered galaxies with their images."""

from ._broad_prior import broad_prior
from ._regressor import RefinedRegressor, Refinement
from ._residuals import Residuals, residuals

__all__ = ["RefinedRegressor", "Refinement", "Residuals", "broad_prior", "residuals"]
