"""Joint posteriors from images, with the galaxy cropped out on the way."""

from __future__ import annotations

from ..networks import VGG16, CompactCNN, GaussianHead, SpatialTransformer
from ._optimizers import SGD
from ._parameters import documented, with_defaults
from ._posterior import PosteriorRegressor


@documented  # all other parameters are described in _parameters.py
class STNPosteriorRegressor(PosteriorRegressor):
    """Predict a joint posterior of several parameters from a galaxy's image, cropping the galaxy out on the way.

    It is a `PosteriorRegressor` with a spatial transformer in front of its network [1]_ [2]_, and with other defaults
    of these two parameters. It is small enough for a CPU; `gampen` gives the recipe of GaMPEN [1]_.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    network : NetworkSpec or type, default=None
        What reads the crops, as in `PosteriorRegressor`. None means
        ``CompactCNN(readout="radial", stem="strided", norm="none")``.
    spatial_transformer : {"crop", "zoom_shift", "similarity", "affine"}, SpatialTransformer or None, default="crop"
        What crops the images; None for nothing.

    See Also
    --------
    PosteriorRegressor : The same without a crop; has the attributes, and the notes on dropout passes.

    References
    ----------
    .. [1] Ghosh et al. 2022, ApJ 935, 138 (GaMPEN).
    .. [2] Jaderberg et al. 2015, *Spatial transformer networks*, NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim import CompactCNN, STNPosteriorRegressor
    >>> rng = np.random.default_rng(0)
    >>> radius, flux = rng.uniform(1, 3, 200), rng.uniform(1, 2, 200)
    >>> r2 = np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0)
    >>> images = (flux / radius**2)[:, None, None] * np.exp(-r2 / (2 * radius[:, None, None] ** 2))
    >>> model = STNPosteriorRegressor(
    ...     CompactCNN(widths=(2, 4)), target_transforms="log", max_epochs=10, random_state=0
    ... )
    >>> posterior = model.fit(images, np.column_stack([radius, flux])).predict_posterior(images[:5])
    >>> posterior.sample(100, random_state=0).shape
    (5, 100, 2)
    >>> model.crop_parameters(images[:5])["scale"].shape
    (5,)
    """

    __init__ = with_defaults(
        PosteriorRegressor.__init__, "STNPosteriorRegressor.__init__", spatial_transformer="crop"
    )

    def _default_network(self):
        return CompactCNN(readout="radial", stem="strided", norm="none")

    @classmethod
    def gampen(cls, **parameters) -> STNPosteriorRegressor:
        """Make the recipe of GaMPEN [1]_: VGG-16 behind an unbounded zoom, SGD, rotations, 1000 passes.

        Parameters
        ----------
        **parameters : dict
            What is to differ from it.

        Returns
        -------
        STNPosteriorRegressor

        References
        ----------
        .. [1] Ghosh et al. 2022, ApJ 935, 138.

        Examples
        --------
        >>> STNPosteriorRegressor.gampen(lr=1e-6).n_passes
        1000
        """
        recipe = {
            "network": VGG16(),
            "spatial_transformer": SpatialTransformer(
                localization="gampen", max_zoom=None, inform=False, fill="zeros", lr_factor=1.0
            ),
            "head": GaussianHead(bounded=False),
            "n_passes": 1000,
            "calibrate_widths": False,
            "dropout": 4e-4,
            "batch_size": 16,
            "lr": 5e-7,
            "weight_decay": 1e-4,
            "optimizer": SGD(momentum=0.99),
            "lr_schedule": None,
            "augmentation": "rotation",
        }
        return cls(**{**recipe, **parameters})
