"""Point estimates from images by a convolutional network."""

from __future__ import annotations

from .._estimates import forget_lost
from .._sklearn import StrOptions
from ..networks import POINTWISE, SpinCNN, WeightedLoss
from ._base import ImageRegressor
from ._parameters import CONSTRAINTS, documented


@documented  # all other parameters are described in _parameters.py
class CNNRegressor(ImageRegressor):
    """Predict one or several numbers from a galaxy's image with a convolutional network.

    With its defaults this is the published spin estimator: `SpinCNN`, mean squared error, Adam at 1e-3 reduced on
    plateau of the validation loss, batches of 32, 35 epochs, and random zoom, rotation, flips and shift.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    network : NetworkSpec or type, default=None
        What to train: a spec such as `SpinCNN` or `CompactCNN`, or a ``torch.nn.Module`` class that is called as
        ``network((H, W, C), n_outputs)`` and maps ``(n, C, H, W)`` to ``(n, n_outputs)``. None means ``SpinCNN()``.
    loss : {"mse", "mae", "huber"}, default="mse"
        What is minimized, on standardized targets.
    augmentation : {"spin", "rotation"}, Augmentation or None, default="spin"
        Random views while training: as published, any rotation and flips, or as specified.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network; maps pixels ``(n, H, W, C)`` to standardized targets.
    history_ : list of dict
        Per epoch: ``epoch``, ``train_loss``, ``lr``, ``duration`` [s] and, if there is a validation set,
        ``valid_loss`` and ``valid_rmse_<target>``, the root mean squared error of each target in its own units.
    n_parameters_ : int
        Number of trained weights.
    target_mean_, target_scale_ : ndarray of shape (n_outputs_,)
        Location and scale by which targets are standardized, in their units.
    pixel_mean_, pixel_scale_ : ndarray of shape (C,)
        Location and scale by which pixels are standardized.
    target_names_ : list of str
        Names of the targets, where `y` had any.
    target_units_ : list of str or None
        Units of the targets, where `y` was an astropy table.
    target_transforms_ : list
        The identity, for each target.
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

    Notes
    -----
    Pixels and targets are standardized inside (per channel and per target, by the training rows' weighted mean and
    standard deviation), so any unit will do. Pixels stay uint8 until they are on the device, and a memmap is read
    a batch at a time.

    Equal rows are merged and their weights added before training; see `fit`.

    A pickle holds parameters, weights and history as plain arrays. It loads on a machine without a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim import CNNRegressor, CompactCNN
    >>> rng = np.random.default_rng(0)
    >>> radius = rng.uniform(1, 3, size=64)
    >>> r2 = np.sum((np.indices((12, 12)) - 5.5) ** 2, axis=0)
    >>> images = np.exp(-r2 / radius[:, None, None] ** 2)
    >>> model = CNNRegressor(
    ...     CompactCNN(widths=(2, 4)), max_epochs=20, lr=1e-2, augmentation="rotation", random_state=0
    ... )
    >>> model.fit(images, radius).score(images, radius) > 0.9
    True
    >>> model.predict(images[:3]).shape
    (3,)
    """

    _parameter_constraints: dict = {
        **CONSTRAINTS,
        "loss": [StrOptions(set(POINTWISE))],
    }

    def __init__(
        self,
        network=None,
        *,
        loss="mse",
        max_epochs=35,
        batch_size=32,
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adam",
        lr_schedule="plateau",
        augmentation="spin",
        validation_fraction=0.15,
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
        self.loss = loss
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

    def _default_network(self):
        return SpinCNN()

    def _loss(self):
        return WeightedLoss(self.loss)

    def __getattr__(self, name):
        if name in ("predict_posterior", "sample_y", "log_prob"):
            raise AttributeError(
                f"CNNRegressor has no {name}: it predicts numbers. Take PosteriorRegressor or STNPosteriorRegressor, "
                "which predict posteriors."
            )
        return object.__getattribute__(self, name)  # whose error says what is missing

    def predict(self, X):
        """Predict the targets of each image.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, n_targets)
            In the units of `y`; NaN where the image is NaN everywhere.

        Warns
        -----
        RuntimeWarning
            If the prediction of an image that is not missing is NaN too, as the network's output is not finite.
        """
        images = self._fitted_images(X)
        estimate = self._estimate(images)
        forget_lost(images, estimate)
        return self._like_y(estimate)

    def _estimate(self, images):
        standardized = self._each_batch(images, lambda inputs: self.network_(**inputs), (self.n_outputs_,))
        return standardized * self.target_scale_ + self.target_mean_
