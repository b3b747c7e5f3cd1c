"""Joint posteriors from images."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._estimates import PosteriorEstimates, forget_lost
from .._sklearn import HasMethods, Interval, StrOptions, fit_context
from ..calibration import Widths, check_targets
from ..networks import (
    ContextAsChannels,
    CroppedNetwork,
    GaussianHead,
    HarmonicNet,
    NegativeLogLikelihood,
    SpatialTransformer,
    build_network,
    n_camera_numbers,
    set_dropout,
)
from ..posteriors import MixturePosterior
from ._base import ImageRegressor
from ._crops import N_WATCHED, CropsMixin
from ._domain import Domain
from ._examples import Labels
from ._parameters import CONSTRAINTS, documented
from ._passes import Passes
from ._rows import TrainingRows


@documented  # all other parameters are described in _parameters.py
class PosteriorRegressor(Domain, Passes, PosteriorEstimates, CropsMixin, ImageRegressor):
    """Predict a joint posterior of several parameters from a galaxy's image.

    A network reads the image, and its outputs are the mean and the full covariance of a Gaussian over the
    (transformed) targets, or of a mixture of several, trained on its likelihood [1]_. Monte Carlo dropout [2]_ and
    ensembles [3]_ add what the network does not know about itself: each pass is one more component of the posterior.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    network : NetworkSpec or type, default=None
        What reads the images: a spec such as `HarmonicNet`, `CompactCNN` or `VGG16`, or a ``torch.nn.Module`` class
        that is called as ``network((H, W, C), n_outputs)``; behind a spatial transformer the latter gets the crop's
        scale as one more channel. None means ``HarmonicNet()``, which measures galaxies in apertures of all sizes.
    spatial_transformer : {"crop", "zoom_shift", "similarity", "affine"}, SpatialTransformer or None, default=None
        What crops the images before the network reads them; None for nothing.
    head : GaussianHead, default=None
        The form of the predicted density: number of Gaussians, and whether their covariances are kept where they
        cannot overflow. None means ``GaussianHead()``, one bounded Gaussian.
    target_transforms : str, object, sequence or dict of these, default=None
        How each target is made boundless before it is learned: ``"log"``, ``"logit"``, ``"asinh"``, ``"identity"`` or
        an object of :mod:`galestim.targets` or your own; one for all, one per target, or by target name. None leaves
        all targets as they are.
    n_estimators : int, default=1
        Number of networks trained from different starts; each gives an equal share of the posterior.
    n_passes : int or "auto", default=32
        Number of Monte Carlo dropout passes in prediction, per network. ``"auto"``: so many that means are within
        0.05σ of those of endlessly many passes, and σ within 2 percent, which `fit` finds on training images.
    dropout : float or None, default=5e-4
        Rate of every dropout layer of the network, in training and in prediction. None leaves those of the network.
    point_estimate : {"mean", "median", "mode"}, default="mean"
        What `predict` returns of the posterior.
    calibrate_widths : bool, default=True
        Whether to scale the posteriors' widths after training, by a factor per target that is not the same in all
        dropout passes, so that intervals hold their share of the validation set; a few galaxies change little.
    augmentation : {"spin", "rotation"}, Augmentation or None, default=None
        Random views while training. The default network sees no difference between flips and quarter turns, so it
        needs none of those; other angles resample the image and make its noise smoother than the noise it predicts
        from. Targets that are directions, such as ``position_angle``, are refused where images are turned.

    Attributes
    ----------
    network_ : torch.nn.ModuleList
        The trained networks, `n_estimators` of them.
    target_transforms_ : list
        The transform of each target.
    target_units_ : list of str or None
        Units of the targets, where `y` was an astropy table.
    target_mean_, target_scale_ : ndarray of shape (n_outputs_,)
        Location and scale of the transformed targets.
    n_passes_ : int
        Number of passes per network, if `n_passes` was ``"auto"``.
    width_factors_ : ndarray of shape (n_outputs_,)
        What the networks' standard deviations are multiplied by in the median dropout pass; see `calibrate_widths`.
    width_spreads_ : ndarray of shape (n_outputs_,)
        Standard deviation, from pass to pass, of the logarithm of that factor.
    pixel_mean_, pixel_scale_ : ndarray of shape (C,)
        Location and scale by which pixels are standardized.
    camera_ : bool
        Whether the network is told the camera of its images: whether `fit` got `Cutouts` that know it.
    history_ : list of dict
        Per epoch: ``member``, ``epoch``, ``train_loss``, ``lr``, ``duration`` [s] and, if there is a validation set,
        ``valid_loss`` and ``valid_rmse_<target>``, the root mean squared error of each target in its own units, by
        the latent means taken back by its transform.
    n_parameters_ : int
        Number of trained weights.
    target_names_ : list of str
        Names of the targets, where `y` had any.
    n_outputs_ : int
        Number of targets.
    image_shape_ : tuple of int (H, W, C)
        Shape of the training images.
    n_features_in_ : int
        ``H·W·C``.
    domain_ : ndarray of shape (3, n_measures)
        Limits and middle of what training images and their cameras have; of fits to `Cutouts`. See `domain`.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns, if `X` was a data frame.
    device_ : str
        Where the network is.

    See Also
    --------
    STNPosteriorRegressor : The same with a crop by default.
    CNNRegressor : Point estimates.
    galestim.posteriors.MixturePosterior : What `predict_posterior` returns.

    Notes
    -----
    The masks of a dropout pass are the same for all galaxies, so a pass is one network and a galaxy's posterior does
    not depend on which others are predicted with it. Layers in front of the first dropout run once.

    References
    ----------
    .. [1] Ghosh et al. 2022, ApJ 935, 138 (GaMPEN).
    .. [2] Gal & Ghahramani 2016, *Dropout as a Bayesian approximation*, ICML.
    .. [3] Lakshminarayanan et al. 2017, *Simple and scalable predictive uncertainty estimation*, NeurIPS.

    Examples
    --------
    >>> from galestim import HarmonicNet, PosteriorRegressor
    >>> from galestim.datasets import make_galaxies
    >>> galaxies = make_galaxies(200, random_state=0)
    >>> model = PosteriorRegressor(
    ...     HarmonicNet(hidden=16, blocks=1), target_transforms=["logit", "log", "log"], max_epochs=5, random_state=0
    ... )
    >>> posterior = model.fit(galaxies.images, galaxies.target).predict_posterior(galaxies.images[:5])
    >>> posterior.sample(100, random_state=0).shape
    (5, 100, 3)
    >>> posterior.credible_interval(0.95).shape
    (5, 3, 2)
    """

    _may_take_camera = True
    _gradient_clip = 1.0  # one outlier's likelihood must not undo an epoch

    _parameter_constraints: dict = {
        **CONSTRAINTS,
        "spatial_transformer": [
            StrOptions({"crop", "zoom_shift", "similarity", "affine"}),
            HasMethods(["build"], "SpatialTransformer()"),
            None,
        ],
        "head": [GaussianHead, None],
        "target_transforms": "no_validation",  # resolve_transforms says more
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_passes": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "point_estimate": [StrOptions({"mean", "median", "mode"})],
        "calibrate_widths": ["boolean"],
    }

    def __init__(
        self,
        network=None,
        *,
        spatial_transformer=None,
        head=None,
        target_transforms=None,
        n_estimators=1,
        n_passes=32,
        dropout=5e-4,
        point_estimate="mean",
        calibrate_widths=True,
        max_epochs=40,
        batch_size=64,
        lr=3e-3,
        weight_decay=1e-2,
        optimizer="adamw",
        lr_schedule="one_cycle",
        augmentation=None,
        validation_fraction=0.1,
        early_stopping_patience=None,
        image_shape=None,
        precision="float32",
        device="auto",
        random_state=None,
        warm_start=False,
        warm_start_from=None,
        callbacks=None,
        checkpoint=None,
        checkpoint_minutes=10,
        verbose=0,
    ):
        self.network = network
        self.spatial_transformer = spatial_transformer
        self.head = head
        self.target_transforms = target_transforms
        self.n_estimators = n_estimators
        self.n_passes = n_passes
        self.dropout = dropout
        self.point_estimate = point_estimate
        self.calibrate_widths = calibrate_widths
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.early_stopping_patience = early_stopping_patience
        self.image_shape = image_shape
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start
        self.warm_start_from = warm_start_from
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.checkpoint_minutes = checkpoint_minutes
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # a network that cannot tell an image from its mirror image is no good at tables of numbers
        tags.regressor_tags.poor_score = not getattr(self._spec(), "sees_directions", True)
        return tags

    # ---- fit

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, y_err=None):
        """Train the network on images and what is to be inferred from them.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C), or Cutouts
            Images; flat rows need `image_shape`. Rows that are NaN everywhere (missing cutouts) are left out, with
            one warning that counts them. Those of a `SimulatedGalaxies` are redrawn in each epoch. Of `Cutouts` that
            know ``psf`` and ``noise`` the network is told the camera; those whose camera is NaN are left out.
        y : array-like or table of shape (n,) or (n, n_targets)
            Targets, in physical units. The columns of a table give their names and units. If the network is told the
            camera, logarithms of radii and fluxes are learned relative to rough ones of each image, so these need
            their names: one that has ``radius`` in it or ends in ``axis``, or ``r_eff``, ``re``, ``r50``, ``hlr``;
            one that has ``flux``.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 is the same as giving the row twice, 0 the same as leaving it out.
        y_err : array-like of the shape of y, default=None
            Standard deviations of the targets' own errors, in their units. Columns of a table are found by the
            targets' names, to which such as ``_err`` or ``e_`` may be added. They are added to the predicted
            covariance in the likelihood, so that the posterior is that of the true values.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If images or targets are not what is said above, a target lies where its transform has no value or is the
            same in all rows, there is nothing to train or validate on, `Cutouts` with a camera are to be
            augmented, or `checkpoint` has that of another fit.
        FloatingPointError
            If the training diverges: its loss, weights or most outputs are not finite. Whatever is raised, the
            estimator stays as it was.

        Warns
        -----
        UserWarning
            If the crops have collapsed to the smallest scale allowed, the training ends with a loss, or predictions,
            of one that has diverged, `Cutouts` know only a part of their camera, or targets that are learned with it
            have no names.
        """
        return self._fit(X, y, sample_weight, y_err)

    def _default_network(self):
        return HarmonicNet()

    def _loss(self):
        return NegativeLogLikelihood(self._head(), getattr(self._transformer(), "size_target", None))

    def _transformer(self):
        given = self.spatial_transformer
        return SpatialTransformer(given) if isinstance(given, str) else given

    def _specs(self):
        return {**super()._specs(), "head": self._head(), "spatial_transformer": self._transformer()}

    def _member(self, spec, n_outputs):
        """A network with dropout, behind the spatial transformer if there is one."""
        transformer, told = self._transformer(), self._camera_told()
        shape, n_context = self.image_shape_, n_camera_numbers(self.image_shape_[2]) if told == "numbers" else 0
        if transformer is not None:
            shape, n_context = transformer.crop_shape(shape), n_context + transformer.n_context
        network: Any
        if told == "whole":
            network = build_network(spec, shape, n_outputs, n_context, True)
        elif getattr(spec, "takes_context", False):
            network = build_network(spec, shape, n_outputs, n_context)
        else:
            network = ContextAsChannels(build_network(spec, (*shape[:2], shape[2] + n_context), n_outputs))
        set_dropout(network, self.dropout)
        if transformer is None:
            return network
        tells_side = getattr(transformer, "size_target", None) is not None
        return CroppedNetwork(transformer.build(self.image_shape_), network, tells_side)

    def _finish(self, images, labels: Labels, training: TrainingRows, validation: TrainingRows | None) -> None:
        transformer = self._transformer()
        if transformer is not None and transformer.max_zoom is not None:
            self._warn_of_collapse(images, training, transformer.max_zoom)
        if self.n_passes == "auto":
            self.n_passes_ = self._enough_passes(images[training.rows[:N_WATCHED]])
        widths = Widths(np.ones(self.n_outputs_), np.zeros(self.n_outputs_))
        if self.calibrate_widths and validation is not None:
            widths = self._found_widths(images, labels, validation)
        self.width_factors_, self.width_spreads_ = widths
        if self.camera_:
            self._learn_domain(images, training)

    def _camera_told(self):
        told = super()._camera_told()
        return "numbers" if told and self._transformer() is not None else told  # crops have another camera

    # ---- posteriors

    def predict_posterior(self, X, *, n_passes=None, random_state=None) -> MixturePosterior:
        """Predict each image's joint posterior.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C), or Cutouts
            Images like those of `fit`. If `camera_`, `Cutouts` with ``psf`` and ``noise``, and with ``pixel_scale``
            if those of `fit` had it; `HarmonicNet` then takes images of any size.
        n_passes : int, default=None
            Number of Monte Carlo dropout passes per network; None takes the estimator's.
        random_state : int, RandomState instance or None, default=None
            Determines the passes' dropout. None takes the seed of the fit, so the answer is the same at every call.

        Returns
        -------
        MixturePosterior of length n
            In physical units; NaN where the image is NaN everywhere, or its camera is not known. Radii are in arcsec
            by the ``pixel_scale`` of `Cutouts`, fluxes in the units of their images.

        Raises
        ------
        ValueError
            If images are not like those of `fit`, or the network was told a camera and `X` does not know it.

        Warns
        -----
        RuntimeWarning
            If the posterior of an image that is not missing is NaN too, as the network's output is not finite.
        """
        n_passes = self._known_passes() if n_passes is None else n_passes
        if not isinstance(n_passes, int | np.integer) or n_passes < 1:
            raise ValueError(f"n_passes={n_passes!r}; expected an int of at least 1.")
        images = self._fitted_images(X)
        seed = self._seed if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))
        weights, means, trils = self._mixture(images, int(n_passes), seed)
        forget_lost(images, means, trils)
        widths, m = Widths(self.width_factors_, self.width_spreads_), weights.shape[1]
        factors = widths.of_components(m, self._passes_per_member(m), self._head().n_mixture)
        offsets = np.broadcast_to(self._offsets_of(images), (len(images), self.n_outputs_))
        return self._posterior(weights, means, trils * factors[:, :, None], offsets)

    def log_prob(self, X, y):
        """Log density of `y` under each image's posterior, in physical units.

        As in `fit`, labels at the bounds of a logit target are moved inside its margins.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        y : array-like or table of shape (n,) or (n, n_targets)
            Columns of a table are found by the targets' names.

        Returns
        -------
        ndarray of shape (n,)
        """
        posterior = self.predict_posterior(X)
        return posterior.log_prob(check_targets(y, posterior))
