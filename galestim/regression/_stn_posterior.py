"""Joint posteriors from images, with the galaxy cropped out on the way."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array
from torch import nn

from .._sklearn import HasMethods, Interval, StrOptions, fit_context
from ..networks import VGG16, CompactCNN, GaussianHead, HarmonicNet, SpatialTransformer
from ..networks._dropout import drops_out, set_dropout
from ..networks._spatial_transformer import CroppedNetwork
from ..posteriors import MixturePosterior
from ..targets import check_domain, clip_labels, resolve_transforms
from ._base import ImageRegressor, _private_torch_seed
from ._crops import CropsMixin
from ._device import resolve_device
from ._image_network import ImageNetwork
from ._losses import NegativeLogLikelihood
from ._passes import ContextAsChannels, repeated_passes
from ._rows import TrainingRows
from ._stream import ImageStream
from ._targets import target_units
from ._widths import Widths, find_widths

GRADIENT_CLIP = 1.0  # one outlier's likelihood must not undo an epoch
N_WATCHED = 256  # training images on which the crop is looked at after a fit


class STNPosteriorRegressor(CropsMixin, ImageRegressor):
    """Predict a joint posterior of several parameters from a galaxy's image, cropping the galaxy out on the way.

    A spatial transformer crops the image, a network reads the crop, and its outputs are the mean and the full
    covariance of a Gaussian over the (transformed) targets, trained on its likelihood [1]_. Monte Carlo dropout [2]_
    and ensembles [3]_ add what the network does not know about itself: each pass is one more component of the mixture
    that `predict_posterior` returns.

    With its defaults it is small enough for a CPU; `published` gives the recipe of GaMPEN [1]_.

    Parameters
    ----------
    network : NetworkSpec or type, default=None
        What reads the crops: a spec such as `CompactCNN` or `VGG16`, or a ``torch.nn.Module`` class that is called as
        ``network((H, W, C), n_outputs)``; the latter gets the crop's scale as one more channel. None means
        ``CompactCNN(readout="radial", stem="strided", norm="none")`` for crops, and where nothing is cropped
        ``HarmonicNet()``, which measures galaxies in apertures of all sizes instead.
    spatial_transformer : {"crop", "similarity", "affine"}, SpatialTransformer or None, default="crop"
        What crops the images; None for nothing.
    target_transforms : str, object, sequence or dict of these, default=None
        How each target is made boundless before it is learned: ``"log"``, ``"logit"``, ``"asinh"``, ``"identity"`` or
        an object of :mod:`galestim.targets` or your own; one for all, one per target, or by target name. None leaves
        all targets as they are.
    n_mixture : int, default=1
        Number of Gaussians that the network predicts for each galaxy.
    n_estimators : int, default=1
        Number of networks trained from different starts; each gives an equal share of the posterior.
    n_passes : int, default=32
        Number of Monte Carlo dropout passes in prediction, per network.
    dropout : float or None, default=5e-4
        Rate of every dropout layer of the network, in training and in prediction. None leaves those of the network.
    point_estimate : {"mean", "median", "mode"}, default="mean"
        What `predict` returns of the posterior.
    bounded : bool, default=True
        Whether to keep predicted covariances where they cannot overflow; see `GaussianHead`.
    calibrate : bool, default=True
        Whether to scale the posteriors' widths after training, by a factor per target that is not the same in all
        dropout passes, so that intervals hold their share of the validation set; a few galaxies change little.
    max_epochs : int, default=40
        Passes over the training set.
    batch_size : int, default=64
        Images per step.
    lr : float, default=0.003
        Learning rate at the start (the peak, for ``"one_cycle"``).
    momentum : float, default=0.99
        Of the optimizer ``"sgd"``.
    weight_decay : float, default=0.01
        L2 penalty, as the optimizer defines it.
    optimizer : {"adam", "adamw", "sgd"} or type, default="adamw"
        A name, or a ``torch.optim.Optimizer`` class.
    lr_schedule : {"plateau", "cosine", "one_cycle"} or None, default="one_cycle"
        How the learning rate changes.
    augmentation : {"spin", "rotation"}, Augmentation or None, default=None
        Random views while training. The default network sees no difference between flips and quarter turns, so it
        needs none of those; other angles resample the image and make its noise smoother than the noise it predicts
        from. Targets that are directions, such as ``position_angle``, are refused where images are turned.
    validation_fraction : float, default=0.1
        Share of the distinct training images set aside, at random, to watch the loss; 0 for none.
    early_stopping_patience : int, default=None
        Stop after so many epochs without a better validation loss, and go back to the best one.
    image_shape : tuple of int, default=None
        ``(H, W, C)`` or ``(H, W)`` of images given as flat rows.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Arithmetic of the network. ``"bfloat16"`` keeps the weights in float32 and computes in mixed precision.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, validation split, shuffling, augmentation and dropout.
    warm_start : bool, default=False
        Whether another `fit` goes on from the weights and scalings of the last one.
    callbacks : list of skorch callbacks, default=None
        Called during training; copied first, so yours stay as they are.
    verbose : int, default=0
        1 shows a progress bar on a terminal.

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
    width_factors_ : ndarray of shape (n_outputs_,)
        What the networks' standard deviations are multiplied by in the median dropout pass; see `calibrate`.
    width_spreads_ : ndarray of shape (n_outputs_,)
        Standard deviation, from pass to pass, of the logarithm of that factor.
    pixel_mean_, pixel_scale_ : ndarray of shape (C,)
        Location and scale by which pixels are standardized.
    history_ : list of dict
        Per epoch: ``member``, ``epoch``, ``train_loss``, ``valid_loss``, ``lr``, ``duration`` [s].
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
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns, if `X` was a data frame.
    device_ : str
        Where the network is.

    See Also
    --------
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
    >>> posterior.credible_interval(0.95).shape
    (5, 2, 2)
    """

    _parameter_constraints: dict = {
        **ImageRegressor._parameter_constraints,
        "spatial_transformer": [StrOptions({"crop", "similarity", "affine"}), HasMethods(["build"]), None],
        "target_transforms": "no_validation",  # resolve_transforms says more
        "n_mixture": [Interval(Integral, 1, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_passes": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "point_estimate": [StrOptions({"mean", "median", "mode"})],
        "bounded": ["boolean"],
        "calibrate": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        network=None,
        *,
        spatial_transformer="crop",
        target_transforms=None,
        n_mixture=1,
        n_estimators=1,
        n_passes=32,
        dropout=5e-4,
        point_estimate="mean",
        bounded=True,
        calibrate=True,
        max_epochs=40,
        batch_size=64,
        lr=3e-3,
        momentum=0.99,
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
        callbacks=None,
        verbose=0,
    ):
        self.network = network
        self.spatial_transformer = spatial_transformer
        self.target_transforms = target_transforms
        self.n_mixture = n_mixture
        self.n_estimators = n_estimators
        self.n_passes = n_passes
        self.dropout = dropout
        self.point_estimate = point_estimate
        self.bounded = bounded
        self.calibrate = calibrate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.momentum = momentum
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
        self.callbacks = callbacks
        self.verbose = verbose

    @classmethod
    def published(cls, **parameters) -> STNPosteriorRegressor:
        """Make the published recipe: VGG-16 behind an unbounded zoom, SGD, rotations, 1000 passes.

        Parameters
        ----------
        **parameters : dict
            What is to differ from it.

        Returns
        -------
        STNPosteriorRegressor

        Examples
        --------
        >>> STNPosteriorRegressor.published(lr=1e-6).n_passes
        1000
        """
        recipe = {
            "network": VGG16(),
            "spatial_transformer": SpatialTransformer(
                localization="published", max_zoom=None, inform=False, fill="zeros", lr_factor=1.0
            ),
            "n_passes": 1000,
            "bounded": False,
            "calibrate": False,
            "dropout": 4e-4,
            "batch_size": 16,
            "lr": 5e-7,
            "weight_decay": 1e-4,
            "optimizer": "sgd",
            "lr_schedule": None,
            "augmentation": "rotation",
        }
        return cls(**{**recipe, **parameters})

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
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images; flat rows need `image_shape`. Rows that are NaN everywhere (missing cutouts) are left out, with
            one warning that counts them. Those of a `SimulatedGalaxies` are redrawn in each epoch.
        y : array-like of shape (n,) or (n, n_targets)
            Targets, in physical units.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 is the same as giving the row twice, 0 the same as leaving it out.
        y_err : array-like of the shape of y, default=None
            Standard deviations of the targets' own errors, in their units. They are added to the predicted
            covariance in the likelihood, so that the posterior is that of the true values.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If images or targets are not what is said above, a target lies where its transform has no value or is the
            same in all rows, or there is nothing to train or validate on.
        FloatingPointError
            If the training diverges.

        Warns
        -----
        UserWarning
            If the crops have collapsed to the smallest scale allowed.
        """
        return self._fit(X, y, sample_weight, y_err=y_err)

    def _check_fit_input(self, X, y, sample_weight, resume, y_err=None):
        images, labels, weights = super()._check_fit_input(X, y, sample_weight, resume)
        targets = labels["target"]
        self.target_units_ = target_units(y)
        self.target_transforms_ = resolve_transforms(self.target_transforms, self.target_names_)
        labels = self._labels(targets)
        if isinstance(images, ImageStream):
            images.forbid("y_err", y_err)
        if y_err is not None:
            targets = clip_labels(targets, self.target_transforms_)
            slope = [np.exp(t.log_abs_det_jacobian(c)) for t, c in zip(self.target_transforms_, targets.T)]
            labels["error"] = _check_errors(y_err, targets) * np.column_stack(slope)
        return images, labels, weights

    def _labels(self, targets):
        check_domain(targets, self.target_transforms_, self.target_names_)
        targets = clip_labels(targets, self.target_transforms_)
        latent = [t.forward(column) for t, column in zip(self.target_transforms_, targets.T)]
        labels = {"target": np.column_stack(latent)}
        if (name := self._size_target()) is not None:
            labels["log_size"] = _log_size(targets, name, self.target_names_)
        return labels

    def _target_moments(self, targets, weights):
        constant = (targets == targets[0]).all(axis=0)
        if len(targets) > 1 and constant.any():
            name = self.target_names_[int(np.argmax(constant))]
            raise ValueError(
                f"the target {name!r} is the same in all {len(targets)} training rows, so there is nothing to learn; "
                "leave it out, or give rows in which it varies."
            )
        return super()._target_moments(targets, weights)

    def _standardized(self, labels):
        standardized = super()._standardized(labels)
        if "error" in labels:
            standardized["variance"] = (labels["error"] / self.target_scale_) ** 2
        if "log_size" in labels:
            standardized["log_size"] = labels["log_size"]
        return standardized

    def _default_network(self):
        if self.spatial_transformer is None:
            return HarmonicNet()
        return CompactCNN(readout="radial", stem="strided", norm="none")

    def _head(self) -> GaussianHead:
        return GaussianHead(self.n_mixture, self.bounded)

    def _make_loss(self):
        return NegativeLogLikelihood(self._head())

    def _n_network_outputs(self):
        return self._head().n_outputs(self.n_outputs_)

    def _transformer(self):
        given = self.spatial_transformer
        return SpatialTransformer(given) if isinstance(given, str) else given

    def _size_target(self) -> str | None:
        """The target that crops follow."""
        return getattr(self._transformer(), "size_target", None)

    def _build(self):
        return nn.ModuleList([super(STNPosteriorRegressor, self)._build() for _ in range(self.n_estimators)])

    def _build_network(self):
        spec, transformer = self._spec(), self._transformer()
        shape, n_context = self.image_shape_, 0
        if transformer is not None:
            shape, n_context = transformer.crop_shape(shape), transformer.n_context
        if getattr(spec, "takes_context", False):
            network = spec.build(shape, self._n_network_outputs(), n_context)
        else:
            make = spec if isinstance(spec, type) else spec.build
            network = ContextAsChannels(make((*shape[:2], shape[2] + n_context), self._n_network_outputs()))
        set_dropout(network, self.dropout)
        if transformer is None:
            return network
        return CroppedNetwork(transformer.build(self.image_shape_), network, self._size_target() is not None)

    def _initialize(self, network):
        for member in network:
            crops = isinstance(member.network, CroppedNetwork)
            super()._initialize(member.network if crops else member)

    def _train(self, images, labels, training, validation):
        transformer, history = self._transformer(), []
        factors = {} if transformer is None else {"network.transformer.*": transformer.lr_factor}
        how = {"lr_factors": factors, "gradient_clip": GRADIENT_CLIP}
        if self.optimizer == "sgd":
            how["momentum"] = self.momentum
        for number, member in enumerate(self.network_):
            seed = self._seed + number
            rows = self._train_network(member, seed, images, labels, training, validation, **how)
            history += [{"member": number, **row} for row in rows]
        if transformer is not None and transformer.max_zoom is not None:
            self._warn_of_collapse(images, training, 1 / transformer.max_zoom)
        self._set_widths()
        if self.calibrate and validation is not None:
            self._set_widths(self._found_widths(images, labels, validation))
        return history

    def _set_widths(self, widths: Widths | None = None) -> None:
        """Keep the widths found, or those that change nothing."""
        k = self.n_outputs_
        self.width_factors_, self.width_spreads_ = widths or Widths(np.ones(k), np.zeros(k))

    def _found_widths(self, images, labels, validation: TrainingRows) -> Widths:
        """Widths that the validation set asks for."""
        weights, means, trils = self._mixture(images[validation.rows], self.n_passes, self._seed)
        y = labels["target"][validation.rows]
        errors = labels["variance"][validation.rows] if "variance" in labels else np.zeros_like(y)
        variances = (trils**2).sum(axis=-1)
        passes = self._passes_per_member(weights.shape[1])
        return find_widths(y, weights, means, variances, errors, validation.weight, passes, self.n_mixture)

    def _passes_per_member(self, n_components: int) -> int:
        return n_components // (self.n_estimators * self.n_mixture)

    def _warn_of_collapse(self, images, training: TrainingRows, smallest: float) -> None:
        scale = self._crop_table(images[training.rows[:N_WATCHED]], member=0)["scale"]
        if np.median(scale) < 1.05 * smallest:
            warnings.warn(
                f"the crop has collapsed: half of the training images are cropped to {np.median(scale):.2f} of their "
                f"side, the least that max_zoom={1 / smallest:g} allows. Lower SpatialTransformer's lr_factor, raise "
                "max_zoom, or crop the images first (CenterCrop).",
                stacklevel=2,
            )

    def _adopt(self, weights, *, image_shape, latent, target_names, target_units):
        """Be fitted, with weights that took pixels as they are and learned from transformed labels ``(n, k)``."""
        self._validate_params()
        self.image_shape_, self.n_features_in_ = image_shape, int(np.prod(image_shape))
        self.target_names_, self.target_units_, self.n_outputs_ = target_names, target_units, len(target_names)
        self._one_dimensional_y = False
        self.target_transforms_ = resolve_transforms(self.target_transforms, target_names)
        self.target_mean_, self.target_scale_ = self._target_moments(latent, np.ones(len(latent)))
        self.pixel_mean_, self.pixel_scale_ = np.zeros(image_shape[2]), np.ones(image_shape[2])
        self._seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.device_ = resolve_device(self.device)
        with _private_torch_seed("cpu", 0):  # building draws weights that are overwritten at once
            self.network_: Any = self._build()
        self.network_[0].network.load_state_dict(weights)
        self.network_.to(self.device_)
        self._set_widths()
        self.history_ = []
        self.n_parameters_ = sum(weight.numel() for weight in self.network_.parameters())
        return self

    # ---- posteriors

    def predict_posterior(self, X, *, n_passes=None, random_state=None) -> MixturePosterior:
        """Predict each image's joint posterior.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        n_passes : int, default=None
            Number of Monte Carlo dropout passes per network; None takes the estimator's.
        random_state : int, RandomState instance or None, default=None
            Determines the passes' dropout. None takes the seed of the fit, so the answer is the same at every call.

        Returns
        -------
        MixturePosterior of length n
            In physical units; NaN where the image is NaN everywhere.
        """
        images = self._fitted_images(X)
        n_passes = self.n_passes if n_passes is None else n_passes
        seed = self._seed if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))
        weights, means, trils = self._mixture(images, n_passes, seed)
        m = weights.shape[1]
        widths = Widths(self.width_factors_, self.width_spreads_)
        factors = widths.of_components(m, self._passes_per_member(m), self.n_mixture)
        return MixturePosterior(
            means * self.target_scale_ + self.target_mean_,
            trils * (factors * self.target_scale_)[:, :, None],
            weights,
            groups=np.arange(m) // self.n_mixture,
            target_names=self.target_names_,
            units=self.target_units_,
            transforms=self.target_transforms_,
        )

    def _mixture(self, images: NDArray, n_passes: int, seed: int) -> tuple[NDArray, NDArray, NDArray]:
        """Weights ``(n, m)``, means and Cholesky factors of standardized targets, of all passes of all members."""
        members = enumerate(self.network_)
        raw = np.concatenate([self._passes(images, member, seed + i, n_passes) for i, member in members], axis=1)
        log_weights, means, trils = (part.numpy() for part in self._head()(torch.from_numpy(raw), self.n_outputs_))
        n, n_networks, k = len(raw), raw.shape[1], self.n_outputs_
        weights = np.exp(log_weights).reshape(n, -1) / n_networks
        return weights, means.reshape(n, -1, k), trils.reshape(n, -1, k, k)

    def _passes(self, images: NDArray, member: nn.Module, seed: int, n_passes: int) -> NDArray:
        """Raw outputs of a network's passes, ``(n, n_passes, n_network_outputs)``; one if nothing drops out."""
        assert isinstance(member, ImageNetwork)
        n_passes = n_passes if drops_out(member.network) else 1
        shape = (n_passes, self._n_network_outputs())
        return self._each_batch(images, lambda pixels: repeated_passes(member, pixels, seed, n_passes), shape)

    def predict(self, X, return_std=False, return_cov=False):
        """Predict the targets of each image.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        return_std : bool, default=False
            Whether to return the posterior's standard deviations too.
        return_cov : bool, default=False
            Whether to return the posterior's covariances too.

        Returns
        -------
        estimate : ndarray of shape (n,) or (n, n_targets)
            Posterior mean, median or mode, in the units of `y`; NaN where the image is NaN everywhere.
        std : ndarray of the shape of estimate
            If `return_std` is True.
        cov : ndarray of shape (n, n_targets, n_targets)
            If `return_cov` is True.
        """
        if return_std and return_cov:
            raise RuntimeError("At most one of return_std or return_cov can be requested.")
        posterior = self.predict_posterior(X)
        estimate = self._like_y(getattr(posterior, self.point_estimate)())
        if return_std:
            return estimate, self._like_y(posterior.std())
        return (estimate, posterior.cov()) if return_cov else estimate

    def _like_y(self, values: NDArray) -> NDArray:
        return values[:, 0] if self._one_dimensional_y else values

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from each image's posterior.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        n_samples : int, default=1
            Number of draws per image.
        random_state : int, RandomState instance or None, default=0
            Determines the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, n_targets)
        """
        return self.predict_posterior(X).sample(n_samples, random_state=random_state)

    def log_prob(self, X, y):
        """Log density of `y` under each image's posterior, in physical units.

        As in `fit`, labels at the bounds of a logit target are moved inside its margins first.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        y : array-like of shape (n,) or (n, n_targets)

        Returns
        -------
        ndarray of shape (n,)
        """
        y = np.asarray(y, dtype=np.float64).reshape(-1, self.n_outputs_)
        return self.predict_posterior(X).log_prob(clip_labels(y, self.target_transforms_))


def _log_size(targets: NDArray, name: str, names: list[str]) -> NDArray:
    """Logarithm ``(n, 1)`` of the target that crops follow."""
    if name not in names:
        raise ValueError(f"size_target={name!r} is none of the targets {names}; name one of them, or none.")
    size = targets[:, [names.index(name)]]
    if (size <= 0).any():
        row = int(np.argmax(size <= 0))
        raise ValueError(f"size_target={name!r} is {size[row, 0]:g} in row {row}; expected lengths above 0.")
    return np.log(size)


def _check_errors(y_err, targets: NDArray) -> NDArray:
    """Errors of the targets as ``(n, k)``, none negative."""
    errors = check_array(y_err, ensure_2d=False, dtype=np.float64, input_name="y_err")
    errors = errors.reshape(len(errors), -1)
    if errors.shape != targets.shape:
        raise ValueError(f"y_err has shape {errors.shape}; expected {targets.shape}, an error for every target.")
    if (errors < 0).any():
        raise ValueError(f"y_err is negative in row {int(np.argmax((errors < 0).any(axis=1)))}; expected σ ≥ 0.")
    return errors
