"""Predictions for whole surveys: resumed after a crash, in constant memory, on one machine or many."""

from ._hats import write_hats
from ._read import read_predictions
from ._survey import CatalogPredictions, predict_catalog

__all__ = ["CatalogPredictions", "predict_catalog", "read_predictions", "write_hats"]
