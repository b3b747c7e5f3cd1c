"""Joint posteriors from images, with the galaxy cropped out on the way."""

from __future__ import annotations

from ..networks import VGG16, CompactCNN, GaussianHead, SpatialTransformer
from ._optimizers import SGD
from ._posterior import PosteriorRegressor


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
    max_epochs : int, default=40
        Passes over the training set.
    batch_size : int, default=64
        Images per step.
    lr : float, default=0.003
        Learning rate at the start (the peak, for ``"one_cycle"``).
    weight_decay : float, default=0.01
        L2 penalty, as the optimizer defines it.
    optimizer : {"adam", "adamw", "sgd"}, SGD or type, default="adamw"
        A name, `SGD` with its momentum, or a ``torch.optim.Optimizer`` class.
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
    warm_start_from : Transfer, default=None
        A fitted estimator whose weights `fit` takes over at the start, with its network if ``network`` is None; a
        `warm_start` goes before it.
    callbacks : list of skorch callbacks, default=None
        Called during training; copied first, so yours stay as they are, but share files and locks that they hold with
        the copies. Of skorch's, those that score arrays (``EpochScoring``, ``BatchScoring``) are refused. A
        KeyboardInterrupt goes to the caller, unless it is that of ``EarlyStopping``.
    checkpoint : str or path-like, default=None
        Folder in which the state of the training is kept: the same fit goes on from it after an interruption, at the
        same step, and ends as one that was never interrupted. It stays when the fit is done; that fit again is then a
        matter of reading it, and another is refused. With ``{fit}`` in its name, as in ``"runs/{fit}"``, each fit has
        a folder of its own, as searches and cross-validation need. Asks for a `random_state`; takes no `callbacks`.
    checkpoint_minutes : float, default=10
        Time from one checkpoint to the next.
    verbose : int, default=0
        1 shows a progress bar on a terminal and in notebooks.

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

    def __init__(
        self,
        network=None,
        *,
        spatial_transformer="crop",
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
        super().__init__(
            network,
            spatial_transformer=spatial_transformer,
            head=head,
            target_transforms=target_transforms,
            n_estimators=n_estimators,
            n_passes=n_passes,
            dropout=dropout,
            point_estimate=point_estimate,
            calibrate_widths=calibrate_widths,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            optimizer=optimizer,
            lr_schedule=lr_schedule,
            augmentation=augmentation,
            validation_fraction=validation_fraction,
            early_stopping_patience=early_stopping_patience,
            image_shape=image_shape,
            precision=precision,
            device=device,
            random_state=random_state,
            warm_start=warm_start,
            warm_start_from=warm_start_from,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            verbose=verbose,
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
