"""Style of all displays, and the import of matplotlib.

Colors are those of Okabe & Ito (2008), which stay distinct in every common form of color blindness.
"""

from importlib import import_module

BLUE = "#0072B2"
VERMILION = "#D55E00"
INK = "#222222"
GRAY = "#767676"
PALE = "#EDEDED"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""For several curves in one panel, in this order."""

IMAGE = {"cmap": "gray", "vmin": 0, "vmax": 1, "origin": "upper"}
"""Of stretched images of galaxies, north up."""


def require_pyplot(caller: str):
    """``matplotlib.pyplot``, or an ImportError that says how to get it."""
    try:
        return import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib, which is not installed; run: pip install "galestim[plot]"'
        ) from error


def quiet(ax) -> None:
    """Keep of the frame only what carries a scale: the left and the bottom spine, thin and gray."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=GRAY, linewidth=0.8)
    ax.tick_params(which="both", color=GRAY, labelcolor=INK, width=0.8)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)


def entitle(figure, title: str | None) -> None:
    """Say above all panels of a new figure what it shows; axes of the caller keep the caller's titles."""
    if title:
        figure.suptitle(title, fontsize="medium", color=INK)


def padded(low: float, high: float, fraction: float = 0.04) -> tuple[float, float]:
    """Widen the interval on both sides by `fraction` of itself, and never leave it of zero width."""
    margin = fraction * (high - low) or 0.5
    if low - margin == high + margin:  # a huge number
        margin = fraction * abs(high)
    return low - margin, high + margin


def label_logarithms(ax) -> None:
    """Few labels on logarithmic axes: 0.5, 1, 2 where there are a decade or two, else powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        axis.set_minor_formatter(NullFormatter())
        if high < 300 * low:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1, 3)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def axes_size(ax) -> tuple[float, float]:
    """Width and height of `ax` [inches], as far as they are known before the layout."""
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi, box.height / ax.figure.dpi
