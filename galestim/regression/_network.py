"""The network of a regressor: built of its spec, passed over images, and kept in pickles as plain arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import nn

from .. import __version__
from .._device import resolve_device
from .._heap import large_arrays_stay
from .._images import missing_rows, release_pages
from .._randomness import AllDraws, own_random_numbers
from ..networks import ImageNetwork, Inputs, build_network
from ._examples import network_inputs
from ._optimizers import SGD
from ._parameters import AUGMENTATIONS
from ._searchable import SearchableDefaults
from ._transfer import Transfer

PREDICT_BATCH = 256


class OwnNetwork(SearchableDefaults):
    """What an estimator does with its network, whatever it learns.

    A subclass supplies `_default_network` and `_loss` and, where there is more to it than one network of the spec,
    `_member`. One with a parameter `n_estimators` has so many members, in a ``ModuleList``.
    """

    network: Any  # parameters of all regressors
    optimizer: Any
    augmentation: Any
    callbacks: Any
    precision: str
    device: Any
    warm_start_from: Transfer | None = None  # of pickles that are older than this parameter

    network_: Any
    device_: str
    image_shape_: tuple[int, int, int]
    n_outputs_: int
    pixel_mean_: NDArray[np.float64]
    pixel_scale_: NDArray[np.float64]
    camera_ = False  # of fits that are older than this attribute
    _seed: int

    @abstractmethod
    def _default_network(self):
        """Network of ``network=None``."""

    @abstractmethod
    def _loss(self) -> Any:
        """Loss; it knows its number of outputs, and which labels it needs besides the targets."""

    def _member(self, spec, n_outputs: int) -> nn.Module:
        """Untrained network for images of ``image_shape_``."""
        return build_network(spec, self.image_shape_, n_outputs)

    def _camera_told(self) -> str | None:
        """What the network is told of the camera of its images, as `ImageNetwork` calls it."""
        if not self.camera_:
            return None
        return "whole" if getattr(self._spec(), "takes_camera", False) else "numbers"

    def _build(self, spec, loss) -> nn.Module:
        """The members with their input, untrained."""
        n_outputs, views = loss.n_outputs(self.n_outputs_), self._views()
        told, linear = self._camera_told(), getattr(spec, "takes_camera", False)
        given = self.pixel_mean_, self.pixel_scale_, told, bool(told) and not linear
        members = [
            ImageNetwork(self._member(spec, n_outputs), None if views is None else views.build(), *given)
            for _ in range(getattr(self, "n_estimators", 1))
        ]
        network = nn.ModuleList(members) if hasattr(self, "n_estimators") else members[0]
        return network.to(self._torch_dtype())

    def _spec(self):
        if self.network is not None:
            return self.network
        start = self.warm_start_from
        return start.source._spec() if isinstance(start, Transfer) else self._default_network()

    def _views(self):
        given = self.augmentation
        return AUGMENTATIONS.get(given, given) if isinstance(given, str) else given

    def _specs(self):
        by_name = isinstance(self.optimizer, str) and self.optimizer == "sgd"
        optimizer = SGD(momentum=0.0) if by_name else self.optimizer  # torch's own default
        return {"network": self._spec(), "augmentation": self._views(), "optimizer": optimizer}

    def _all_draws(self):
        """`AllDraws` if code besides that of galestim and torch runs, as it may draw from torch's global state."""
        parts = [self, *self._specs().values()]
        kinds = (part if isinstance(part, type) else type(part) for part in parts)
        known = ("builtins", "galestim", "torch")
        of_others = any(kind.__module__.partition(".")[0] not in known for kind in kinds)
        return AllDraws() if self.callbacks or of_others else nullcontext()

    def _is_ensemble(self) -> bool:
        return isinstance(self.network_, nn.ModuleList)

    def _members(self) -> list[Any]:
        return list(self.network_) if self._is_ensemble() else [self.network_]

    def _pixel_dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    def _torch_dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    def _inputs(self, images, rows: NDArray | None = None) -> Inputs:
        """What networks are called with, on their device."""
        inputs = network_inputs(images, self._pixel_dtype(), rows)
        return {name: tensor.to(self.device_) for name, tensor in inputs.items()}

    def _each_batch(
        self, images, compute: Callable[[Inputs], torch.Tensor], row_shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """`compute` on the inputs of each batch, as an array ``(n, *row_shape)``; NaN for missing cutouts."""
        output = np.full((len(images), *row_shape), np.nan)
        self.network_.eval()
        autocast = torch.autocast(
            torch.device(self.device_).type, torch.bfloat16, enabled=self.precision == "bfloat16"
        )
        own_numbers = own_random_numbers(self._seed)
        with torch.inference_mode(), autocast, own_numbers, self._all_draws(), large_arrays_stay():
            for rows in gen_batches(len(images), PREDICT_BATCH):
                batch = images[rows]
                present = ~missing_rows(batch, first_row=rows.start)
                if present.any():
                    numbers = rows.start + np.flatnonzero(present)
                    some = batch if present.all() else batch[present]
                    output[rows][present] = compute(self._inputs(some, numbers)).double().cpu().numpy()
                release_pages(images)
        return output

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
        """Be as fitted: attributes, and the network's weights as the arrays of ``_weights``."""
        state = dict(state)
        weights, version = state.pop("_weights", None), state.pop("_galestim_version", None)
        super().__setstate__(state)
        if weights is None:
            return
        self.device_ = resolve_device(self.device, fall_back=True)
        with own_random_numbers(0), AllDraws():  # building draws weights that are overwritten at once
            network = self._build(self._spec(), self._loss())
        try:
            network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        except RuntimeError as error:
            raise ValueError(
                f"this {type(self).__name__} was saved by galestim {version} and its network does not fit that of "
                f"galestim {__version__}; load it with that version, or fit again. ({error})"
            ) from error
        self.network_ = network.to(self.device_)
