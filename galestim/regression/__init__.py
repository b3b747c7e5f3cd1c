"""Estimators that go from images to numbers."""

from ._cnn import CNNRegressor

__all__ = ["CNNRegressor"]
