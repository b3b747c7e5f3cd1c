"""Pictures of how well an estimator does: scikit-learn displays for galaxies.

Each display is made by ``from_estimator`` or from numbers (``from_predictions``, ``from_history``), holds the
numbers it shows, and draws them with ``plot``. matplotlib is needed only to draw:
``pip install "galestim[plot]"``.
"""

from ._cutouts import CutoutGridDisplay
from ._history import TrainingHistoryDisplay
from ._regression import RegressionDisplay

__all__ = ["CutoutGridDisplay", "RegressionDisplay", "TrainingHistoryDisplay"]
