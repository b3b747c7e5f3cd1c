"""Tests of the calibration of posteriors, proper scores, and recalibration.

`RecalibratedRegressor` recalibrates the posteriors of another estimator.
"""

from ._conditional import conditional_coverage
from ._coverage import coverage, coverage_error
from ._inputs import check_posterior, check_scale, check_targets, known_rows
from ._joint import joint_coverage
from ._l_c2st import l_c2st
from ._pit import pit, pit_uniformity
from ._recalibrate import RecalibratedRegressor
from ._sbc import sbc_ranks, sbc_uniformity
from ._scores import crps, energy_score, log_score
from ._sharpness import sharpness
from ._tarp import tarp
from ._uniformity import uniformity
from ._widths import Widths, find_widths

__all__ = [
    "RecalibratedRegressor",
    "conditional_coverage",
    "coverage",
    "coverage_error",
    "crps",
    "energy_score",
    "joint_coverage",
    "l_c2st",
    "log_score",
    "pit",
    "pit_uniformity",
    "sbc_ranks",
    "sbc_uniformity",
    "sharpness",
    "tarp",
]
