"""Base of the image regressors: one recipe of fitting."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._device import resolve_device
from .._estimates import Estimates
from .._images import ImageEstimator
from .._randomness import AllDraws, own_random_numbers
from .._sklearn import (
    check_feature_names,
    check_sample_weight,
    fit_context,
)
from ..networks import Inputs
from ..targets import resolve_transforms
from ._camera_images import camera_images, knows_camera, units_of_targets, warn_of_unknown_cameras
from ._digests import digested
from ._examples import Examples, Labels
from ._fit_identity import checkpoint_of
from ._network import PREDICT_BATCH, OwnNetwork
from ._parameters import CONSTRAINTS
from ._physical_errors import PhysicalErrors
from ._plausible import warn_of_no_names, warn_of_the_odd
from ._redraw import RedrawnExamples, RedrawnImages, drawn_once, redrawn_rows
from ._rows import TrainingRows, pixel_moments, training_rows
from ._targets import TargetCodec, Targets, forbid_constant, forbid_directions, read_targets
from ._training import Recipe, train
from ._transfer import lend_scales, lend_weights, set_rates

N_EXAMINED = 1024  # training images that are looked at before the training
N_TRIED = 64  # training images that are predicted after it
DIVERGED = 1e3  # losses of standardized targets are about 1


class ImageRegressor(OwnNetwork, Estimates, ImageEstimator):
    """Base of the estimators: a subclass supplies `_estimate`, what `OwnNetwork` asks for, and perhaps `_finish`."""

    target_names_: list[str]
    target_units_: list[str | None] | None
    target_transforms: Any = None  # a parameter of some
    _gradient_clip: float | None = None
    _may_take_camera = False  # whether cutouts that know their camera are more than arrays
    _on_sky = True  # whether radii were learned in arcsec, if the fit was told of cameras
    _parameter_constraints: dict = CONSTRAINTS

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # ---- what a subclass supplies

    @abstractmethod
    def _estimate(self, images: NDArray) -> NDArray[np.float64]:
        """Point estimates ``(n, k)`` of images like those of the fit."""

    def _finish(self, images, labels: Labels, training: TrainingRows, validation: TrainingRows | None) -> None:
        """Learn the rest, once the network is trained."""

    # ---- fit

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network on images and what is to be predicted from them.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images; flat rows need `image_shape`. Rows that are NaN everywhere (missing cutouts) are left out, with
            one warning that counts them. Those of a `SimulatedGalaxies` are redrawn in each epoch.
        y : array-like or table of shape (n,) or (n, n_targets)
            Targets, in their own units. The columns of a table give their names and units.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 is the same as giving the row twice, 0 the same as leaving it out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If images or targets are not what is said above, or leave nothing to train or validate on, or `checkpoint`
            has that of another fit.
        FloatingPointError
            If the training diverges: its loss, weights or most outputs are not finite. Whatever is raised, the
            estimator stays as it was.

        Warns
        -----
        UserWarning
            If the training ends with a loss, or predictions, of one that has diverged.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight, y_err=None):
        with _unchanged_on_failure(self):
            self._fit_network(X, y, sample_weight, y_err)
        return self

    def _fit_network(self, X, y, sample_weight, y_err) -> None:
        resume = self.warm_start and hasattr(self, "network_")
        # 1. Images, targets and weights, checked.
        images = self._check_images(X, reset=not resume)
        targets, weights = self._check_labels(images, X, y, sample_weight, y_err, resume)
        # 2. Rows to train on, and rows to watch the loss on.
        rng = check_random_state(self.random_state)
        redraws = isinstance(images, RedrawnImages)
        digested = targets.digested()
        rows = redrawn_rows(weights) if redraws else training_rows(images, digested, weights, self._pixel_dtype())
        training, validation = rows.split(self.validation_fraction, rng)
        warn_of_the_odd(targets, self.target_transforms, rows)
        if self.camera_:
            warn_of_no_names(targets, self.target_transforms)
        self._seed = int(rng.randint(np.iinfo(np.int32).max))
        self.device_, loss = resolve_device(self.device), self._loss()
        with own_random_numbers(self._seed):
            # 3. Scales of targets and pixels, and a network that has seen some images.
            offsets = self._offsets(images, targets)
            if resume:
                self.network_ = copy.deepcopy(self.network_)  # that of the last fit stays if this one fails
            else:
                self._learn_scales(images, targets, training, loss, offsets)
                if self.warm_start_from is not None:
                    lend_scales(self.warm_start_from, self, targets)
                with AllDraws():
                    self._start_network(images, training, loss)
                if self.warm_start_from is not None:
                    lend_weights(self.warm_start_from, self, targets)
            set_rates(self.warm_start_from, self)
            # 4. Training of each member, and what follows from a trained network.
            labels = self._labels(targets, loss, offsets)
            with self._all_draws():
                self._train(images, labels, training, validation, loss)
        self._judge(images, training)
        self._finish(images, labels, training, validation)
        self.n_parameters_ = sum(weights.numel() for weights in self.network_.parameters())

    def _check_images(self, X, *, reset: bool):
        redraws = hasattr(X, "redrawn")
        if reset:
            self.camera_ = self._may_take_camera and knows_camera(X[:1] if redraws else X)
        if not redraws and not self.camera_:
            return super()._check_images(X, reset=reset)
        check_feature_names(self, X, reset=reset)
        name = type(self).__name__ if self.camera_ else ""
        shape = self._check_shape(np.shape(X), reset)
        images = RedrawnImages(X, shape, name) if redraws else camera_images(X, shape, name)
        if not redraws:
            warn_of_unknown_cameras(X)
        if self.camera_ and not reset:
            self._refuse_other_scale(images[:1].on_sky)
        return images

    def _refuse_other_scale(self, known: bool) -> None:
        """Radii were learned in arcsec, or in pixels; the others would look as right."""
        if self._learned_in[0].any() and known != self._on_sky:
            names = ", ".join(np.array(self.target_names_)[self._learned_in[0] > 0])
            how, other, given = ("its", "do not, in pixels", "None") if known else ("no", "do, in arcsec", "…")
            raise ValueError(
                f"X knows {how} pixel_scale, but this {type(self).__name__} learned {names} from Cutouts that "
                f"{other}; pass X.replace(pixel_scale={given})."
            )

    def _takes_any_side(self):
        return self.camera_ and self._camera_told() == "whole"

    def _check_labels(self, images, X, y, sample_weight, y_err, resume: bool) -> tuple[Targets, NDArray[np.float64]]:
        """Targets and weights ``(n,)``; remembers the names."""
        if self.camera_ and self._views() is not None:
            raise ValueError(
                f"augmentation={self.augmentation!r} varies images, but not the point-spread functions with "
                "them; set augmentation=None."
            )
        if self.early_stopping_patience is not None and self.validation_fraction == 0:
            raise ValueError("early_stopping_patience needs a validation set; set validation_fraction above 0.")
        targets = read_targets(y, X, self, y_err)
        weights = check_sample_weight(sample_weight, X, ensure_non_negative=True, allow_all_zero_weights=False)
        if isinstance(images, RedrawnImages):
            targets = images.match(targets, sample_weight, y_err)
        if resume:
            targets = targets.like_those_of(self.target_names_, self.target_units_)
        forbid_directions(targets.names, self._what_turns_images())
        self.target_names_, self.target_units_ = targets.names, targets.units
        self.n_outputs_ = len(targets.names)
        self._one_dimensional_y = targets.one_dimensional
        return targets, weights

    def _what_turns_images(self) -> str | None:
        """The part that makes an image and its flips and turns the same to this estimator; None if nothing does."""
        if not getattr(self._spec(), "sees_directions", True):
            return type(self._spec()).__name__
        views = self._views()
        turned = views is not None and (views.rotation or views.horizontal_flip or views.vertical_flip)
        return f"augmentation={self.augmentation!r}" if turned else None

    def _offsets(self, images, targets: Targets) -> NDArray[np.float64] | float:
        """What images tell by themselves of the transformed targets ``(n, k)``: their size and flux, roughly."""
        if not self.camera_:
            return 0.0
        transforms = resolve_transforms(self.target_transforms, targets.names)
        k = len(targets.names)
        codec = TargetCodec(targets.names, transforms, np.zeros(k), np.ones(k))
        self._learned_in = units_of_targets(codec, targets.units)
        self._on_sky = images[:1].on_sky
        return self._offsets_of(images)

    def _offsets_of(self, images) -> NDArray[np.float64] | float:
        if not self.camera_:
            return 0.0
        if isinstance(images, RedrawnImages):  # as they are in epoch 0
            units = [images[rows].units() for rows in gen_batches(len(images), PREDICT_BATCH)]
            return np.concatenate(units) @ self._learned_in
        return images.units() @ self._learned_in

    def _learn_scales(self, images, targets: Targets, training: TrainingRows, loss, offsets) -> None:
        transforms = resolve_transforms(self.target_transforms, targets.names)
        if loss.needs_spread:
            forbid_constant(targets, training.rows)
        codec = TargetCodec.of(targets, transforms, training.rows, training.weight, offsets)
        self.target_transforms_, self.target_mean_, self.target_scale_ = codec[1:]
        if self.camera_:  # images are in units of their noise
            self.pixel_mean_, self.pixel_scale_ = np.zeros(self.image_shape_[2]), np.ones(self.image_shape_[2])
            return
        seen = training.some(slice(N_EXAMINED)) if isinstance(images, RedrawnImages) else training
        self.pixel_mean_, self.pixel_scale_ = pixel_moments(images, seen, self._pixel_dtype())

    def _start_network(self, images, training: TrainingRows, loss) -> None:
        """Build the network; let it load the weights it wants to start from, and see some images if it wants to."""
        spec = self._spec()
        self.network_ = self._build(spec, loss).to(self.device_)
        self.history_: list[dict] = []
        inputs = None
        for member in self._members():
            if hasattr(spec, "initialize") and not isinstance(spec, type):
                spec.initialize(member.core)
            if member.wants_examples:
                if inputs is None:
                    inputs = self._inputs(images[training.rows[:N_EXAMINED]])
                member.eval().examine(inputs)

    def _labels(self, targets: Targets, loss, offsets) -> Labels:
        """Labels of each row, as the loss wants them."""
        labels = self._labels_of(targets.values, loss, offsets)
        return labels if targets.errors is None else {**labels, "variance": self._codec.variance(targets)}

    def _labels_of(self, values: NDArray, loss, offsets) -> Labels:
        labels = {"target": self._codec.encode(values, offsets), **loss.extra_labels(values, self.target_names_)}
        return {**labels, "offset": offsets} if self.camera_ else labels

    def _train(self, images, labels: Labels, training: TrainingRows, validation: TrainingRows | None, loss) -> None:
        epoch = self.history_[-1]["epoch"] if self.history_ else 0
        unit = training.weight.mean()
        seen = self._examples(images, labels, training, unit, loss)
        watched = None if validation is None else self._examples(images, labels, validation, unit)
        with checkpoint_of(self, seen, watched) as checkpoint:
            for number, member in list(enumerate(self._members()))[checkpoint.member :]:
                rows = train(
                    member,
                    loss,
                    digested(seen, member, self.device_, epoch + 1, checkpoint.looks()),
                    None if watched is None else digested(watched, member, self.device_),
                    Recipe.of(self),
                    device=self.device_,
                    seed=self._seed + number,
                    epoch=epoch,
                    gradient_clip=self._gradient_clip,
                    errors=PhysicalErrors(self.target_names_, self._codec.decode, loss.estimates),
                    checkpoint=checkpoint,
                )
                checkpoint.end_member([{"member": number, **row} if self._is_ensemble() else row for row in rows])
        self.history_ = [*self.history_, *checkpoint.history]

    def _examples(self, images, labels: Labels, rows: TrainingRows, unit: float, loss=None) -> Examples:
        """Rows as the training loop sees them; `unit` is a weight of 1, and without a loss nothing is redrawn."""
        dtype = self._pixel_dtype()
        used = {name: values[rows.rows].astype(dtype) for name, values in labels.items()}
        used["weight"] = (rows.weight / unit).astype(dtype)
        if not isinstance(images, RedrawnImages):
            return Examples(images, rows.rows, used, dtype)
        if loss is None:
            return drawn_once(images, rows.rows, used, dtype)

        def relabel(values: NDArray, images) -> Labels:
            labels = self._labels_of(values, loss, self._offsets_of(images))
            return {name: label.astype(dtype) for name, label in labels.items()}

        return RedrawnExamples(images, rows.rows, used, dtype, self.target_names_, relabel)

    @property
    def _codec(self) -> TargetCodec:
        return TargetCodec(self.target_names_, self.target_transforms_, self.target_mean_, self.target_scale_)

    def _judge(self, images, training: TrainingRows) -> None:
        """Refuse a fit that has diverged though its losses were finite; warn of one that probably has."""
        some = images[training.rows[:N_TRIED]]
        sound = all(bool(tensor.isfinite().all()) for tensor in self.network_.state_dict().values())
        for member in self._members():
            finite = self._each_batch(some, partial(_finite_outputs, member), (1,))
            sound &= bool(finite.mean() >= 0.5)
        last = self.history_[-1]["epoch"]
        losses = [abs(row["train_loss"]) for row in self.history_ if row["epoch"] == last and "train_loss" in row]
        loss = max(losses, default=np.nan)  # of an epoch that a callback cut short there is none
        cure = f"Lower lr (now {self.lr:g}), or scale the images (Normalizer)."
        if not sound:
            raise FloatingPointError(
                f"the fit has diverged: its last loss is {loss:.3g}, and weights or outputs are not finite. {cure}"
            )
        predicted = np.isfinite(self._estimate(some)).all(axis=1).mean()
        if predicted < 0.5 or (loss > DIVERGED and self.early_stopping_patience is None):
            warnings.warn(
                f"the fit has probably diverged: its last loss is {loss:.3g}, where predicting the mean of y for all "
                f"images has about 1, and {predicted:.0%} of some training images have finite predictions. {cure}",
                stacklevel=6,
            )

    # ---- predict

    def _fitted_images(self, X):
        """`X` as images ``(n, H, W, C)`` like those of the fit."""
        check_is_fitted(self)
        return self._check_images(X, reset=False)


def _finite_outputs(member: nn.Module, inputs: Inputs) -> torch.Tensor:
    """True for images whose outputs are all finite, ``(n, 1)``."""
    return member(**inputs).isfinite().all(1, keepdim=True)


@contextmanager
def _unchanged_on_failure(estimator) -> Iterator[None]:
    """Leave an estimator as it was, unfitted or as last fitted, if what runs here fails or is interrupted."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
