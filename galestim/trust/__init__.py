"""Trust report on an estimator: accuracy, calibration, stability and novelty, on one page."""

from ._novelty import NoveltyDetector
from ._report import TrustReport, trust_report

__all__ = ["NoveltyDetector", "TrustReport", "trust_report"]
