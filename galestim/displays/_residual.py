"""Display of how well a bulge and a disk describe a galaxy: image, model, and what is left."""

from __future__ import annotations

import copy

import numpy as np
from sklearn.utils import check_random_state

from .._descend import descend
from .._sklearn import num_samples, safe_indexing
from ._cutouts import draw_image
from ._posterior import _checked_row
from ._style import GRAY, IMAGE, INK, require_pyplot

# galestim.refinement is imported where it is used: it brings torch, which galestim.datasets and displays do without

N_TRIED = 64  # draws of a posterior, the best of which is shown
RANGE = 5.0  # σ, the ends of the colors


class ResidualDisplay:
    """Image, model and residual of a galaxy, the residual in units of the noise.

    Make one with `from_estimator` or `from_parameters`; all parameters are stored as attributes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    image, model, residual : ndarray of shape (H, W)
        Row 0 is north, at the top. NaN where a pixel is bad. The residual is in σ.
    chi2 : float
        Mean square of the residual.
    parameters : dict of str to float
        Of the model, as `galestim.simulation.render` takes them.

    Attributes
    ----------
    images_ : list of 3 matplotlib AxesImage
    colorbar_ : matplotlib Colorbar
    axes_ : ndarray of matplotlib Axes, shape (3,)
    figure_ : matplotlib Figure

    Notes
    -----
    Image and model are stretched alike. Where the model is right, the residual is noise without structure, and
    `chi2` is 1 but for about √(2/pixels). Rings, arms and bars show as structure; a dipole in the middle is a center
    that is off, a ring around it a point-spread function that is not that of the image.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from galestim.datasets import SimulatedGalaxies
    >>> from galestim.displays import ResidualDisplay
    >>> from galestim.simulation import hsc_like
    >>> galaxies = SimulatedGalaxies(2, random_state=0)
    >>> display = ResidualDisplay.from_parameters(galaxies, galaxies.parameters, band=hsc_like("i"), row=1)
    >>> bool(0.9 < display.chi2 < 1.1)
    True
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, image, model, residual, chi2, parameters):
        self.image = image
        self.model = model
        self.residual = residual
        self.chi2 = chi2
        self.parameters = parameters

    @classmethod
    def from_estimator(cls, estimator, X, *, row=0, axes=None, **plot_kwargs):
        """Refine one galaxy, and show the best of 64 draws from its posterior.

        Parameters
        ----------
        estimator : RefinedRegressor
            Fitted, or a pipeline or search that ends in one.
        X : array-like
            What ``estimator.predict`` takes. Only the row to show goes through the estimator.
        row : int, default=0
            Which galaxy. It is refined whatever the estimator's rule says.
        axes : array-like of 3 matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        ResidualDisplay

        Raises
        ------
        ValueError
            If the estimator does not refine, `row` does not exist, its cutout is missing, or the refinement is not
            reliable.
        """
        require_pyplot(f"{cls.__name__}.from_estimator")  # before a refinement that takes long
        inner, images = descend(estimator, safe_indexing(X, [_checked_row(row, num_samples(X))]), "refine")
        inner = copy.copy(inner)
        inner.when = "always"
        posterior, report = inner.refine(images, parameters="all")
        if report["status"][0] != "refined":
            raise ValueError(
                f"row {row} is {report['status'][0]}; expected a galaxy with a reliable refinement. Try more "
                "n_samples or n_starts, or ResidualDisplay.from_parameters."
            )
        draws = posterior.sample(N_TRIED, random_state=check_random_state(0))[0]
        tried = dict(zip(posterior.target_names, draws.T))
        repeated = safe_indexing(inner.images_of(images), np.zeros(N_TRIED, dtype=int))
        best = int(np.argmin(_compared(repeated, tried, inner.band).chi2))
        of_best = {name: values[[best]] for name, values in tried.items()}
        return cls.from_parameters(safe_indexing(repeated, [0]), of_best, band=inner.band, axes=axes, **plot_kwargs)

    @classmethod
    def from_parameters(cls, X, parameters, *, row=0, band=None, axes=None, **plot_kwargs):
        """Compare an image with the model of given parameters.

        Parameters
        ----------
        X : Cutouts, or array-like of shape (n, H, W) with `band`
            Linear images of one band.
        parameters : mapping of str to array-like of shape (n,)
            As `galestim.simulation.render` takes them; others are ignored.
        row : int, default=0
            Which galaxy.
        band : Band, default=None
            The camera of images that are plain arrays.
        axes : array-like of 3 matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            As for `plot`.

        Returns
        -------
        ResidualDisplay

        Raises
        ------
        ValueError
            As in `galestim.refinement.residuals`.
        """
        require_pyplot(f"{cls.__name__}.from_parameters")
        row = _checked_row(row, num_samples(X))
        chosen = {name: np.asarray(values)[[row]] for name, values in parameters.items()}
        found = _compared(safe_indexing(X, [row]), chosen, band)
        image, model, residual = (pixels[0] for pixels in found[:3])
        values = {name: float(value[0]) for name, value in chosen.items()}
        display = cls(image=image, model=model, residual=residual, chi2=float(found.chi2[0]), parameters=values)
        return display.plot(axes, **plot_kwargs)

    def plot(self, axes=None, *, limit=RANGE):
        """Draw the display.

        Parameters
        ----------
        axes : array-like of 3 matplotlib Axes, default=None
            By default those of a new figure.
        limit : float, default=5.0
            Where the colors of the residual end [σ].

        Returns
        -------
        ResidualDisplay
            The display itself.

        Raises
        ------
        ValueError
            If there are not three axes, or `limit` is not positive.
        """
        plt = require_pyplot(f"{type(self).__name__}.plot")
        if not limit > 0:
            raise ValueError(f"limit={limit!r}; expected a positive number of σ.")
        if axes is None:
            _, axes = plt.subplots(1, 3, figsize=(8.4, 3.0), layout="constrained")
        self.axes_ = np.ravel(axes)
        if len(self.axes_) != 3:
            raise ValueError(f"axes holds {len(self.axes_)} Axes; expected three: image, model and residual.")
        self.figure_ = self.axes_[0].figure
        shown = [draw_image(ax, part, IMAGE, self.image) for ax, part in zip(self.axes_, (self.image, self.model))]
        self.axes_[2].set(xticks=[], yticks=[])
        self.axes_[2].spines[:].set(color=GRAY, linewidth=0.8)
        colors = IMAGE | {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "interpolation": "none"}
        self.images_ = [*shown, self.axes_[2].imshow(self.residual, **colors)]
        self.colorbar_ = self.figure_.colorbar(self.images_[2], ax=self.axes_[2], label="residual [σ]", shrink=0.8)
        self.colorbar_.outline.set(edgecolor=GRAY, linewidth=0.8)
        titles = "image", "model", f"residual, χ² per pixel {self.chi2:.2f}"
        for ax, title in zip(self.axes_, titles):
            ax.set_title(title, color=INK, fontsize="medium")
        return self


def _compared(X, parameters, band):
    from ..refinement import residuals

    return residuals(X, parameters, band=band)
