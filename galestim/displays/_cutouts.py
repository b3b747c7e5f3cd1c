"""Display of galaxies with their actual and predicted values."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._images import input_ndim
from .._masked import without_mask
from .._sklearn import Interval, StrOptions, validate_params
from ._estimator import predicted, target_label
from ._stretch import stretch
from ._style import GRAY, IMAGE, INK, PALE, entitle, require_pyplot
from ._targets import as_predicted, pair_target

_CHOICES = {"worst": "largest errors", "best": "smallest errors", "spread": "from low to high"}
_FINE = 160  # pixels; wider images have more of them than a screen shows
_CAPTION = {"fontsize": "small", "color": INK, "linespacing": 1.25, "labelpad": 4}


class CutoutGridDisplay:
    r"""A grid of images, north up, each with its actual and predicted value below.

    Make one with `from_estimator` or `from_predictions`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : ndarray of shape (n_images, H, W) or (n_images, H, W, C)
        Row 0 is north, at the top. An image that is NaN throughout is a missing cutout.
    y_true, y_pred : ndarray of shape (n_images,)
        Actual and predicted values; NaN predictions are those of missing cutouts.
    rows : ndarray of int, shape (n_images,)
        Which rows of the input these are.
    target_name : str, default=None
        What the figure calls the target.
    choice : str, default=None
        How they were chosen, which the title says.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage or None
        None for a missing cutout.
    captions_ : list of matplotlib Text
        The values below each image.
    axes_ : ndarray of matplotlib Axes, shape (n_images,)
    figure_ : matplotlib Figure

    Notes
    -----
    Colors that are ready to show (uint8, or floats within [0, 1]) are shown as they are. Other colors and
    single bands are stretched in the manner of Lupton et al. (2004, PASP 116, 133): asinh of the intensity
    above the median sky, each image on its own scale. Channels other than three are averaged to gray.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from galestim.displays import CutoutGridDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(50, 16, 16)), rng.uniform(size=50)
    >>> display = CutoutGridDisplay.from_predictions(X, y, 0.9 * y, n_images=4, choice="spread")
    >>> display.captions_[0].get_text()
    'actual 0.01\npredicted 0.01'
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, images, y_true, y_pred, rows, target_name=None, choice=None):
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.rows = rows
        self.target_name = target_name
        self.choice = choice

    @classmethod
    def from_estimator(cls, estimator, X, y, **kwargs):
        """Predict `X` and show some of the images with their values.

        Parameters
        ----------
        estimator : estimator instance
            A fitted regressor, or a pipeline or search that ends in one.
        X : array-like
            What ``estimator.predict`` takes. Of a catalog, the images that reach the pipeline's last step are shown.
        y : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            Actual values. Columns of a table are found by the estimator's `target_names_`.
        **kwargs
            As for `from_predictions`.

        Returns
        -------
        CutoutGridDisplay
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before predictions that may take minutes
        values, images = predicted(estimator, X)
        kwargs.setdefault("target_name", target_label(estimator, kwargs.get("target")))
        return cls.from_predictions(images, as_predicted(estimator, y, kwargs.get("target")), values, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        X,
        y_true,
        y_pred,
        *,
        n_images=12,
        choice="random",
        target=None,
        target_name=None,
        random_state=None,
        axes=None,
        **plot_kwargs,
    ):
        """Show some images with their actual and predicted values.

        Parameters
        ----------
        X : array-like of shape (n_samples, H, W) or (n_samples, H, W, C)
            Images of any real dtype and range; those chosen are copied, the others never read.
        y_true, y_pred : array-like or table of shape (n_samples,) or (n_samples, n_targets)
            Actual and predicted values; NaN predictions are those of missing cutouts.
        n_images : int, default=12
            How many to show, or all if there are fewer.
        choice : {"random", "worst", "best", "spread"}, default="random"
            Which to show: any; those with the largest or the smallest absolute error, that one first; or
            evenly over the actual value, in its order. The worst and the best are among the galaxies that
            have a prediction.
        target : int or str, default=None
            Which target, if there are several: its index, or its name if `y_true` is a table.
        target_name : str, default=None
            What the figure calls the target. By default the symbol and unit of its column.
        random_state : int, RandomState instance or None, default=None
            Draws the images for ``choice="random"``.
        axes : array-like of matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        CutoutGridDisplay

        Raises
        ------
        ValueError
            If `X`, `y_true` and `y_pred` do not match, or `X` holds no images.
        """
        actual, guess, name = pair_target(y_true, y_pred, target=target, target_name=target_name)
        X = X if hasattr(X, "shape") else np.asarray(without_mask(X))
        _check_images(X, len(actual))
        rows = choose_rows(actual, guess, n_images=n_images, choice=choice, random_state=random_state)
        display = cls(
            images=np.asarray(without_mask(X[rows])),
            y_true=actual[rows],
            y_pred=guess[rows],
            rows=rows,
            target_name=name,
            choice=choice,
        )
        return display.plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, n_columns=6, imshow_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each image, or more; by default a new figure.
        n_columns : int, default=6
            Columns of the new figure.
        imshow_kwargs : dict, default=None
            Passed to matplotlib's ``imshow``, over this display's own choices.

        Returns
        -------
        CutoutGridDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if axes is None:
            axes = self._new_axes(plt, n_columns)
        axes = np.ravel(axes)
        if len(axes) < len(self.images):
            raise ValueError(f"axes holds {len(axes)} Axes; expected one for each of the {len(self.images)} images.")
        for ax in axes[len(self.images) :]:
            ax.set_axis_off()
        self.axes_ = axes[: len(self.images)]
        self.figure_ = self.axes_[0].figure
        style = IMAGE | (imshow_kwargs or {})
        self.images_ = [draw_image(ax, image, style) for ax, image in zip(self.axes_, self.images)]
        self.captions_ = [ax.set_xlabel(text, **_CAPTION) for ax, text in zip(self.axes_, self._caption_texts())]
        return self

    def _new_axes(self, plt, n_columns: int):
        n_columns = min(n_columns, len(self.images))
        n_rows = -(-len(self.images) // n_columns)
        title = ": ".join(part for part in (self.target_name, _CHOICES.get(self.choice)) if part)
        size = 1.55 * n_columns, 2.0 * n_rows + (0.3 if title else 0)
        figure, axes = plt.subplots(n_rows, n_columns, squeeze=False, figsize=size, layout="compressed")
        figure.get_layout_engine().set(h_pad=0.08)
        entitle(figure, title)
        return axes

    def _caption_texts(self) -> list[str]:
        digits = _decimals(self.y_true)
        return [
            f"actual {actual:.{digits}f}\n"
            + ("no prediction" if np.isnan(guess) else f"predicted {guess:.{digits}f}")
            for actual, guess in zip(self.y_true, self.y_pred)
        ]


@validate_params(
    {
        "n_images": [Interval(Integral, 1, None, closed="left")],
        "choice": [StrOptions({"random", "worst", "best", "spread"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def choose_rows(actual, predicted, *, n_images, choice="random", random_state=None) -> NDArray[np.intp]:
    """Choose at most `n_images` rows to show; the parameters are those of `from_predictions`."""
    n_images = min(n_images, len(actual))
    if choice == "random":
        return check_random_state(random_state).permutation(len(actual))[:n_images]
    if choice == "spread":
        return _evenly_over(actual, n_images)
    error = np.abs(predicted - actual)
    by_error = np.argsort(error, kind="stable")[: np.sum(np.isfinite(error))]  # NaN sorts last
    if not len(by_error):
        raise ValueError(f'No row of y_pred has a prediction, so choice="{choice}" has none; use "random".')
    return by_error[:n_images] if choice == "best" else by_error[::-1][:n_images]


def _evenly_over(values: NDArray, n: int) -> NDArray[np.intp]:
    """Choose `n` rows, in order of value, each the nearest left to one of `n` evenly spaced values."""
    left = np.ones(len(values), dtype=bool)
    for wanted in np.linspace(values.min(), values.max(), n):
        left[np.argmin(np.where(left, np.abs(values - wanted), np.inf))] = False
    chosen = np.flatnonzero(~left)
    return chosen[np.argsort(values[chosen], kind="stable")]


def _check_images(X, n_samples: int) -> None:
    if input_ndim(X) not in (3, 4):
        raise ValueError(f"X has shape {X.shape}; expected images, (n, H, W) or (n, H, W, C).")
    if len(X) != n_samples:
        raise ValueError(f"X holds {len(X)} images and y_true {n_samples} values; expected one image for each value.")


def draw_image(ax, image: NDArray, style: dict, like: NDArray | None = None):
    """Draw `image`, or one that is NaN throughout as missing (None); `like` is that of `stretch`."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if image.dtype.kind != "f" or np.isfinite(image).any():
        exact = {} if max(image.shape[:2]) > _FINE else {"interpolation": "none"}  # pixels as they are, also in a PDF
        return ax.imshow(stretch(image, like), **exact | style)
    ax.set(facecolor=PALE, aspect="equal", box_aspect=image.shape[0] / image.shape[1])
    ax.text(0.5, 0.5, "no image", transform=ax.transAxes, ha="center", va="center", color=GRAY, fontsize="small")
    return None


def _decimals(values: NDArray) -> int:
    """Decimals that show about a hundredth of the range of `values`."""
    extent = np.ptp(values)
    return 2 if extent == 0 else int(np.clip(2 - np.round(np.log10(extent)), 0, 6))
