"""Trained estimators: in files that hold weights and no code, those that ship, and published weights."""

from ._keras import load_keras_cnn
from ._pretrained import load_pretrained
from ._published import load_published_stn
from ._safetensors import load_estimator, save_estimator

__all__ = ["load_estimator", "load_keras_cnn", "load_pretrained", "load_published_stn", "save_estimator"]
