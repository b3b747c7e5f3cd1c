"""Display of the crops of a spatial transformer, outlined in the images they were cut from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from .._descend import descend
from .._light import light_inside
from .._sklearn import num_samples, safe_indexing, styled
from ._cutouts import draw_image
from ._style import IMAGE, INK, VERMILION, require_pyplot

_OUTLINE = {"closed": True, "fill": False, "edgecolor": VERMILION, "linewidth": 1.6, "clip_on": False}
_CORNER = {"marker": "o", "markersize": 5, "color": VERMILION, "clip_on": False, "linestyle": "none"}


class CropDisplay:
    r"""Images with the outlines of their crops, and below each image its crop.

    A dot marks the crop's upper left corner in both, so that a rotation can be seen. Make one with
    `from_estimator` or `from_crops`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : ndarray of shape (n_images, H, W) or (n_images, H, W, C)
        Row 0 is north, at the top. An image that is NaN throughout is a missing cutout.
    crops : ndarray of shape (n_images, h, w) or (n_images, h, w, C)
        In the units of the images.
    matrices : ndarray of shape (n_images, 2, 3)
        Position (x, y) in the image, in pixels, is ``matrix @ (x_crop, y_crop, 1)``; (0, 0) is the center of
        the first pixel. NaN for a missing cutout.
    rows : ndarray of int, shape (n_images,)
        Which rows of the input these are.
    galaxy_light, neighbor_light : ndarray of shape (n_images, H, W) or (n_images, H, W, C), default=None
        Light of the galaxy and of all else in the image, where these are known.

    Attributes
    ----------
    zoom : ndarray of shape (n_images,)
        How much the crop magnifies: side of the image over side of the outline, as a ratio of areas under a
        square root; NaN for a missing cutout.
    galaxy_share, neighbor_share : ndarray of shape (n_images,) or None
        Share of either light that lies within the outline; NaN where there is none.
    images_, crops_ : list of matplotlib AxesImage or None
        None for a missing cutout.
    outlines_ : list of matplotlib Polygon or None
        Through the outer corners of the crop's corner pixels.
    axes_ : ndarray of matplotlib Axes, shape (n_images, 2)
        Image and crop.
    figure_ : matplotlib Figure

    Notes
    -----
    Images are stretched as in `CutoutGridDisplay`. A crop is shown on the scale of its image: a galaxy that
    fills its crop leaves no sky there that could set one.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from galestim.displays import CropDisplay
    >>> X = np.random.default_rng(0).normal(size=(3, 32, 32))
    >>> central_half = np.array([[1, 0, 8], [0, 1, 8]])
    >>> display = CropDisplay.from_crops(X, X[:, 8:24, 8:24], [central_half] * 3)
    >>> display.zoom
    array([2., 2., 2.])
    >>> display.outlines_[0].get_xy()[:4]
    array([[ 7.5,  7.5],
           [23.5,  7.5],
           [23.5, 23.5],
           [ 7.5, 23.5]])
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, images, crops, matrices, rows, galaxy_light=None, neighbor_light=None):
        self.images = images
        self.crops = crops
        self.matrices = matrices
        self.rows = rows
        self.galaxy_light = galaxy_light
        self.neighbor_light = neighbor_light

    @property
    def zoom(self) -> NDArray[np.float64]:
        """Side of the image over side of the outline, (n_images,)."""
        (a, b), (c, d) = np.moveaxis(self.matrices[:, :, :2], 0, -1)
        pixels, crop_pixels = (np.prod(images.shape[1:3]) for images in (self.images, self.crops))
        with np.errstate(divide="ignore"):
            return np.sqrt(pixels / (crop_pixels * np.abs(a * d - b * c)))

    @property
    def galaxy_share(self) -> NDArray[np.float64] | None:
        """Share of the galaxy's light within the outline, (n_images,)."""
        return self._share(self.galaxy_light)

    @property
    def neighbor_share(self) -> NDArray[np.float64] | None:
        """Share of the others' light within the outline, (n_images,)."""
        return self._share(self.neighbor_light)

    def _share(self, light) -> NDArray[np.float64] | None:
        if light is None:
            return None
        total = light.reshape(len(light), -1).sum(axis=1)
        inside = light_inside(light, self.matrices, self.crops.shape[1:3])
        return np.divide(inside, total, out=np.full(len(light), np.nan), where=total > 0)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        galaxy_light=None,
        neighbor_light=None,
        n_images=6,
        rows=None,
        random_state=None,
        axes=None,
        **plot_kwargs,
    ):
        """Crop some of `X` and show what was cropped.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``crop_parameters`` and ``transform_images``, such as STNPosteriorRegressor; or a
            pipeline that ends in one, or a search that found one.
        X : array-like
            What ``estimator.predict`` takes. Only the rows to show go through the estimator.
        galaxy_light, neighbor_light : array-like of shape (n_samples, H, W) or (n_samples, H, W, C), default=None
            Light of the galaxy and of all else in each image, where these are known: then it is written below each
            crop how much of either it holds.
        n_images : int, default=6
            How many to show, drawn at random; or all if there are fewer.
        rows : array-like of int, default=None
            Which rows to show instead.
        random_state : int, RandomState instance or None, default=None
            Draws the images.
        axes : array-like of matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        CropDisplay

        Raises
        ------
        ValueError
            If the estimator does not crop, light is not of the images that it crops, or a row does not exist.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before crops that may take long
        rows = _choose(num_samples(X), n_images, rows, random_state)
        inner, images = descend(estimator, safe_indexing(X, rows), "crop_parameters")
        matrices = inner.crop_parameters(images)["matrix"]
        light = _checked_light(num_samples(X), images, galaxy_light, neighbor_light, rows)
        display = cls(**_checked(images, inner.transform_images(images), matrices), rows=rows, **light)
        return display.plot(axes, **plot_kwargs)

    @classmethod
    def from_crops(
        cls,
        images,
        crops,
        matrices,
        *,
        galaxy_light=None,
        neighbor_light=None,
        n_images=6,
        rows=None,
        random_state=None,
        axes=None,
        **plot_kwargs,
    ):
        """Show some images with their crops.

        Parameters
        ----------
        images : array-like of shape (n_samples, H, W) or (n_samples, H, W, C)
        crops : array-like of shape (n_samples, h, w) or (n_samples, h, w, C)
            In the units of the images.
        matrices : array-like of shape (n_samples, 2, 3)
            Position (x, y) in the image, in pixels, is ``matrix @ (x_crop, y_crop, 1)``.
        galaxy_light, neighbor_light : array-like of shape (n_samples, H, W) or (n_samples, H, W, C), default=None
            Light of the galaxy and of all else in each image, where these are known: then it is written below each
            crop how much of either it holds.
        n_images : int, default=6
            How many to show, drawn at random; or all if there are fewer.
        rows : array-like of int, default=None
            Which rows to show instead.
        random_state : int, RandomState instance or None, default=None
            Draws the images.
        axes : array-like of matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        CropDisplay

        Raises
        ------
        ValueError
            If the arrays do not match, or a row does not exist.
        """
        arrays = _checked(images, crops, matrices)
        rows = _choose(len(arrays["images"]), n_images, rows, random_state)
        light = _checked_light(len(arrays["images"]), arrays["images"], galaxy_light, neighbor_light, rows)
        chosen = {name: array[rows] for name, array in arrays.items()}
        return cls(**chosen, rows=rows, **light).plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, n_columns=6, imshow_kwargs=None, outline_kwargs=None):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            Two for each image: image, crop, image, crop, …; by default a new figure.
        n_columns : int, default=6
            Columns of the new figure.
        imshow_kwargs, outline_kwargs : dict, default=None
            Passed to matplotlib's ``imshow`` and ``Polygon``, over this display's own choices.

        Returns
        -------
        CropDisplay
            The display itself.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        axes = self._new_axes(plt, n_columns) if axes is None else np.ravel(axes)
        if axes.size != 2 * len(self.images):
            raise ValueError(
                f"axes holds {axes.size} Axes; expected {2 * len(self.images)}: image and crop for each of "
                f"{len(self.images)} images."
            )
        self.axes_ = axes.reshape(-1, 2)
        self.figure_ = self.axes_[0, 0].figure
        style = IMAGE | (imshow_kwargs or {})
        self.images_ = [draw_image(ax, image, style) for ax, image in zip(self.axes_[:, 0], self.images)]
        self.crops_ = [
            draw_image(ax, crop, style, like=image)
            for ax, crop, image in zip(self.axes_[:, 1], self.crops, self.images)
        ]
        self.outlines_ = self._draw_outlines(styled(_OUTLINE, outline_kwargs or {}))
        return self

    def _new_axes(self, plt, n_columns: int):
        """Each crop below its image."""
        n_columns = min(n_columns, len(self.images))
        n_rows = -(-len(self.images) // n_columns)
        size = 1.6 * n_columns, 3.55 * n_rows
        figure, axes = plt.subplots(2 * n_rows, n_columns, squeeze=False, figsize=size, layout="compressed")
        axes = axes.reshape(n_rows, 2, n_columns).swapaxes(1, 2).reshape(-1, 2)
        for ax in axes[len(self.images) :].flat:
            ax.remove()
        figure.get_layout_engine().set(h_pad=0.06, w_pad=0.05)
        return axes[: len(self.images)]

    def _captions(self) -> list[str]:
        """Below each crop: its zoom, and how much it holds of the galaxy and of the others."""
        captions = [f"zoom ×{zoom:.2f}" if np.isfinite(zoom) else "" for zoom in self.zoom]
        shares = {"galaxy": self.galaxy_share, "others": self.neighbor_share}
        known = [
            [(name, share[i]) for name, share in shares.items() if share is not None] for i in range(len(captions))
        ]
        held = [", ".join(f"{name} {share:.0%}" for name, share in each if np.isfinite(share)) for each in known]
        return [f"{caption}\n{shares}" if shares else caption for caption, shares in zip(captions, held)]

    def _draw_outlines(self, style: dict) -> list:
        """The outline and its upper left corner in the image; the same color around the crop."""
        from matplotlib.patches import Polygon

        shape = self.crops.shape[1:3]
        corners = [crop_corners(matrix, shape) for matrix in self.matrices]
        low, high = _limits(np.concatenate([*corners, crop_corners(np.eye(2, 3), self.images.shape[1:3])]))
        outlines: list = []
        for (image_ax, crop_ax), points, caption in zip(self.axes_, corners, self._captions()):
            crop_ax.set_xlabel(caption, fontsize="small", color=INK)
            if not np.isfinite(points).all():
                outlines.append(None)
                continue
            outlines.append(image_ax.add_patch(Polygon(points, **style)))
            crop_ax.add_patch(Polygon(crop_corners(np.eye(2, 3), shape), **style))
            image_ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
            image_ax.plot(*points[0], **_CORNER | {"color": style["edgecolor"]})
            crop_ax.plot(-0.5, -0.5, **_CORNER | {"color": style["edgecolor"]})
        return outlines


def crop_corners(matrix: NDArray, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Corners (4, 2) of a crop of `shape` (h, w), as (x, y) in its image; upper left first, then clockwise."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5  # pixels end half a pixel out
    return corners @ matrix[:, :2].T + matrix[:, 2]


def _limits(points: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest box that holds every image and every outline: all panels show one scale."""
    return np.nanmin(points, axis=0), np.nanmax(points, axis=0)


def _choose(n: int, n_images: int, rows, random_state) -> NDArray[np.intp]:
    if rows is None:
        return check_random_state(random_state).permutation(n)[:n_images]
    rows = np.atleast_1d(np.asarray(rows, dtype=np.intp))
    bad = (rows < -n) | (rows >= n)
    if bad.any():
        raise ValueError(f"rows holds {rows[bad][0]}; expected rows of the {n} images, from 0 to {n - 1}.")
    return rows


def _checked(images, crops, matrices) -> dict[str, NDArray]:
    arrays = {"images": np.asarray(images), "crops": np.asarray(crops), "matrices": np.asarray(matrices)}
    shapes = [array.shape for array in arrays.values()]
    ok = all(len(shape) in (3, 4) for shape in shapes[:2]) and len({shape[:1] for shape in shapes}) == 1
    if not ok or shapes[2][1:] != (2, 3):
        raise ValueError(
            f"images, crops and matrices have shapes {shapes[0]}, {shapes[1]} and {shapes[2]}; "
            "expected (n, H, W) or (n, H, W, C), the same with h and w, and (n, 2, 3)."
        )
    return arrays


def _checked_light(n: int, images: NDArray, galaxy_light, neighbor_light, rows: NDArray) -> dict[str, NDArray | None]:
    """Both kinds of light of `rows`, of n galaxies whose images have the shape of `images`."""
    light: dict[str, NDArray | None] = {"galaxy_light": galaxy_light, "neighbor_light": neighbor_light}
    for name, values in light.items():
        if values is None:
            continue
        values = np.asarray(values)
        if values.ndim not in (3, 4) or values.shape[:3] != (n, *images.shape[1:3]):
            raise ValueError(
                f"{name} has shape {values.shape}; expected (n, H, W[, C]) of the images that are cropped, "
                f"(n, H, W) = {(n, *images.shape[1:3])}."
            )
        light[name] = values[rows]
    return light
