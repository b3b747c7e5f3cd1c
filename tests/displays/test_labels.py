import io
import re

import matplotlib
import numpy as np
import pytest

from galestim.displays import (
    CoverageDisplay,
    CutoutGridDisplay,
    PITDisplay,
    PosteriorDisplay,
    RegressionDisplay,
    ResidualDisplay,
    TrainingHistoryDisplay,
)
from galestim.displays._labels import SYMBOLS, labeled, symbol
from galestim.posteriors import DrawsPosterior

RNG = np.random.default_rng(0)
DRAWS = RNG.normal(size=(40, 50, 2))
IMAGE = RNG.normal(size=(24, 24))
HISTORY = [{"epoch": 1, "train_loss": 1.0, "lr": 1e-3}]


@pytest.mark.parametrize(
    ("name", "unit", "label"),
    [
        ("half_light_radius", "arcsec", "$R_e$ [arcsec]"),
        ("flux", "nJy", "$F$ [nJy]"),
        ("bulge_to_total", None, "$B/T$"),
        ("bulge_to_total", "", "$B/T$"),
        ("lambda_r", None, r"$\lambda_R$"),
        ("star_formation_rate", "solMass / yr", "star formation rate [M☉ yr⁻¹]"),
        ("position_angle", "deg", "position angle [deg]"),
        ("flux", "nanomaggies", "$F$ [nanomaggies]"),
    ],
)
def test_targets_have_symbols_and_units(name, unit, label):
    assert labeled(name, unit) == label


def test_every_symbol_can_be_drawn():
    from matplotlib.mathtext import MathTextParser

    for name in SYMBOLS:
        assert MathTextParser("agg").parse(symbol(name)).width > 1


@pytest.mark.parametrize(
    ("make", "title"),
    [
        (lambda: CoverageDisplay.from_posterior(DRAWS, DRAWS[:, 0]), "Coverage of credible intervals"),
        (lambda: PITDisplay.from_posterior(DRAWS, DRAWS[:, 0]), "Probability integral transform (PIT)"),
        (lambda: TrainingHistoryDisplay.from_history(HISTORY), "Training"),
        (lambda: PosteriorDisplay.from_posterior(DrawsPosterior(DRAWS), row=7), "Posterior of galaxy 7"),
        (lambda: PosteriorDisplay.from_posterior(DrawsPosterior(DRAWS), name="M 87"), "Posterior of M 87"),
        (lambda: CutoutGridDisplay.from_predictions([IMAGE], [1], [2], choice="worst"), "largest errors"),
    ],
)
def test_a_new_figure_says_what_it_shows(make, title):
    assert make().figure_.get_suptitle() == title


def test_axes_of_the_caller_keep_the_title_of_the_caller():
    figure, axes = matplotlib.pyplot.subplots(2)
    figure.suptitle("mine")
    CoverageDisplay.from_posterior(DRAWS, DRAWS[:, 0], axes=axes)
    assert figure.get_suptitle() == "mine"


def test_the_bars_of_overlays_stand_apart():
    y, display = np.linspace(0, 1, 60), None
    places = []
    for name in "abc":
        where = {} if display is None else {"ax": display.ax_}
        display = RegressionDisplay.from_predictions(y, y, name=name, n_bootstrap=2, **where)
        places.append(display.errorbar_[0].get_transform().transform([(0.5, 0.5)])[0, 0])
    points = (np.array(places) - places[0]) / display.figure_.dpi * 72
    assert points.round(6).tolist() == [0, -4, 4]


def test_a_large_error_has_no_trailing_point():
    display = RegressionDisplay.from_predictions([0, 1, 2], [200, 201, 202], n_bootstrap=2)
    assert display.statistics_.get_text().endswith("RMSE = 200")


@pytest.mark.parametrize(
    ("high", "labels"), [(2.0, ["0.2", "0.5", "1", "2"]), (20.0, ["0.3", "1", "3", "10"]), (2e4, ["$", "$", "$"])]
)
def test_labels_of_logarithmic_axes_are_few_and_plain(high, labels):
    y = np.geomspace(0.18, high, 50)
    ax = RegressionDisplay.from_predictions(y, y, scale="log", n_bootstrap=2).ax_
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    texts = [tick.label1.get_text() for tick in ax.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert [text[: len(label)] for text, label in zip(texts, labels)] == labels
    assert not any(text.get_text() for text in ax.get_xticklabels(minor=True))


def saved(display, **settings):
    file = io.BytesIO()
    with matplotlib.rc_context({"pdf.compression": 0, **settings}):
        display.figure_.savefig(file, format="pdf")
    return file.getvalue()


def test_a_pdf_holds_the_pixels_as_they_are():
    display = ResidualDisplay(image=IMAGE, model=IMAGE, residual=IMAGE, chi2=1.0, parameters={}).plot()
    widths = [int(width) for width in re.findall(rb"/Width (\d+)", saved(display))]
    assert widths[:3] == [24, 24, 24]


def test_fonts_of_a_pdf_are_those_that_journals_take():
    display = CoverageDisplay.from_posterior(DRAWS, DRAWS[:, 0])
    pdf = saved(display, **{"pdf.fonttype": 42})
    assert b"/Type3" not in pdf
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
