"""Estimators: images in, numbers or posteriors out."""

from ._cnn import CNNRegressor
from ._stn_posterior import STNPosteriorRegressor

__all__ = ["CNNRegressor", "STNPosteriorRegressor"]
