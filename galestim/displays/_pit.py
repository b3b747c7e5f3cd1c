"""Display of the probability integral transform: posteriors too narrow, too wide or biased."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from ..calibration import pit, pit_uniformity
from ._targets import posterior_and_labels
from ._two_panels import BAND, DASHED, CalibrationDisplay

_N_BINS = 20


class PITDisplay(CalibrationDisplay):
    """Histogram of the probability integral transform per target, and how far from uniform it is below.

    Calibrated posteriors give a flat histogram. A cup: they are too narrow; a cap: too wide; a slope: truths are
    higher, or lower, than they say. Below is the difference between the share of values up to each level and the
    level, with the band that it stays in, at all levels at once, for 95 % of calibrated posteriors; the band of the
    histogram holds bin by bin. Make one with `from_estimator` or `from_posterior`; all parameters are stored as
    attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_targets)
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

    _title = "Probability integral transform (PIT)"
    _panels = "the histogram and the difference"

    def __init__(self, *, values, uniformity, labels, n_missing=0):
        self.values = values
        self.uniformity = uniformity
        self.labels = labels
        self.n_missing = n_missing

    @classmethod
    def from_posterior(cls, posterior, y, *, labels=None, random_state=0, axes=None, **plot_kwargs):
        """Draw where in its posterior each truth lies.

        Parameters
        ----------
        posterior : Posterior or array-like of shape (n_samples, n_draws, n_targets)
            Rows that are missing cutouts (NaN) are left out and counted in the legend.
        y : array-like or table of shape (n_samples, n_targets) or (n_samples,)
            True values, physical units. Columns of a table are found by the targets' names.
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

    def _draw(self, line_kwargs: dict) -> None:
        top, bottom = self.axes_
        found, levels = self.uniformity, self.uniformity.levels
        low, high = (count / len(self.values) * _N_BINS for count in self._bin_counts())
        self.band_ = top.fill_between([0, 1], low, high, **BAND)
        self.residual_band_ = bottom.fill_between(levels, found.low - levels, found.high - levels, **BAND)
        top.axhline(1, **DASHED)
        bottom.axhline(0, **DASHED)
        self.lines_ = self._draw_histograms(line_kwargs)
        self.residual_lines_ = self._curves(bottom, levels, (found.ecdf - levels[:, None]).T, line_kwargs)
        self._label_axes()
        self.legend_ = self._name_curves()

    def _bin_counts(self) -> NDArray[np.float64]:
        """Counts that a bin of uniform values stays between in 95 % of cases."""
        return binom.ppf([0.025, 0.975], len(self.values), 1 / _N_BINS)

    def _draw_histograms(self, line_kwargs: dict) -> list:
        edges = np.linspace(0, 1, _N_BINS + 1)
        densities = [np.histogram(column, edges, density=True)[0] for column in self.values.T]
        closed = [np.append(density, density[-1]) for density in densities]
        return self._curves(self.axes_[0], edges, closed, {"drawstyle": "steps-post"} | line_kwargs)

    def _label_axes(self) -> None:
        top, bottom = self.axes_
        top.set(xlim=(0, 1), ylabel="Density")
        top.set_ylim(bottom=0)
        bottom.set(xlim=(0, 1), xlabel="Probability below the truth", ylabel="Found − uniform")
        self._write_notes(np.abs(bottom.get_ylim()).max(), "truths lower than said", "truths higher than said")

    def _name_curves(self):
        """The legend, with a p-value for each target."""
        self.band_.set_label(self._band_label(len(self.values)))
        stated = ["p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" for p in self.uniformity.band_p_value]
        labels = [*(f"{label}, {p}" for label, p in zip(self.labels, stated)), self.band_.get_label()]
        return self._draw_legend([*self.lines_, self.band_], labels)
