"""Trust report on an estimator: accuracy, calibration, stability and novelty, on one page."""

from ._catalog_alone import CatalogComparison, compare_with_catalog
from ._novelty import NoveltyDetector
from ._report import TrustReport, trust_report

__all__ = ["CatalogComparison", "NoveltyDetector", "TrustReport", "compare_with_catalog", "trust_report"]
