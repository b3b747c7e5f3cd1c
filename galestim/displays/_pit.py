"""Where in their posteriors the truths lie: the picture that tells too narrow from too wide from biased."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from .._descend import descend
from .._sklearn import styled
from ..calibration import pit, pit_uniformity
from ._style import GRAY, INK, PALE, PALETTE, quiet, require_pyplot
from ._targets import posterior_and_labels

_N_BINS = 20
_NOTE = {"fontsize": "x-small", "color": GRAY}


class PITDisplay:
    """Histogram of the probability integral transform per target, and how far from uniform it is below.

    Calibrated posteriors give a flat histogram. A cup: they are too narrow; a cap: too wide; a slope: truths are
    higher, or lower, than they say. Below is the difference between the share of values up to each level and the
    level, with the band that it stays in, at all levels at once, for 95 % of calibrated posteriors; the band of the
    histogram holds bin by bin. Make one with `from_estimator` or `from_posterior`; all parameters are stored as
    attributes.

    Parameters
    ----------
    values : ndarray of shape (n_galaxies, n_targets)
        The transforms, as :func:`galestim.calibration.pit` gives them.
    uniformity : Uniformity
        Their test, as :func:`galestim.calibration.pit_uniformity` gives it.
    labels : list of str
        What the legend calls the targets.
    n_missing : int, default=0
        How many galaxies had no posterior and were left out.

    Attributes
    ----------
    lines_, residual_lines_ : list of matplotlib Line2D
        One per target: its histogram, its difference from uniform.
    band_, residual_band_ : matplotlib PolyCollection
    legend_ : matplotlib Legend
        With the p-value that the band belongs to.
    axes_ : ndarray of two matplotlib Axes
        Histogram, difference.
    figure_ : matplotlib Figure

    Notes
    -----
    The band of the difference is that of Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32, 32.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from galestim.displays import PITDisplay
    >>> rng = np.random.default_rng(0)
    >>> y, draws = rng.normal(size=(400, 1)), rng.normal(scale=0.5, size=(400, 300, 1))
    >>> display = PITDisplay.from_posterior(draws, y)
    >>> test = display.uniformity
    >>> float(((test.ecdf[:, 0] < test.low) | (test.ecdf[:, 0] > test.high)).mean().round(1))
    0.7
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, values, uniformity, labels, n_missing=0):
        self.values = values
        self.uniformity = uniformity
        self.labels = labels
        self.n_missing = n_missing

    @classmethod
    def from_estimator(cls, estimator, X, y, **kwargs):
        """Predict the posteriors of `X` and draw where `y` lies in them.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``predict_posterior``, such as STNPosteriorRegressor; or a pipeline that ends in one, or a
            search that found one.
        X : array-like
            What ``estimator.predict`` takes.
        y : array-like of shape (n_galaxies, n_targets) or (n_galaxies,)
            True values.
        **kwargs
            As for `from_posterior`.

        Returns
        -------
        PITDisplay

        Raises
        ------
        ValueError
            If the estimator has no posterior.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        inner, X = descend(estimator, X, "predict_posterior")
        return cls.from_posterior(inner.predict_posterior(X), y, **kwargs)

    @classmethod
    def from_posterior(cls, posterior, y, *, labels=None, random_state=0, axes=None, **plot_kwargs):
        """Draw where in its posterior each truth lies.

        Parameters
        ----------
        posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
            Rows that are missing cutouts (NaN) are left out and counted in the legend.
        y : array-like of shape (n_galaxies, n_targets) or (n_galaxies,)
            True values, physical units.
        labels : list of str, default=None
            What the legend calls the targets. By default the posterior's names.
        random_state : int, RandomState instance or None, default=0
            Where between two draws a truth lies. Of no effect on a MixturePosterior.
        axes : array-like of two matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        PITDisplay

        Raises
        ------
        ValueError
            If shapes disagree, `y` is not finite, or every row is missing.
        """
        posterior, labels = posterior_and_labels(posterior, labels)
        known = ~np.isnan(posterior.weights[:, 0])
        display = cls(
            values=pit(posterior, y, random_state=random_state)[known],
            uniformity=pit_uniformity(posterior, y, random_state=random_state),
            labels=labels,
            n_missing=int((~known).sum()),
        )
        return display.plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, line_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of two matplotlib Axes, default=None
            Where to draw the histogram and the difference; by default a new figure.
        line_kwargs : dict, default=None
            Passed to matplotlib's ``plot`` for every target, over this display's own choices.

        Returns
        -------
        PITDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if axes is None:
            _, axes = plt.subplots(2, sharex=True, figsize=(5.2, 5.6), layout="constrained")
        axes = np.ravel(axes)
        if len(axes) != 2:
            raise ValueError(f"axes holds {len(axes)} Axes; expected 2, for the histogram and the difference.")
        self.axes_, self.figure_ = axes, axes[0].figure
        low, high = (count / len(self.values) * _N_BINS for count in self._bin_counts())
        band = {"color": PALE, "linewidth": 0, "zorder": 1}
        self.band_ = axes[0].fill_between([0, 1], low, high, **band)
        found = self.uniformity
        self.residual_band_ = axes[1].fill_between(
            found.levels, found.low - found.levels, found.high - found.levels, **band
        )
        self.lines_ = self._draw_histograms(line_kwargs or {})
        self.residual_lines_ = self._draw_curves(
            axes[1], found.levels, (found.ecdf - found.levels[:, None]).T, line_kwargs or {}
        )
        self._label_axes()
        self.legend_ = self._draw_legend()
        return self

    def _bin_counts(self) -> NDArray[np.float64]:
        """Counts that a bin of uniform values stays between in 95 % of cases."""
        return binom.ppf([0.025, 0.975], len(self.values), 1 / _N_BINS)

    def _draw_histograms(self, line_kwargs: dict) -> list:
        edges = np.linspace(0, 1, _N_BINS + 1)
        densities = [np.histogram(column, edges, density=True)[0] for column in self.values.T]
        closed = [np.append(density, density[-1]) for density in densities]
        return self._draw_curves(self.axes_[0], edges, closed, {"drawstyle": "steps-post"} | line_kwargs)

    def _draw_curves(self, ax, x, curves, line_kwargs: dict) -> list:
        ax.axhline(float(ax is self.axes_[0]), color=GRAY, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
        lines = []
        for curve, label, color in zip(curves, self.labels, cycle(PALETTE)):
            lines += ax.plot(x, curve, **styled({"color": color, "label": label, "zorder": 3}, line_kwargs))
        return lines

    def _label_axes(self) -> None:
        top, bottom = self.axes_
        top.set(xlim=(0, 1), ylabel="Density")
        top.set_ylim(0, 1.45 * top.get_ylim()[1])  # room for the legend
        bottom.set(xlabel="Probability below the truth", ylabel="Found − uniform")
        bottom.set_ylim(*np.array([-1.2, 1.2]) * np.abs(bottom.get_ylim()).max())  # room for the notes
        for y, va, text in [(0.96, "top", "truths lower than said"), (0.04, "bottom", "truths higher than said")]:
            bottom.text(0.98, y, text, transform=bottom.transAxes, va=va, ha="right", **_NOTE)
        for ax in self.axes_:
            quiet(ax)
        self.figure_.align_ylabels(self.axes_)

    def _draw_legend(self):
        missing = f" ({self.n_missing:,} missing left out)" if self.n_missing else ""
        self.band_.set_label(f"95 % of calibrated posteriors,\n{len(self.values):,} galaxies{missing}")
        stated = ["p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" for p in self.uniformity.band_p_value]
        named = [f"{label}, {p}" for label, p in zip(self.labels, stated)]
        handles = [*self.lines_, self.band_]
        return self.axes_[0].legend(
            handles,
            [*named, self.band_.get_label()],
            loc="upper center",
            ncols=2,
            fontsize="small",
            frameon=False,
            labelcolor=INK,
        )
