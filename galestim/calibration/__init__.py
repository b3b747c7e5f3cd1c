"""Whether posteriors can be trusted, as numbers: proper scores, and tests of calibration, each with what it sees.

`RecalibratedRegressor` makes posteriors right that are not.
"""

from galestim.calibration._conditional import conditional_coverage
from galestim.calibration._coverage import coverage, coverage_error
from galestim.calibration._joint import joint_coverage
from galestim.calibration._l_c2st import l_c2st
from galestim.calibration._pit import pit, pit_uniformity
from galestim.calibration._recalibrate import RecalibratedRegressor
from galestim.calibration._sbc import sbc_ranks, sbc_uniformity
from galestim.calibration._scores import crps, energy_score, log_score
from galestim.calibration._sharpness import sharpness
from galestim.calibration._tarp import tarp

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
