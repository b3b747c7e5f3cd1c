"""Errors of the validation set in the units of the targets, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skorch.callbacks import Callback

VALID_RMSE = "valid_rmse_"  # and the name of a target: a key of `history_`


class PhysicalErrors(Callback):
    """Record the root mean squared error of each target, over the validation set.

    Parameters
    ----------
    names : list of str
        Of the targets.
    decode : callable
        Takes standardized targets ``(n, k)`` and offsets to physical ones.
    estimates : callable
        Takes the network's outputs to standardized targets.
    """

    def __init__(self, names: list[str], decode: Callable[..., NDArray], estimates: Callable):
        self.names, self.decode, self.estimates = names, decode, estimates

    def on_epoch_begin(self, net, **kwargs):
        """Forget the last epoch."""
        self.squares, self.weight = np.zeros(len(self.names)), 0.0

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        """Count a batch of the validation set in."""
        if training or y_pred is None:
            return
        labels = {name: values.double().cpu().numpy() for name, values in batch[1].items()}
        estimates = self.estimates(y_pred.detach(), len(self.names)).double().cpu().numpy()
        offsets = labels.get("offset", 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverges has no errors to tell
            errors = self.decode(estimates, offsets) - self.decode(labels["target"], offsets)
            self.squares += labels["weight"] @ errors**2
        self.weight += labels["weight"].sum()

    def on_epoch_end(self, net, **kwargs):
        """Write the errors into the history."""
        if self.weight:
            for name, square in zip(self.names, self.squares / self.weight):
                net.history.record(VALID_RMSE + name, float(np.sqrt(square)))
