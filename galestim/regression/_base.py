"""What every image regressor does: check, standardize, train, predict, and keep as plain arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .. import __version__
from .._images import ImageEstimator, missing_rows, release_pages
from .._sklearn import HasMethods, Interval, StrOptions, check_feature_names, check_sample_weight, fit_context
from ..networks import Augmentation
from ._device import resolve_device
from ._image_network import ImageNetwork
from ._moments import moments, pixel_moments
from ._net import LR_SCHEDULES, OPTIMIZERS, ImageDataset, RedrawnDataset, pixel_tensor, train
from ._rows import TrainingRows, training_rows
from ._stream import ImageStream
from ._targets import check_targets, forbid_directions

AUGMENTATIONS = {"spin": Augmentation(), "rotation": Augmentation(zoom=0.0, rotation=180.0, shift=0.0)}
PREDICT_BATCH = 256
N_EXAMINED = 1024  # training images that are looked at before the training


class ImageRegressor(RegressorMixin, ImageEstimator):
    """Base of the estimators; a subclass supplies a default network, a loss, and how many outputs a target needs."""

    _parameter_constraints: dict = {
        "network": [HasMethods(["build"]), type, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), type],
        "lr_schedule": [StrOptions(set(LR_SCHEDULES)), None],
        "augmentation": [StrOptions(set(AUGMENTATIONS)), Augmentation, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "early_stopping_patience": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": ["array-like", None],
        "precision": [StrOptions({"float32", "float64", "bfloat16"})],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "callbacks": ["array-like", None],
        "verbose": ["verbose"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @abstractmethod
    def _default_network(self): ...

    @abstractmethod
    def _make_loss(self) -> nn.Module: ...

    def _n_network_outputs(self) -> int:
        return self.n_outputs_

    # ---- fit

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network on images and what is to be predicted from them.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images; flat rows need `image_shape`. Rows that are NaN everywhere (missing cutouts) are left out, with
            one warning that counts them. Those of a `SimulatedGalaxies` are redrawn in each epoch.
        y : array-like of shape (n,) or (n, n_targets)
            Targets, in their own units.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 is the same as giving the row twice, 0 the same as leaving it out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If images or targets are not what is said above, or leave nothing to train or validate on.
        FloatingPointError
            If the training diverges.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight, **errors):
        resume = self.warm_start and hasattr(self, "network_")
        images, labels, weights = self._check_fit_input(X, y, sample_weight, resume, **errors)
        targets = labels["target"]
        rng = check_random_state(self.random_state)
        rows = training_rows(images, np.hstack(list(labels.values())), weights)
        training, validation = rows.split(self.validation_fraction, rng)
        self._seed = int(rng.randint(np.iinfo(np.int32).max))
        self.device_ = resolve_device(self.device)
        with _private_torch_seed(self.device_, self._seed):
            if not resume:
                self.target_mean_, self.target_scale_ = self._target_moments(targets[training.rows], training.weight)
                seen = training.some(slice(N_EXAMINED)) if isinstance(images, ImageStream) else training
                self.pixel_mean_, self.pixel_scale_ = pixel_moments(images, seen)
                self.network_ = self._build().to(self.device_)
                self._initialize(self.network_)
                self._examine(images, training.rows[:N_EXAMINED])
                self.history_: list[dict] = []
            done = self._n_epochs_done()
            epochs = self._train(images, self._standardized(labels), training, validation)
        self.history_ += [{**row, "epoch": row["epoch"] + done} for row in epochs]
        self.n_parameters_ = sum(weights.numel() for weights in self.network_.parameters())
        return self

    def _n_epochs_done(self) -> int:
        """Epochs of earlier fits that this one goes on from."""
        return self.history_[-1]["epoch"] if self.history_ else 0

    def _check_images(self, X, *, reset: bool) -> NDArray:
        if not hasattr(X, "redrawn"):
            return super()._check_images(X, reset=reset)
        check_feature_names(self, X, reset=reset)
        return ImageStream(X, self._check_shape(X.shape, reset))  # type: ignore[return-value]

    def _check_fit_input(self, X, y, sample_weight, resume: bool) -> tuple[NDArray, dict[str, NDArray], NDArray]:
        """Images ``(n, H, W, C)``, labels ``(n, k)`` by name, weights ``(n,)``; remembers their shapes and names."""
        if self.early_stopping_patience is not None and self.validation_fraction == 0:
            raise ValueError("early_stopping_patience needs a validation set; set validation_fraction above 0.")
        images = self._check_images(X, reset=not resume)
        y, names = check_targets(y, X, self)
        weights = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True, allow_all_zero_weights=False
        )
        targets = y.reshape(len(y), -1)
        if resume and targets.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has the targets {names}, but warm_start=True goes on from a fit on {self.target_names_}; give "
                "the same targets, or set warm_start=False."
            )
        forbid_directions(names, self._what_turns_images())
        if isinstance(images, ImageStream):
            images.forbid("sample_weight", sample_weight)
            images.learn(targets, names)
        self._one_dimensional_y = y.ndim == 1
        self.target_names_: list[str] = names
        self.n_outputs_: int = targets.shape[1]
        return images, {"target": targets}, weights

    def _labels(self, targets: NDArray) -> dict[str, NDArray]:
        """What the loss needs to know of targets ``(n, k)`` in their units, before it is standardized."""
        return {"target": targets}

    def _what_turns_images(self) -> str | None:
        """What makes an image and its flips and turns the same to this estimator; None if nothing does."""
        if not getattr(self._spec(), "sees_directions", True):
            return type(self._spec()).__name__
        views = self._views()
        turned = views is not None and (views.rotation or views.horizontal_flip or views.vertical_flip)
        return f"augmentation={self.augmentation!r}" if turned else None

    def _views(self):
        return AUGMENTATIONS[self.augmentation] if isinstance(self.augmentation, str) else self.augmentation

    def _target_moments(self, targets: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
        return moments(targets, weights)

    def _standardized(self, labels: dict[str, NDArray]) -> dict[str, NDArray]:
        return {"target": (labels["target"] - self.target_mean_) / self.target_scale_}

    def _build(self) -> nn.Module:
        """The untrained network with its input."""
        views = None if self._views() is None else self._views().build()
        module = ImageNetwork(self._build_network(), views, self.pixel_mean_, self.pixel_scale_)
        return module.to(self._torch_dtype())

    def _build_network(self) -> nn.Module:
        spec = self._spec()
        make = spec if isinstance(spec, type) else spec.build
        return make(self.image_shape_, self._n_network_outputs())

    def _spec(self):
        return self._default_network() if self.network is None else self.network

    def _initialize(self, network: nn.Module) -> None:
        """Load the weights that a spec wants to start from."""
        spec = self._spec()
        if hasattr(spec, "initialize") and not isinstance(spec, type):
            spec.initialize(network.network)

    def _examine(self, images: NDArray, rows: NDArray) -> None:
        """Let networks that want to see some images before they learn see these."""
        for module in self.network_.modules():
            if not isinstance(module, ImageNetwork):
                continue
            network: Any = module.network
            if getattr(network, "wants_examples", False):
                pixels = pixel_tensor(images[rows], self._pixel_dtype()).to(self.device_)
                network.examine(module.eval().prepare(pixels))

    def _train(self, images, labels, training: TrainingRows, validation: TrainingRows | None) -> list[dict]:
        return self._train_network(self.network_, self._seed, images, labels, training, validation)

    def _train_network(self, network, seed, images, labels, training, validation, **how) -> list[dict]:
        dtype = self._pixel_dtype()

        def cast(labels) -> dict[str, NDArray]:
            return {name: values.astype(dtype) for name, values in labels.items()}

        def relabel(targets: NDArray) -> dict[str, NDArray]:
            return cast(self._standardized(self._labels(targets)))

        def dataset(rows: TrainingRows) -> ImageDataset:
            used = {name: values[rows.rows] for name, values in labels.items()}
            used = cast({**used, "weight": rows.weight / training.weight.mean()})
            if not isinstance(images, ImageStream):
                return ImageDataset(images, rows.rows, used, dtype)
            if rows is training:
                return RedrawnDataset(images, rows.rows, used, dtype, relabel, self._n_epochs_done())
            return ImageDataset(images[rows.rows], np.arange(len(rows.rows)), used, dtype)  # drawn once

        return train(
            network,
            self._make_loss(),
            dataset(training),
            None if validation is None else dataset(validation),
            device=self.device_,
            seed=seed,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            optimizer=self.optimizer,
            lr_schedule=self.lr_schedule,
            early_stopping_patience=self.early_stopping_patience,
            callbacks=self.callbacks,
            autocast=self.precision == "bfloat16",
            verbose=self.verbose,
            **how,
        )

    def _pixel_dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    def _torch_dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    # ---- predict

    def _fitted_images(self, X) -> NDArray:
        """`X` as images ``(n, H, W, C)`` like those of the fit."""
        check_is_fitted(self)
        return self._check_images(X, reset=False)

    def _each_batch(
        self, images: NDArray, compute: Callable[[torch.Tensor], torch.Tensor], row_shape: tuple[int, ...]
    ) -> NDArray:
        """`compute` on the pixels of each batch, as a float64 array ``(n, *row_shape)``; NaN for missing cutouts."""
        present = np.flatnonzero(~missing_rows(images))
        output = np.full((len(images), *row_shape), np.nan)
        self.network_.eval()
        autocast = torch.autocast(
            torch.device(self.device_).type, torch.bfloat16, enabled=self.precision == "bfloat16"
        )
        with torch.inference_mode(), autocast:
            for start in range(0, len(present), PREDICT_BATCH):
                batch = present[start : start + PREDICT_BATCH]
                pixels = pixel_tensor(images[batch], self._pixel_dtype()).to(self.device_)
                output[batch] = compute(pixels).double().cpu().numpy()
                release_pages(images)
        return output

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R² of `predict`; missing cutouts are left out.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
        y : array-like of shape (n,) or (n, n_targets)
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        float
        """
        predicted = self.predict(X)
        present = np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1)
        weight = None if sample_weight is None else np.asarray(sample_weight)[present]
        return r2_score(np.asarray(y)[present], predicted[present], sample_weight=weight)

    # ---- files: parameters and weights as arrays; no optimizer, no data, no device

    def __getstate__(self):
        state = dict(super().__getstate__())
        network = state.pop("network_", None)
        if network is not None:
            del state["device_"]
            state["_weights"] = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
            state["_galestim_version"] = __version__
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights, version = state.pop("_weights", None), state.pop("_galestim_version", None)
        super().__setstate__(state)
        if weights is None:
            return
        self.device_ = resolve_device(self.device, fall_back=True)
        with _private_torch_seed("cpu", 0):  # building draws weights that are overwritten at once
            network = self._build()
        try:
            network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        except RuntimeError as error:
            raise ValueError(
                f"this {type(self).__name__} was saved by galestim {version} and its network does not fit that of "
                f"galestim {__version__}; load it with that version, or fit again. ({error})"
            ) from error
        self.network_ = network.to(self.device_)


@contextmanager
def _private_torch_seed(device: str, seed: int):
    """Within this context torch draws from `seed`; outside, its random state is as it was."""
    kind = torch.device(device).type
    fork: dict = {"devices": []} if kind == "cpu" else {"device_type": kind}
    with torch.random.fork_rng(**fork):
        torch.manual_seed(seed)
        yield
