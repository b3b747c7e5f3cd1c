"""Display of one galaxy's joint posterior: every target, and every pair of targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._descend import descend
from .._images import input_ndim
from .._masked import without_mask
from .._sklearn import num_samples, safe_indexing
from .._tables import is_table, target_values
from ..posteriors import DrawsPosterior, Posterior
from ._cutouts import draw_image
from ._densities import VIEW, Density, density, highest_density
from ._labels import labeled
from ._style import BLUE, IMAGE, INK, VERMILION, entitle, padded, quiet, require_pyplot

_TRUTH = {"color": VERMILION, "linewidth": 1.1, "zorder": 4}
_MEDIAN = {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 2)), "zorder": 3}


class PosteriorDisplay:
    """One galaxy's joint posterior as a corner plot.

    On the diagonal the density of each target, with its median and its highest-density interval (HDI); below, for
    each pair of targets, the smallest regions that hold the shares `levels` of the probability; the truth in both.
    Make one with `from_estimator` or `from_posterior`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    marginals : list of Density, length k
        Named tuples ``(axes, values, mass)`` on a grid of cells: their centers, the density there, the probability
        they hold.
    pairs : dict from (int, int) to Density
        By row and column of the corner, row > column: densities of the targets ``[column, row]``.
    median : ndarray of shape (k,)
    interval : ndarray of shape (k, 2)
        HDI of each target, of the first of `levels`.
    view : ndarray of shape (k, 2)
        Limits of the axes.
    levels : tuple of float
        Shares of the probability, increasing.
    labels : list of str
        What the axes call the targets, with units.
    truth : ndarray of shape (k,), default=None
        True values; NaN where unknown.
    image : ndarray of shape (H, W) or (H, W, C), default=None
        The galaxy.
    name : str, default=None
        What the title of a new figure calls the galaxy.

    Attributes
    ----------
    densities_ : list of matplotlib Line2D
        Density of each target.
    intervals_ : list of matplotlib PolyCollection
        The HDI, below the curve.
    medians_, truths_ : list of matplotlib Line2D
        On the diagonal; no truths if they are not known.
    contours_ : dict from (int, int) to matplotlib QuadContourSet
    image_ : matplotlib AxesImage or None
    legend_ : matplotlib Legend or None
        Below the panels of a new figure.
    axes_ : ndarray of matplotlib Axes, shape (k, k)
        Of one target with an image, (1, 2). Unused ones are off.
    figure_ : matplotlib Figure

    Notes
    -----
    Regions are named by what they hold. What is "1σ" in one dimension is not in two: the ellipse of radius 1σ of a
    Gaussian holds 39 %, that of 2σ 86 %. Here each region and each interval holds its share, by default 68 % and
    95 %.

    The densities of a mixture are exact; those of draws are histograms, smoothed with Silverman's bandwidth.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from galestim.displays import PosteriorDisplay
    >>> from galestim.posteriors import MixturePosterior
    >>> posterior = MixturePosterior(
    ...     means=[[[-1.0, 0.5]]],
    ...     scale_trils=[[[[0.4, 0], [-0.05, 0.1]]]],
    ...     target_names=["bulge_to_total", "half_light_radius"],
    ...     units=[None, "arcsec"],
    ...     transforms=["logit", "log"],
    ... )
    >>> display = PosteriorDisplay.from_posterior(posterior, truth=[0.3, 1.6])
    >>> display.labels
    ['$B/T$', '$R_e$ [arcsec]']
    >>> display.interval.round(2)
    array([[0.18, 0.34],
           [1.46, 1.82]])
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, *, marginals, pairs, median, interval, view, levels, labels, truth=None, image=None, name=None
    ):
        self.marginals: list[Density] = marginals
        self.pairs: dict[tuple[int, int], Density] = pairs
        self.median = median
        self.interval = interval
        self.view = view
        self.levels = levels
        self.labels = labels
        self.truth = truth
        self.image = image
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, row=0, **kwargs):
        """Predict the posterior of one galaxy and draw it beside its image.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``predict_posterior``, such as STNPosteriorRegressor; or a pipeline that ends in one, or a
            search that found one.
        X : array-like
            What ``estimator.predict`` takes. Only the row to show goes through the estimator.
        y : array-like or table of shape (n_samples, n_targets) or (n_samples,), default=None
            True values. Columns of a table are found by the targets' names.
        row : int, default=0
            Which galaxy.
        **kwargs
            As for `from_posterior`. By default `image` is the one that reaches the estimator.

        Returns
        -------
        PosteriorDisplay

        Raises
        ------
        ValueError
            If the estimator has no posterior, `row` does not exist, or its cutout is missing.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        rows = [_checked_row(row, num_samples(X))]
        inner, images = descend(estimator, safe_indexing(X, rows), "predict_posterior")
        posterior = inner.predict_posterior(images)
        kwargs.setdefault("name", _name_of(posterior, 0, row))
        if y is not None:
            kwargs["truth"] = target_values(y, posterior.target_names, posterior.units)[rows[0]]
        if input_ndim(images) in (3, 4):
            kwargs.setdefault("image", np.asarray(without_mask(images))[0])
        return cls.from_posterior(posterior, **kwargs)

    @classmethod
    def from_posterior(
        cls,
        posterior,
        *,
        row=0,
        truth=None,
        image=None,
        levels=(0.68, 0.95),
        labels=None,
        name=None,
        axes=None,
        **plot_kwargs,
    ):
        """Draw the posterior of one galaxy.

        Parameters
        ----------
        posterior : Posterior
            Of one galaxy or more.
        row : int, default=0
            Which galaxy.
        truth : array-like of shape (n_targets,), dict or row of a table, default=None
            Its true values, physical units; NaN where unknown. Those with names are found by the targets' names.
        image : array-like of shape (H, W) or (H, W, C), default=None
            The galaxy, for the upper right corner.
        levels : sequence of float, default=(0.68, 0.95)
            Shares of the probability that the regions hold; the smallest is also that of the HDI.
        labels : list of str, default=None
            What the axes call the targets, such as ``["$B/T$", "$R_e$ [arcsec]"]``. By default the symbols of
            the posterior's targets, with units.
        name : str, default=None
            What the title of a new figure calls the galaxy. By default its identifier, or its row.
        axes : array-like of matplotlib Axes, default=None
            Where to draw, k·k of them row by row (2 for one target with an image); by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        PosteriorDisplay

        Raises
        ------
        ValueError
            If `row` does not exist or is a missing cutout, or `truth`, `levels` or `labels` do not fit.
        """
        one = posterior[_checked_row(row, len(posterior))]
        one = one._as_drawn() if isinstance(one, DrawsPosterior) else one  # curves need ends
        k, levels = one.n_targets, _checked_levels(levels)
        if np.isnan(one.weights).any() or np.isnan(one.median()).any():
            raise ValueError("This galaxy has no posterior (NaN): its cutout is missing. Choose another row.")
        if truth is not None:
            truth = _one_per_target("truth", _as_predicted(truth, one), k)
        if labels is None:
            labels = map(labeled, one.target_names, one.units)
        pairs = {(i, j): density(one, [j, i]) for i in range(k) for j in range(i)}
        display = cls(
            marginals=[density(one, [target]) for target in range(k)],
            pairs=pairs,
            median=one.median()[0],
            interval=one.credible_interval(levels[0], kind="hdi")[0],
            view=_view(one.quantile(VIEW)[0].T, pairs, levels[-1], truth),
            levels=levels,
            labels=_one_per_target("labels", list(labels), k),
            truth=truth,
            image=None if image is None else np.asarray(without_mask(image)),
            name=_name_of(posterior, row, row) if name is None else name,
        )
        return display.plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, color=BLUE):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            Where to draw, k·k of them row by row (2 for one target with an image); by default a new figure.
        color : matplotlib color, default="#0072B2"
            Of the posterior.

        Returns
        -------
        PosteriorDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        shape = (1, 2) if len(self.labels) == 1 and self.image is not None else (len(self.labels),) * 2
        new = axes is None
        axes = np.ravel(_new_axes(plt, *shape) if new else axes)
        if len(axes) != np.prod(shape):
            raise ValueError(f"axes holds {len(axes)} Axes; expected {shape[0]} × {shape[1]}, row by row.")
        self.axes_, self.figure_ = axes.reshape(shape), axes[0].figure
        for ax in self.axes_[np.triu_indices(shape[0], 1, shape[1])]:
            ax.set_axis_off()
        self._draw_marginals(color)
        self.contours_ = {
            place: self._draw_pair(self.axes_[place], *place, grid, color) for place, grid in self.pairs.items()
        }
        self._label_axes()
        self.image_ = None if self.image is None else self._draw_image(self.axes_[0, -1])
        self.legend_ = self._draw_legend() if new else None
        if new:
            entitle(self.figure_, f"Posterior of {self.name}" if self.name else "Posterior")
        return self

    def _draw_marginals(self, color) -> None:
        self.densities_, self.intervals_, self.medians_, self.truths_ = [], [], [], []
        for i, ((axis,), values, _) in enumerate(self.marginals):
            ax, (low, high) = self.axes_[i, i], self.interval[i]
            self.densities_ += ax.plot(axis, values, color=color, linewidth=1.4)
            x = np.r_[low, axis[(axis > low) & (axis < high)], high]
            self.intervals_.append(
                ax.fill_between(x, np.interp(x, axis, values), color=color, alpha=0.25, linewidth=0)
            )
            self.medians_.append(ax.axvline(self.median[i], label="median", **_MEDIAN))
            if self.truth is not None:
                self.truths_.append(ax.axvline(self.truth[i], label="truth", **_TRUTH))
            ax.set_title(_format_interval(self.median[i], *self.interval[i]), fontsize="small", color=INK)
            in_view = (axis >= self.view[i, 0]) & (axis <= self.view[i, 1])
            ax.set(ylim=(0, 1.08 * values[in_view].max()), yticks=[])

    def _draw_pair(self, ax, i: int, j: int, grid: Density, color):
        """Contours, the outermost first, over fills that grow darker inwards."""
        from matplotlib.colors import to_rgb

        edges = np.unique(highest_density(grid, self.levels))
        x, y = (np.r_[2 * axis[0] - axis[1], axis, 2 * axis[-1] - axis[-2]] for axis in grid.axes)
        values = np.pad(grid.values.T, 1)  # a region that reaches the last cell is closed there
        fills = [(*to_rgb(color), shade) for shade in np.linspace(0.15, 0.55, len(edges))]
        ax.contourf(x, y, values, [*edges, np.inf], colors=fills)
        contours = ax.contour(x, y, values, edges, colors=[color], linewidths=1.1)
        if self.truth is not None:
            ax.axvline(self.truth[j], **_TRUTH)
            ax.axhline(self.truth[i], **_TRUTH)
            ax.plot(self.truth[j], self.truth[i], marker="s", markersize=4, **_TRUTH)
        return contours

    def _label_axes(self) -> None:
        """Names along the left and the lower edge; the same limits and ticks along each row and column."""
        from matplotlib.ticker import MaxNLocator

        k = len(self.labels)
        for i, j in zip(*np.tril_indices(k)):
            ax = self.axes_[i, j]
            quiet(ax)
            ax.set_xlim(padded(*self.view[j]))
            ax.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
            ax.tick_params(axis="x", labelbottom=i == k - 1)
            ax.xaxis.offsetText.set_visible(i == k - 1)
            if i == k - 1:
                ax.set_xlabel(self.labels[j])
            if i == j:
                ax.spines["left"].set_visible(False)
                continue
            ax.set_ylim(padded(*self.view[i]))
            ax.yaxis.set_major_locator(MaxNLocator(4, prune="both"))
            ax.tick_params(axis="y", labelleft=j == 0)
            ax.yaxis.offsetText.set_visible(j == 0)
            if j == 0:
                ax.set_ylabel(self.labels[i])
        self.figure_.align_labels(self.axes_[np.tril_indices(k)])

    def _draw_image(self, ax):
        ax.set_axis_on()
        return draw_image(ax, self.image, IMAGE)

    def _draw_legend(self):
        """Names of the marks, and the shares that the regions hold."""
        from matplotlib.lines import Line2D

        shares = [f"{100 * level:.4g} %" for level in self.levels]
        self.intervals_[0].set_label(f"HDI, {shares[0]}")
        handles = [self.medians_[0], self.intervals_[0]]
        if self.pairs:
            label = f"regions that hold {' and '.join(shares)}"
            handles.append(Line2D([], [], color=self.densities_[0].get_color(), label=label))
        handles += self.truths_[:1]
        n_columns = len(handles) if self.axes_.shape[1] > 2 or not self.pairs else 2
        place = {"loc": "outside lower center", "ncols": n_columns}
        return self.figure_.legend(handles=handles, **place, fontsize="small", frameon=False, labelcolor=INK)


def _new_axes(plt, n_rows: int, n_columns: int):
    side = 1.2 + 1.75 * n_rows
    size = (side * n_columns / n_rows, side + 0.3)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04, wspace=0.02, hspace=0.02)
    return axes


def _view(view: NDArray, pairs: dict[tuple[int, int], Density], level: float, truth) -> NDArray[np.float64]:
    """Widen `view` (k, 2) until it holds the regions of `level`, and the truth."""
    truth = np.full(len(view), np.nan) if truth is None else truth
    shown = np.column_stack([view, truth]).tolist()
    for (i, j), grid in pairs.items():
        inside = grid.values >= highest_density(grid, level)
        for target, axis, along in [(j, grid.axes[0], 1), (i, grid.axes[1], 0)]:
            shown[target].extend(axis[inside.any(axis=along)])
    return np.array([[np.nanmin(values), np.nanmax(values)] for values in shown])


def _name_of(posterior: Posterior, index: int, row: int) -> str:
    """The identifier of a galaxy, if it is known; else its `row` in the data of the user."""
    return f"galaxy {row}" if posterior.ids is None else str(posterior.ids[index])


def _format_interval(median: float, low: float, high: float) -> str:
    """``0.35 [0.28, 0.43]``, to two digits of the interval's width; ``(3.5 [2.8, 4.3])×10⁵`` for large and small."""
    exponent = int(np.floor(np.log10(max(abs(low), abs(high)) or 1.0)))
    exponent = exponent if not -4 < exponent < 5 else 0
    median, low, high = (value / 10.0**exponent for value in (median, low, high))
    digits = int(np.clip(1 - np.floor(np.log10((high - low) / 2 or 0.1)), 0, 8))
    text = f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")
    return text if exponent == 0 else rf"({text})$\times10^{{{exponent}}}$"


def _checked_row(row: int, n: int) -> int:
    if not 0 <= row < n:
        raise ValueError(f"row={row}; expected one of the {n} galaxies, from 0 to {n - 1}.")
    return int(row)


def _checked_levels(levels) -> tuple[float, ...]:
    levels = tuple(np.unique(levels).tolist())
    if not levels or not 0 < levels[0] <= levels[-1] < 1:
        raise ValueError(
            f"levels={levels}; expected shares of the probability between 0 and 1, such as (0.68, 0.95)."
        )
    return levels


def _as_predicted(truth, posterior: Posterior) -> NDArray[np.float64]:
    """True values of one galaxy; those of a row with names in the order and units of the targets."""
    if hasattr(truth, "keys"):  # of astropy or pandas, or a dict
        truth = {name: np.atleast_1d(truth[name]) for name in truth.keys()}  # noqa: SIM118
    elif getattr(getattr(truth, "dtype", None), "names", None):
        truth = np.atleast_1d(truth)
    if not is_table(truth):
        return np.asarray(without_mask(truth), dtype=np.float64)
    values = target_values(truth, posterior.target_names, posterior.units, "truth")
    return values[0] if len(values) == 1 else values


def _one_per_target(name: str, values, n_targets: int):
    if np.shape(values) != (n_targets,):
        raise ValueError(f"{name} has shape {np.shape(values)}; expected one for each of the {n_targets} targets.")
    return values
