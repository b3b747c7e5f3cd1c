"""Trained estimators in files that hold weights and no code, and weights of published networks."""

from ._published import load_published_stn
from ._safetensors import load_estimator, save_estimator

__all__ = ["load_estimator", "load_published_stn", "save_estimator"]
