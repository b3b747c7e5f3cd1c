"""Pipelines with posteriors, scorers of posteriors, and splits balanced in a continuous target."""

from ._balanced import balanced_subset, read_split, write_split
from ._pipeline import PosteriorPipeline, make_pipeline
from ._scorers import PosteriorScorer, posterior_scorers
from ._split import ContinuousStratifiedKFold, stratified_train_test_split

__all__ = [
    "ContinuousStratifiedKFold",
    "PosteriorPipeline",
    "PosteriorScorer",
    "balanced_subset",
    "make_pipeline",
    "posterior_scorers",
    "read_split",
    "stratified_train_test_split",
    "write_split",
]
