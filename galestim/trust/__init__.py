"""Whether an estimator can be trusted, on one page: how far off, how well calibrated, how stable, and where not."""

from ._novelty import NoveltyDetector
from ._report import TrustReport, trust_report

__all__ = ["NoveltyDetector", "TrustReport", "trust_report"]
