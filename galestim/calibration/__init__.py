"""Whether posteriors can be trusted, as numbers: proper scores, and how often intervals hold the truth."""

from galestim.calibration._coverage import coverage, coverage_error
from galestim.calibration._scores import crps, energy_score, log_score

__all__ = ["coverage", "coverage_error", "crps", "energy_score", "log_score"]
