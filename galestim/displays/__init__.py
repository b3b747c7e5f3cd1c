"""scikit-learn displays for galaxies: predictions, posteriors, calibration, crops and training.

Each display is made by ``from_estimator`` or from numbers (``from_predictions``, ``from_posterior``,
``from_history``, ``from_crops``,
``from_parameters``), holds the numbers it shows, and draws them with ``plot``. matplotlib is needed
only to draw: ``pip install "galestim[plot]"``.
"""

from ._coverage import CoverageDisplay
from ._crop import CropDisplay
from ._cutouts import CutoutGridDisplay
from ._history import TrainingHistoryDisplay
from ._pit import PITDisplay
from ._posterior import PosteriorDisplay
from ._regression import RegressionDisplay
from ._residual import ResidualDisplay
from ._style import BLUE, GRAY, INK, PALE, PALETTE, VERMILION, quiet, require_pyplot

__all__ = [
    "CoverageDisplay",
    "CropDisplay",
    "CutoutGridDisplay",
    "PITDisplay",
    "PosteriorDisplay",
    "RegressionDisplay",
    "ResidualDisplay",
    "TrainingHistoryDisplay",
]
