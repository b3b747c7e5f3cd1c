"""How often credible intervals hold the truth, at every level: the picture of a calibrated posterior."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .._descend import descend
from .._sklearn import styled
from ..calibration import coverage
from ._style import GRAY, INK, PALE, PALETTE, quiet, require_pyplot
from ._targets import posterior_and_labels

SIGMAS = {"1σ": 0.6827, "2σ": 0.9545, "3σ": 0.9973}
_LEVELS = np.union1d(np.arange(1, 50) / 50, list(SIGMAS.values()))
_NOTE = {"fontsize": "x-small", "color": GRAY}


class CoverageDisplay:
    r"""Found against nominal coverage of the credible intervals, per target, and their difference below.

    The band holds what 95 % of calibrated posteriors would show at each level by chance. A curve below the
    diagonal: the intervals are too narrow, or beside the truth; above: they are too wide. Make one with
    `from_estimator` or `from_posterior`; all parameters are stored as attributes.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Nominal coverage.
    coverage : ndarray of shape (n_levels, n_targets)
        Share of the galaxies whose interval holds the truth.
    n_galaxies : int
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

    def __init__(self, *, levels, coverage, n_galaxies, labels, n_missing=0):
        self.levels = levels
        self.coverage = coverage
        self.n_galaxies = n_galaxies
        self.labels = labels
        self.n_missing = n_missing

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower edge of the band, (n_levels,)."""
        return _band(self.levels, self.n_galaxies)[0]

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper edge of the band, (n_levels,)."""
        return _band(self.levels, self.n_galaxies)[1]

    @classmethod
    def from_estimator(cls, estimator, X, y, **kwargs):
        """Predict the posteriors of `X` and draw their coverage of `y`.

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
        CoverageDisplay

        Raises
        ------
        ValueError
            If the estimator has no posterior.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        inner, X = descend(estimator, X, "predict_posterior")
        return cls.from_posterior(inner.predict_posterior(X), y, **kwargs)

    @classmethod
    def from_posterior(cls, posterior, y, *, levels=None, kind="equal_tailed", labels=None, axes=None, **plot_kwargs):
        """Draw how often the intervals of `posterior` hold `y`.

        Parameters
        ----------
        posterior : Posterior or array-like of shape (n_galaxies, n_draws, n_targets)
            Rows that are missing cutouts (NaN) are left out and counted.
        y : array-like of shape (n_galaxies, n_targets) or (n_galaxies,)
            True values, physical units.
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
            n_galaxies=len(posterior) - n_missing,
            labels=labels,
            n_missing=n_missing,
        )
        return display.plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, line_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of two matplotlib Axes, default=None
            Where to draw the coverage and the difference; by default a new figure.
        line_kwargs : dict, default=None
            Passed to matplotlib's ``plot`` for every target, over this display's own choices.

        Returns
        -------
        CoverageDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if axes is None:
            layout = {"height_ratios": [3, 1.1]}
            _, axes = plt.subplots(2, sharex=True, figsize=(5.2, 6.4), layout="constrained", gridspec_kw=layout)
        axes = np.ravel(axes)
        if len(axes) != 2:
            raise ValueError(f"axes holds {len(axes)} Axes; expected 2, for the coverage and the difference.")
        self.axes_, self.figure_ = axes, axes[0].figure
        x = np.linspace(0, 1, 201)
        self.band_ = self._draw_band(axes[0], x, offset=0)
        self.diagonal_ = axes[0].plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=(0, (5, 3)), zorder=2)[0]
        self.lines_ = self._draw_curves(axes[0], self.levels * 0, line_kwargs or {})
        self.residual_band_ = self._draw_band(axes[1], x, offset=x)
        axes[1].axhline(0, color=GRAY, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
        self.residual_lines_ = self._draw_curves(axes[1], self.levels, line_kwargs or {})
        self._label_axes()
        self.legend_ = self._draw_legend()
        return self

    def _draw_band(self, ax, x, offset):
        low, high = _band(x, self.n_galaxies)
        return ax.fill_between(x, low - offset, high - offset, color=PALE, linewidth=0, zorder=1)

    def _draw_curves(self, ax, offset, line_kwargs: dict) -> list:
        """A line per target, with marks where the levels are those of 1, 2 and 3 σ."""
        marked = np.flatnonzero(np.isin(self.levels, list(SIGMAS.values()))).tolist()
        if len(self.levels) <= 10:  # too few for a curve to be seen as one
            marked = list(range(len(self.levels)))
        lines = []
        for found, label, color, marker in zip(self.coverage.T, self.labels, cycle(PALETTE), cycle("osD^vP")):
            style = {"color": color, "label": label, "marker": marker, "markevery": marked, "markersize": 5}
            style |= {"markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 3, "clip_on": False}
            lines += ax.plot(self.levels, found - offset, **styled(style, line_kwargs))
        return lines

    def _label_axes(self) -> None:
        top, bottom = self.axes_
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="Found coverage")
        found, (low, high) = self.coverage - self.levels[:, None], _band(np.linspace(0, 1), self.n_galaxies)
        reach = 1.25 * max(np.abs(found).max(), (high - low).max() / 2)
        bottom.set(ylim=(-reach, reach), xlabel="Nominal coverage", ylabel="Found − nominal")
        for name, level in SIGMAS.items():
            for ax in self.axes_:
                ax.axvline(level, color=GRAY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
            top.annotate(name, (level, 1), (0, 2), textcoords="offset points", ha="center", **_NOTE)
        for y, va, text in [(0.96, "top", "intervals too wide"), (0.04, "bottom", "intervals too narrow")]:
            bottom.text(0.02, y, text, transform=bottom.transAxes, va=va, **_NOTE)
        for ax in self.axes_:
            quiet(ax)
        self.figure_.align_ylabels(self.axes_)

    def _draw_legend(self):
        missing = f" ({self.n_missing:,} missing left out)" if self.n_missing else ""
        self.band_.set_label(f"95 % of calibrated posteriors,\n{self.n_galaxies:,} galaxies{missing}")
        return self.axes_[0].legend(
            handles=[*self.lines_, self.band_], loc="upper left", fontsize="small", frameon=False, labelcolor=INK
        )


def _band(levels: NDArray, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which shares of `n` galaxies 95 % of calibrated posteriors are found, at each of `levels`."""
    half_width = ndtri(0.975) * np.sqrt(levels * (1 - levels) / n)
    return np.clip(levels - half_width, 0, 1), np.clip(levels + half_width, 0, 1)
