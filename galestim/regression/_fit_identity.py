"""What a fit is of: estimator, settings, data and versions, so that no checkpoint is taken for that of another."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches

from .. import __version__
from .._digest import digest
from ._checkpoint import NoCheckpoint, checkpoint_in
from ._examples import Examples
from ._redraw import RedrawnExamples

FIT = "{fit}"  # in the name of a folder: each fit has its own
AT_A_TIME = 256  # images
UNSEEN = ("callbacks", "checkpoint", "checkpoint_minutes", "device", "verbose")  # parameters that change no fit


@contextmanager
def checkpoint_of(regressor: Any, training: Examples, validation: Examples | None) -> Iterator[NoCheckpoint]:
    """Checkpoint of a regressor whose network is to be trained; read, if there is one."""
    if regressor.checkpoint is None:
        yield NoCheckpoint()
        return
    if regressor.random_state is None:
        raise ValueError("checkpoint= needs a random_state, an int: without one, each fit is another.")
    if regressor.callbacks:
        raise ValueError("checkpoint= does not hold what callbacks know; leave out one of them.")
    identity = FitIdentity(regressor, training, validation)
    folder = Path(os.fspath(regressor.checkpoint).replace(FIT, identity.name)).expanduser()
    with checkpoint_in(folder, regressor.checkpoint_minutes, identity, regressor.network_) as checkpoint:
        yield checkpoint


class FitIdentity:
    """Digests of all that determines a fit.

    Parameters
    ----------
    regressor : ImageRegressor
        With its network, untrained.
    training : Examples
    validation : Examples or None
    """

    def __init__(self, regressor: Any, training: Examples, validation: Examples | None):
        settings = {name: value for name, value in regressor.get_params(deep=False).items() if name not in UNSEEN}
        self.settings = {name: [digest(value), repr(value)[:80]] for name, value in settings.items()}
        self.others = {
            "estimator": type(regressor).__name__,
            "device": regressor.device_,
            "galestim": __version__,
            "torch": torch.__version__,
            "data": _of_data(training, validation),
            "start": _of_network(regressor, training),
        }

    @property
    def name(self) -> str:
        """A name for a folder."""
        settings = {name: of_value for name, (of_value, _) in self.settings.items()}
        return hashlib.sha256(json.dumps({**self.others, "settings": settings}).encode()).hexdigest()[:16]

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.others, "settings": self.settings}

    def require(self, found: dict[str, Any], folder: Path) -> None:
        """Refuse a checkpoint of another fit."""
        if (told := self._difference(found)) is not None:
            raise ValueError(
                f"{folder} has the checkpoint of another fit: {told}. Fit that one, delete the folder to begin anew, "
                "or name another; with {fit} in its name, each fit has a folder of its own."
            )

    def _difference(self, found: dict[str, Any]) -> str | None:
        for name in ("estimator", "galestim", "torch", "device"):
            if found.get(name) != self.others[name]:
                return f"{name} was {found.get(name)} then, is {self.others[name]} now"
        before = found["settings"]
        for name in sorted({*before, *self.settings}):
            (was, then), (now, told) = (of.get(name, (None, "unknown")) for of in (before, self.settings))
            if was != now:
                return f"{name} was {then} then, is {told} now"
        if found["data"] != self.others["data"]:
            return "images, targets, weights or the state of random_state were others"
        return None if found["start"] == self.others["start"] else "the network began with other weights"


def _of_data(training: Examples, validation: Examples | None) -> str:
    """SHA-256 of all images and labels; of redrawn ones, of what they are drawn from, as they differ in rounding."""
    sha256 = hashlib.sha256()
    if isinstance(training, RedrawnExamples):
        sha256.update(digest([training.images.source, training.rows, training.labels["weight"]]).encode())
        return sha256.hexdigest()
    for some in [training] if validation is None else [training, validation]:
        for rows in gen_batches(len(some), AT_A_TIME):
            inputs, labels = some.batch(np.arange(len(some))[rows], 0)
            _tell(sha256, {**inputs, **labels})
    return sha256.hexdigest()


def _of_network(regressor: Any, training: Examples) -> str:
    """SHA-256 of the weights that a fit begins with, unless it examines images that differ in rounding."""
    sha256 = hashlib.sha256(str(regressor._seed).encode())
    if regressor.warm_start or not isinstance(training, RedrawnExamples):
        _tell(sha256, regressor.network_.state_dict())
    return sha256.hexdigest()


def _tell(sha256, tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in sorted(tensors.items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        sha256.update(f"{name} {array.dtype} {array.shape}".encode())
        sha256.update(array.tobytes())
