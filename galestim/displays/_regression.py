"""Display of predicted against actual values, with correlations and errors."""

from __future__ import annotations

import numpy as np

from .._sklearn import styled
from ._estimator import predicted, target_label
from ._statistics import BinnedMeans, Correlation, binned_means, bootstrap_correlations, root_mean_squared_error
from ._style import BLUE, GRAY, INK, PALETTE, VERMILION, axes_size, label_logarithms, padded, quiet, require_pyplot
from ._targets import as_predicted, pair_target

MIN_PAIRS = 3
"""With two points every correlation is ±1."""


_COLLAPSED = 30
"""Ratio of the central 90 % of the values beyond which an axis is logarithmic."""
_ROOMY = 3.0  # inches of axes in which a legend hides little
_BESIDE = 2.2  # inches, that a legend beside square axes needs
_LEGEND_HEIGHT = 58  # points, of three lines

_GID = "galestim predictions"  # of the points of each display in the axes
_APART = 4  # points between the bars of overlays
_MARKERS = "os^DvP"  # of overlays, with the colors of PALETTE

_TEXT = {"color": INK, "linespacing": 1.3}
_LINE = {"color": GRAY, "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 2.5, "label": "one-to-one"}
_ERRORBAR = {
    "fmt": "o",
    "color": VERMILION,
    "markersize": 5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
    "elinewidth": 1.4,
    "zorder": 3,
}


class RegressionDisplay:
    """Predicted against actual values of one target.

    A scatter with the one-to-one line, the mean and standard deviation of the predictions in bins of the
    actual value, and, in words, the Pearson and Spearman correlations with their intervals and the RMSE. Make
    one with `from_estimator` or `from_predictions`; all parameters are stored as attributes.

    Several go into one axes if each has a `name`, such as the epochs of a training: each has a color and a marker of
    its own, and its numbers are in the legend.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        Actual and predicted values, finite.
    pearson, spearman : Correlation
        Named tuples ``(value, low, high, p_value)``: the bootstrap interval, and the p-value of no correlation.
    rmse : float
        Root mean squared error, in the units of the target.
    bins : BinnedMeans
        Named tuple of arrays ``(center, mean, std, n_points)``, each of shape (n_bins,).
    n_missing : int, default=0
        How many galaxies had no prediction and were left out.
    target_name : str, default=None
        What the axes call the target.
    name : str, default=None
        What the legend calls these predictions, where axes hold several.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The galaxies.
    line_ : matplotlib Line2D
        The one-to-one line.
    errorbar_ : matplotlib ErrorbarContainer
        Binned mean ± standard deviation.
    statistics_ : matplotlib Text or None
        Correlations and RMSE, above; None with a `name`, which has them in the legend.
    legend_ : matplotlib Legend
        What the marks mean and how many galaxies there are, bottom right, or beside small axes.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    sklearn.metrics.PredictionErrorDisplay : Without the statistics; draws residuals too.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from galestim.displays import RegressionDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = RegressionDisplay.from_estimator(Ridge().fit(X, y), X, y, random_state=0)
    >>> round(display.pearson.value, 2)
    0.7
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, y_true, y_pred, pearson, spearman, rmse, bins, n_missing=0, target_name=None, name=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.pearson: Correlation = pearson
        self.spearman: Correlation = spearman
        self.rmse = rmse
        self.bins: BinnedMeans = bins
        self.n_missing = n_missing
        self.target_name = target_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, **kwargs):
        """Predict `X` and draw the predictions against `y`.

        Parameters
        ----------
        estimator : estimator instance
            A fitted regressor, or a pipeline or search that ends in one.
        X : array-like
            What ``estimator.predict`` takes.
        y : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            Actual values. Columns of a table are found by the estimator's `target_names_`.
        **kwargs
            As for `from_predictions`.

        Returns
        -------
        RegressionDisplay
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        values, _ = predicted(estimator, X)
        kwargs.setdefault("target_name", target_label(estimator, kwargs.get("target")))
        return cls.from_predictions(as_predicted(estimator, y, kwargs.get("target")), values, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        *,
        target=None,
        target_name=None,
        name=None,
        n_bins=10,
        bin_strategy="quantile",
        n_bootstrap=1000,
        confidence_level=0.95,
        random_state=None,
        ax=None,
        **plot_kwargs,
    ):
        r"""Draw predictions against actual values.

        Parameters
        ----------
        y_true : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            Actual values.
        y_pred : array-like of the same shape
            Predicted values. NaN means that there is none, because the cutout is missing: such rows are left
            out and counted.
        target : int or str, default=None
            Which target, if there are several: its index, or its name if `y_true` is a table.
        target_name : str, default=None
            What the axes call the target, for instance ``r"$\lambda_R$"``. By default the symbol and unit of its
            column, or of the estimator's target.
        name : str, default=None
            What the legend calls these predictions, such as ``"epoch 20"``. With ``ax=`` that of another display
            with a name, both are told apart.
        n_bins : int, default=10
            Number of bins in the actual value; fewer if they would hold fewer than five galaxies on average.
        bin_strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equal count, or of equal width.
        n_bootstrap : int, default=1000
            Number of bootstrap resamples behind the intervals of the correlations.
        confidence_level : float, default=0.95
            Confidence level of these intervals.
        random_state : int, RandomState instance or None, default=None
            Draws the resamples.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        RegressionDisplay

        Raises
        ------
        ValueError
            If the shapes differ, an actual value is not finite, a prediction is infinite, `target` is needed
            and absent, or fewer than three galaxies have a prediction.
        """
        actual, guess, target_name = pair_target(y_true, y_pred, target=target, target_name=target_name)
        has_prediction = np.isfinite(guess)
        x, y = actual[has_prediction], guess[has_prediction]
        if len(x) < MIN_PAIRS:
            raise ValueError(
                f"{len(x)} of {len(actual)} rows have a prediction; expected at least {MIN_PAIRS}. "
                "A prediction is NaN where the cutout is missing."
            )
        pearson, spearman = bootstrap_correlations(
            x, y, n_bootstrap=n_bootstrap, confidence_level=confidence_level, random_state=random_state
        )
        display = cls(
            y_true=x,
            y_pred=y,
            pearson=pearson,
            spearman=spearman,
            rmse=root_mean_squared_error(x, y),
            bins=binned_means(x, y, n_bins=n_bins, bin_strategy=bin_strategy),
            n_missing=int(np.sum(~has_prediction)),
            target_name=target_name,
            name=name,
        )
        return display.plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, scale="auto", scatter_kwargs=None, line_kwargs=None, errorbar_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        scale : {"auto", "linear", "log"}, default="auto"
            Of both axes. "auto" is logarithmic if all values are positive and so unequal that most of them would
            collapse into a corner.
        scatter_kwargs, line_kwargs, errorbar_kwargs : dict, default=None
            Passed to matplotlib's ``scatter``, ``plot`` and ``errorbar``, over this display's own choices.

        Returns
        -------
        RegressionDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            _, ax = plt.subplots(figsize=(5.2, 5.6), layout="constrained")
        scale = self._checked_scale(scale)
        number = sum(points.get_gid() == _GID for points in ax.collections)  # of displays that are there
        limits = self._limits(scale)
        if number and self.name is not None:
            limits = min(limits[0], ax.get_xlim()[0]), max(limits[1], ax.get_xlim()[1])
        ax.set(xscale=scale, yscale=scale)
        style, bars = self._styles(ax, number)
        self.scatter_ = ax.scatter(self.y_true, self.y_pred, gid=_GID, **styled(style, scatter_kwargs or {}))
        line = _LINE | ({"label": "_"} if number and self.name is not None else {})
        self.line_ = ax.plot(limits, limits, **styled(line, line_kwargs or {}))[0]
        self.errorbar_ = ax.errorbar(
            self.bins.center, self.bins.mean, self.bins.std, **styled(_ERRORBAR | bars, errorbar_kwargs or {})
        )
        name = self.target_name or "value"
        ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"Actual {name}", ylabel=f"Predicted {name}")
        if scale == "linear":
            ax.locator_params(nbins=6 if min(axes_size(ax)) > _ROOMY else 4)
        else:
            label_logarithms(ax)
        quiet(ax)
        self.statistics_ = self._draw_statistics(ax) if self.name is None else None
        self.legend_ = self._draw_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _styles(self, ax, number: int) -> tuple[dict, dict]:
        """Of the points and of the binned means; with a name, in a color and with a marker of their own."""
        points, bars = self._scatter_style(), {"label": _bins_label(len(self.bins.mean))}
        if self.name is None:
            return points, bars
        color, marker = PALETTE[number % len(PALETTE)], _MARKERS[number % len(_MARKERS)]
        label = f"{self.name}: r {_format(self.pearson)}, RMSE = {_rounded(self.rmse)}"
        faint = {"color": color, "marker": marker, "alpha": points["alpha"] / 2, "label": "_"}
        own = {"color": color, "fmt": f"{marker}-", "label": label, "transform": _beside(ax, number)}
        return points | faint, own

    def _checked_scale(self, scale: str) -> str:
        if scale not in ("auto", "linear", "log"):
            raise ValueError(f"scale={scale!r}; expected 'auto', 'linear' or 'log'.")
        positive = min(self.y_true.min(), self.y_pred.min()) > 0
        if scale == "log" and not positive:
            raise ValueError("scale='log', but some values are not positive; use 'linear'.")
        low, high = np.quantile(self.y_true, [0.05, 0.95])
        return "log" if scale == "auto" and positive and high > _COLLAPSED * low else scale.replace("auto", "linear")

    def _limits(self, scale: str) -> tuple[float, float]:
        """Around all values, on the axes' scale; halves and doubles, as their differences may overflow."""
        low, high = min(self.y_true.min(), self.y_pred.min()), max(self.y_true.max(), self.y_pred.max())
        if scale == "linear":
            low, high = padded(low / 2, high / 2)
            return 2 * low, 2 * high
        low, high = np.exp(padded(np.log(low), np.log(high)))
        return float(low), float(high)

    def _scatter_style(self) -> dict:
        """Points that shrink and fade as they become many: 20 are seen, 20 000 show their density."""
        n = len(self.y_true)
        missing = f" ({self.n_missing:,} missing left out)" if self.n_missing else ""
        return {
            "s": np.clip(600 / np.sqrt(n), 4, 36),
            "alpha": np.clip(14 / np.sqrt(n), 0.08, 0.8),
            "color": BLUE,
            "linewidth": 0,
            "rasterized": n > 2000,  # a vector file with 20 000 circles is slow to open
            "label": f"{n:,} galaxies{missing}",
        }

    def _draw_legend(self, ax):
        """In the corner below the diagonal, which good predictions leave empty; beside or above small axes."""
        width, height = axes_size(ax)
        where: dict = {"loc": "lower right"}
        if min(width, height) < _ROOMY:
            beside = width > height + _BESIDE
            where = {"loc": "upper left" if beside else "lower left", "bbox_to_anchor": (float(beside), 1)}
        box = {"fontsize": "small", "framealpha": 0.8, "edgecolor": "none"}
        if self.name is not None:
            return ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, **box)
        legend = ax.legend(handles=[self.scatter_, self.line_, self.errorbar_], **box, **where)
        legend.legend_handles[0].set(alpha=0.8, sizes=[24])
        return legend

    def _draw_statistics(self, ax):
        """Above the axes, where no galaxy is."""
        lines = [
            f"Pearson r {_format(self.pearson)}",
            f"Spearman ρ {_format(self.spearman)}",
            f"RMSE = {_rounded(self.rmse)}",
        ]
        width, height = axes_size(ax)
        small = min(width, height) < _ROOMY
        pad = _LEGEND_HEIGHT if small and width <= height + _BESIDE else 6  # the legend may come between
        return ax.set_title("\n".join(lines), loc="left", pad=pad, fontsize="small" if small else "medium", **_TEXT)


def _beside(ax, number: int):
    """Where the bars of the overlay with this number go: bins are the same ones, so a few points to a side."""
    from matplotlib.transforms import ScaledTranslation

    shift = _APART * ((number + 1) // 2) * (-1) ** number / 72  # inches: 0, -4, 4, -8, … points
    return ax.transData + ScaledTranslation(shift, 0, ax.figure.dpi_scale_trans)


def _bins_label(n_bins: int) -> str:
    return f"mean ± std in {n_bins} bins" if n_bins > 1 else "mean ± std"


def _rounded(value: float) -> str:
    """Three digits: ``0.150``, ``123``."""
    return f"{value:#.3g}".rstrip(".")


def _format(correlation: Correlation) -> str:
    """``= 0.75 [0.72, 0.78]``, a third decimal where two would hide the interval."""
    value, low, high, _ = correlation
    if np.isnan(value):
        return "undefined"
    digits = 2 if high - low >= 0.02 else 3
    return f"= {value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")
