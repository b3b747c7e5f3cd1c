import re
import subprocess
import sys

import pytest

from galestim.displays import CutoutGridDisplay, RegressionDisplay, TrainingHistoryDisplay
from galestim.displays._style import padded

NEEDED = 'needs matplotlib, which is not installed; run: pip install "galestim[plot]"'


@pytest.mark.parametrize(
    ("make", "caller"),
    [
        (lambda: RegressionDisplay.from_predictions([0, 1, 2], [0, 1, 2]), "RegressionDisplay.plot"),
        (lambda: RegressionDisplay.from_estimator(None, None, None), "RegressionDisplay.from_estimator"),
        (
            lambda: TrainingHistoryDisplay.from_history([{"epoch": 1, "train_loss": 1, "lr": 1}]),
            "TrainingHistoryDisplay.plot",
        ),
        (lambda: CutoutGridDisplay.from_predictions([[[0]]], [0], [0]), "CutoutGridDisplay.plot"),
        (lambda: CutoutGridDisplay.from_estimator(None, None, None), "CutoutGridDisplay.from_estimator"),
    ],
)
@pytest.mark.usefixtures("without_matplotlib")
def test_without_matplotlib_a_plot_says_what_to_install(make, caller):
    with pytest.raises(ImportError, match=f"^{re.escape(f'{caller} {NEEDED}')}$"):
        make()


def test_importing_the_displays_loads_neither_matplotlib_nor_torch():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import galestim.displays; "
        "print(*[m for m in sys.modules if m == 'torch' or 'matplotlib.' in m])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []


def test_padded():
    assert padded(0, 10) == pytest.approx((-0.4, 10.4))
    assert padded(3, 3) == (2.5, 3.5)
