"""Display of the coverage of credible intervals, at every level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..calibration import coverage
from ._style import GRAY
from ._targets import posterior_and_labels
from ._two_panels import BAND, DASHED, NOTE, CalibrationDisplay

SIGMAS = {"1σ": 0.6827, "2σ": 0.9545, "3σ": 0.9973}
_LEVELS = np.union1d(np.arange(1, 50) / 50, list(SIGMAS.values()))


class CoverageDisplay(CalibrationDisplay):
    r"""Found against nominal coverage of the credible intervals, per target, and their difference below.

    The band holds what 95 % of calibrated posteriors would show at each level by chance. A curve below the
    diagonal: the intervals are too narrow, or beside the truth; above: they are too wide. Make one with
    `from_estimator` or `from_posterior`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Nominal coverage.
    coverage : ndarray of shape (n_levels, n_targets)
        Share of the galaxies whose interval holds the truth.
    n_samples : int
        How many galaxies that is a share of.
    labels : list of str
        What the legend calls the targets.
    n_missing : int, default=0
        How many galaxies had no posterior and were left out.

    Attributes
    ----------
    low, high : ndarray of shape (n_levels,)
        The band around the diagonal.
    lines_, residual_lines_ : list of matplotlib Line2D
        One per target.
    diagonal_ : matplotlib Line2D
    band_, residual_band_ : matplotlib PolyCollection
    legend_ : matplotlib Legend
    axes_ : ndarray of two matplotlib Axes
        Coverage, difference.
    figure_ : matplotlib Figure

    Notes
    -----
    The band is :math:`p \pm 1.96 \sqrt{p (1 - p) / n}` at the level :math:`p`, for n galaxies, which is the
    Wilson interval turned round (Brown, Cai & DasGupta 2001, Statistical Science 16, 101): a
    curve leaves the band just where its Wilson interval leaves the diagonal. It holds level by level; that a
    curve leaves it somewhere is more likely than 5 %.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from galestim.displays import CoverageDisplay
    >>> rng = np.random.default_rng(0)
    >>> y, draws = rng.normal(size=(400, 1)), rng.normal(scale=0.5, size=(400, 300, 1))
    >>> display = CoverageDisplay.from_posterior(draws, y, levels=[0.5, 0.9])
    >>> display.coverage.ravel(), display.low.round(2)
    (array([0.2375, 0.5875]), array([0.45, 0.87]))
    >>> plt.close(display.figure_)
    """

    _title = "Coverage of credible intervals"
    _panels = "the coverage and the difference"
    _figure = {"figsize": (5.2, 6.9), "gridspec_kw": {"height_ratios": [3, 1.1]}}

    def __init__(self, *, levels, coverage, n_samples, labels, n_missing=0):
        self.levels = levels
        self.coverage = coverage
        self.n_samples = n_samples
        self.labels = labels
        self.n_missing = n_missing

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower edge of the band, (n_levels,)."""
        return _band(self.levels, self.n_samples)[0]

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper edge of the band, (n_levels,)."""
        return _band(self.levels, self.n_samples)[1]

    @classmethod
    def from_posterior(cls, posterior, y, *, levels=None, kind="equal_tailed", labels=None, axes=None, **plot_kwargs):
        """Draw how often the intervals of `posterior` hold `y`.

        Parameters
        ----------
        posterior : Posterior or array-like of shape (n_samples, n_draws, n_targets)
            Rows that are missing cutouts (NaN) are left out and counted.
        y : array-like or table of shape (n_samples, n_targets) or (n_samples,)
            True values, physical units. Columns of a table are found by the targets' names.
        levels : array-like of shape (n_levels,), default=None
            Probabilities of the intervals. None: 0.02, 0.04, …, 0.98, and those of 1, 2 and 3 σ.
        kind : {"equal_tailed", "hdi"}, default="equal_tailed"
            Intervals with the same probability on either side, or the narrowest ones, which take longer.
        labels : list of str, default=None
            What the legend calls the targets. By default the posterior's names.
        axes : array-like of two matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        ValueError
            If shapes disagree, `y` is not finite, a level is not between 0 and 1, or every row is missing.
        """
        posterior, labels = posterior_and_labels(posterior, labels)
        levels = _LEVELS if levels is None else np.unique(levels)
        n_missing = int(np.isnan(posterior.weights[:, 0]).sum())
        display = cls(
            levels=levels,
            coverage=coverage(posterior, y, levels, kind=kind).coverage,
            n_samples=len(posterior) - n_missing,
            labels=labels,
            n_missing=n_missing,
        )
        return display.plot(axes, **plot_kwargs)

    def _draw(self, line_kwargs: dict) -> None:
        top, bottom = self.axes_
        x = np.linspace(0, 1, 201)
        self.band_ = self._draw_band(top, x, offset=0)
        self.diagonal_ = top.plot([0, 1], [0, 1], **DASHED)[0]
        self.lines_ = self._draw_curves(top, self.levels * 0, line_kwargs)
        self.residual_band_ = self._draw_band(bottom, x, offset=x)
        bottom.axhline(0, **DASHED)
        self.residual_lines_ = self._draw_curves(bottom, self.levels, line_kwargs)
        self._label_axes()
        self.band_.set_label(self._band_label(self.n_samples))
        handles = [*self.lines_, self.band_]
        self.legend_ = self._draw_legend(handles, [line.get_label() for line in handles], pad=1.4)

    def _draw_band(self, ax, x, offset):
        low, high = _band(x, self.n_samples)
        return ax.fill_between(x, low - offset, high - offset, **BAND)

    def _draw_curves(self, ax, offset, line_kwargs: dict) -> list:
        """A line per target, with marks where the levels are those of 1, 2 and 3 σ."""
        marked = np.flatnonzero(np.isin(self.levels, list(SIGMAS.values()))).tolist()
        if len(self.levels) <= 10:  # too few for a curve to be seen as one
            marked = list(range(len(self.levels)))
        markers = {"markevery": marked, "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.6}
        curves = (self.coverage - offset[:, None]).T
        return self._curves(ax, self.levels, curves, line_kwargs, markers | {"clip_on": False})

    def _label_axes(self) -> None:
        top, bottom = self.axes_
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="Found coverage")
        found, (low, high) = self.coverage - self.levels[:, None], _band(np.linspace(0, 1), self.n_samples)
        bottom.set(xlim=(0, 1), xlabel="Nominal coverage", ylabel="Found − nominal")
        sides = "center", "right", "left"  # two of the names are near each other
        for (name, level), side in zip(SIGMAS.items(), sides):
            for ax in self.axes_:
                ax.axvline(level, color=GRAY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
            top.annotate(name, (level, 1), (0, 2), textcoords="offset points", ha=side, **NOTE)
        reach = 1.1 * max(np.abs(found).max(), (high - low).max() / 2)
        self._write_notes(reach, "intervals too wide", "intervals too narrow")


def _band(levels: NDArray, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which shares of `n` galaxies 95 % of calibrated posteriors are found, at each of `levels`."""
    half_width = ndtri(0.975) * np.sqrt(levels * (1 - levels) / n)
    return np.clip(levels - half_width, 0, 1), np.clip(levels + half_width, 0, 1)
