"""Display of a training: the loss and the learning rate, epoch by epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._descend import find
from .._sklearn import styled
from .._tables import column_names, named_columns
from ._style import BLUE, GRAY, INK, VERMILION
from ._two_panels import TwoPanelDisplay


class TrainingHistoryDisplay(TwoPanelDisplay):
    """Loss above, learning rate below, on a shared epoch axis.

    Make one with `from_estimator` or `from_history`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    epoch : ndarray of shape (n_epochs,)
        Epochs, from 1.
    train_loss : ndarray of shape (n_epochs,)
    lr : ndarray of shape (n_epochs,)
        Learning rate.
    valid_loss : ndarray of shape (n_epochs,), default=None
        Loss on the validation set; None without one.

    Attributes
    ----------
    best_epoch : int or None
        Epoch of the lowest validation loss; None without a validation set.
    train_line_, lr_line_ : matplotlib Line2D
    valid_line_, best_marker_ : matplotlib Line2D or None
        None without a validation set.
    axes_ : ndarray of two matplotlib Axes
        Loss, learning rate.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from galestim.displays import TrainingHistoryDisplay
    >>> history = [
    ...     {"epoch": 1, "train_loss": 0.31, "valid_loss": 0.28, "lr": 1e-3},
    ...     {"epoch": 2, "train_loss": 0.22, "valid_loss": 0.24, "lr": 1e-3},
    ...     {"epoch": 3, "train_loss": 0.17, "valid_loss": 0.26, "lr": 2e-4},
    ... ]
    >>> display = TrainingHistoryDisplay.from_history(history)
    >>> display.best_epoch
    2
    >>> plt.close(display.figure_)
    """

    _title = "Training"
    _panels = "the loss and the learning rate"
    _figure = {"figsize": (6, 4.6), "gridspec_kw": {"height_ratios": [3, 1]}}

    def __init__(self, *, epoch, train_loss, lr, valid_loss=None):
        self.epoch = epoch
        self.train_loss = train_loss
        self.lr = lr
        self.valid_loss = valid_loss

    @property
    def best_epoch(self) -> int | None:
        """Epoch of the lowest validation loss; None without a validation set."""
        if self.valid_loss is None:
            return None
        return int(self.epoch[np.nanargmin(self.valid_loss)])

    @classmethod
    def from_estimator(cls, estimator, *, member=0, axes=None):
        """Draw the training history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Has ``history_``; or a pipeline whose last step has, or a search whose best estimator has.
        member : int, default=0
            Which network of an ensemble.
        axes : array-like of two matplotlib Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If there is no ``history_``, or none of that member.
        """
        history = [row for row in _find_history(estimator) if row.get("member", 0) == member]
        return cls.from_history(history, axes=axes)

    @classmethod
    def from_history(cls, history, *, axes=None):
        """Draw a training history.

        Parameters
        ----------
        history : list of dict, or data frame
            One row per epoch with ``epoch``, ``train_loss``, ``lr`` and, if there was a validation set,
            ``valid_loss``. Other keys are ignored.
        axes : array-like of two matplotlib Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If the history is empty or lacks a key.
        """
        return cls(**_columns(history)).plot(axes)

    def _draw(self, line_kwargs: dict) -> None:
        from matplotlib.ticker import MaxNLocator

        self._draw_loss(self.axes_[0], line_kwargs)
        self._draw_learning_rate(self.axes_[1], line_kwargs)
        self._draw_best()
        for ax in self.axes_:
            ax.set_xlim(self.epoch[0] - 0.5, self.epoch[-1] + 0.5)
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        self.axes_[0].legend(fontsize="small", loc="best", framealpha=0.85, edgecolor="none")

    def _draw_loss(self, ax, line_kwargs: dict) -> None:
        def draw(loss, color, label):
            style = styled({"color": color, "label": label} | self._marks(), line_kwargs)
            return ax.plot(self.epoch, loss, **style)[0]

        self.train_line_ = draw(self.train_loss, BLUE, "training")
        self.valid_line_ = None if self.valid_loss is None else draw(self.valid_loss, VERMILION, "validation")
        ax.set_ylabel("Loss")
        losses = np.concatenate([self.train_loss, [] if self.valid_loss is None else self.valid_loss])
        losses = losses[np.isfinite(losses)]
        if len(losses) and losses.min() > 0 and losses.max() > 30 * np.median(losses):
            ax.set_yscale("log")  # or the first epochs would press the others onto the axis

    def _draw_learning_rate(self, ax, line_kwargs: dict) -> None:
        style = {"color": INK, "linewidth": 1.2, "drawstyle": "steps-mid"}
        (self.lr_line_,) = ax.plot(self.epoch, self.lr, **styled(style | self._marks(), line_kwargs))
        # half a decade of room either way keeps a power of ten in view, however little the rate changes
        ax.set(yscale="log", ylim=(self.lr.min() / 3.3, self.lr.max() * 3.3))
        ax.tick_params(which="minor", labelleft=False)
        ax.set(xlabel="Epoch", ylabel="Learning rate")

    def _marks(self) -> dict:
        return {"marker": "o", "markersize": 3} if len(self.epoch) == 1 else {}  # one epoch draws no line

    def _draw_best(self) -> None:
        self.best_marker_ = None
        if self.best_epoch is None:
            return
        best = np.nanmin(self.valid_loss)
        for ax in self.axes_:
            ax.axvline(self.best_epoch, color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        style = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": VERMILION, "linestyle": "none"}
        label = f"best: epoch {self.best_epoch}, {best:#.3g}".replace("-", "−")
        (self.best_marker_,) = self.axes_[0].plot([self.best_epoch], [best], label=label, zorder=3, **style)


def _find_history(estimator):
    """``history_`` of `estimator` or of the one inside it."""
    history, inner = find(estimator, "history_")
    if history is None:
        raise ValueError(
            f"{type(inner).__name__} has no history_; expected an estimator that records its training, "
            "such as CNNRegressor, or a pipeline or search (with refit) that ends in one. Fit it first."
        )
    return history


def _columns(history) -> dict[str, NDArray[np.float64]]:
    """Columns of a list of dicts or a data frame that the display shows; None counts as NaN."""
    if len(history) == 0:
        raise ValueError("history is empty; expected one row per epoch. Fit for at least one epoch.")
    table = column_names(history)
    names = list(history[0]) if table is None else table
    missing = [name for name in ("epoch", "train_loss", "lr") if name not in names]
    if missing:
        raise ValueError(
            f"history has no {', '.join(missing)}; "
            "expected epoch, train_loss, lr and, with a validation set, valid_loss."
        )
    wanted = [name for name in ("epoch", "train_loss", "lr", "valid_loss") if name in names]
    if table is None:
        history = {name: [row[name] for row in history] for name in wanted}
    columns = dict(zip(wanted, named_columns(history, select=wanted, what="history").values.T))
    if "valid_loss" in columns and np.isnan(columns["valid_loss"]).all():
        del columns["valid_loss"]
    return columns
