"""Displays of two panels, one above the other, and those of them that compare posteriors with truths."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

import numpy as np

from .._descend import descend
from .._sklearn import styled
from ._style import GRAY, INK, PALE, PALETTE, axes_size, entitle, quiet, require_pyplot

DASHED = {"color": GRAY, "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 2}
NOTE = {"fontsize": "x-small", "color": GRAY}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))  # told apart in gray, and where lines cross
_TWO_COLUMNS = 3.8  # inches
_STRIP = 12  # points, that a line of notes needs
BAND = {"color": PALE, "linewidth": 0, "zorder": 1}


class TwoPanelDisplay:
    """Base of displays with an upper and a lower panel on one x axis; a subclass draws in `_draw`."""

    _title: str | None = None
    _panels = "the upper and the lower panel"
    _figure: dict = {"figsize": (5.2, 5.6)}

    def plot(self, axes=None, *, line_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of two matplotlib Axes, default=None
            Where to draw the upper and the lower panel; by default a new figure.
        line_kwargs : dict, default=None
            Passed to matplotlib's ``plot`` for every curve, over this display's own choices.

        Returns
        -------
        display
            The display itself.

        Raises
        ------
        ValueError
            If `axes` are not two.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if axes is None:
            figure, axes = plt.subplots(2, sharex=True, layout="constrained", **self._figure)
            entitle(figure, self._title)
        axes = np.ravel(axes)
        if len(axes) != 2:
            raise ValueError(f"axes holds {len(axes)} Axes; expected 2, for {self._panels}.")
        self.axes_, self.figure_ = axes, axes[0].figure
        self._draw(line_kwargs or {})
        for ax in axes:
            quiet(ax)
        self.figure_.align_ylabels(axes)
        return self

    def _draw(self, line_kwargs: dict) -> None:
        raise NotImplementedError


class CalibrationDisplay(TwoPanelDisplay):
    """Base of displays with a curve for each target and a band of what chance does to calibrated posteriors."""

    labels: list[str]
    n_missing: int

    @classmethod
    def from_estimator(cls, estimator, X, y, **kwargs):
        """Predict the posteriors of `X` and compare them with `y`.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``predict_posterior``, such as STNPosteriorRegressor; or a pipeline that ends in one, or a
            search that found one.
        X : array-like
            What ``estimator.predict`` takes.
        y : array-like or table of shape (n_samples, n_targets) or (n_samples,)
            True values, physical units. Columns of a table are found by the targets' names.
        **kwargs
            As for `from_posterior`.

        Returns
        -------
        display

        Raises
        ------
        ValueError
            If the estimator has no posterior.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        inner, X = descend(estimator, X, "predict_posterior")
        return cls.from_posterior(inner.predict_posterior(X), y, **kwargs)

    @classmethod
    def from_posterior(cls, posterior, y, **kwargs):
        """Compare posteriors with truths."""
        raise NotImplementedError

    def _curves(self, ax, x, curves: Iterable, line_kwargs: dict, markers: dict | None = None) -> list:
        """A line for each target."""
        lines = []
        looks = zip(cycle(PALETTE), cycle("osD^vP"), cycle(_DASHES))
        for curve, label, (color, marker, dashes) in zip(curves, self.labels, looks):
            style = {"color": color, "linestyle": dashes, "label": label, "zorder": 3}
            style |= {} if markers is None else {"marker": marker, **markers}
            lines += ax.plot(x, curve, **styled(style, line_kwargs))
        return lines

    def _band_label(self, n_samples: int) -> str:
        missing = f" ({self.n_missing:,} missing left out)" if self.n_missing else ""
        return f"95 % of calibrated posteriors,\n{n_samples:,} galaxies{missing}"

    def _write_notes(self, reach: float, above: str, below: str) -> None:
        """Meanings of a curve far above and far below, in strips of the lower panel beyond its `reach`."""
        ax = self.axes_[1]
        strip = min(0.3, _STRIP / (72 * axes_size(ax)[1]))  # its share of the panel
        ax.set_ylim(*np.array([-1, 1]) * reach / (1 - 2 * strip))
        for y, va, text in [(1, "top", above), (0, "bottom", below)]:
            ax.text(0.01, y, text, transform=ax.transAxes, va=va, ha="left", **NOTE)

    def _draw_legend(self, handles: list, labels: list[str], pad: float = 0.0):
        """Above the panels, where no curve is; in two columns, if there is room."""
        style = {"fontsize": "small", "frameon": False, "labelcolor": INK, "handlelength": 1.8}
        n_columns = 2 if axes_size(self.axes_[0])[0] > _TWO_COLUMNS else 1
        where = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": pad, "ncols": n_columns}
        return self.axes_[0].legend(handles, labels, **style, **where)
