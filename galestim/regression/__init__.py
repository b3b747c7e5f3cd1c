"""Estimators: images in, numbers or posteriors out."""

from ._cnn import CNNRegressor
from ._optimizers import SGD
from ._posterior import PosteriorRegressor
from ._stn import STNPosteriorRegressor
from ._targets import forbid_constant, read_targets
from ._transfer import Transfer

# What is not in __all__ is for the other packages of galestim.
__all__ = ["SGD", "CNNRegressor", "PosteriorRegressor", "STNPosteriorRegressor", "Transfer"]
