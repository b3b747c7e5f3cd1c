"""Errors of the validation set in the units of the targets, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

VALID_RMSE = "valid_rmse_"  # and the name of a target: a key of `history_`


class PhysicalErrors:
    """Root mean squared error of each target, over an epoch's batches of validation.

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
        self.begin()

    def begin(self) -> None:
        """Forget the last epoch."""
        self.squares, self.weight = np.zeros(len(self.names)), 0.0

    def see(self, output: torch.Tensor, labels: dict[str, torch.Tensor]) -> None:
        """Count a batch in."""
        known = {name: values.double().cpu().numpy() for name, values in labels.items()}
        estimates = self.estimates(output.detach(), len(self.names)).double().cpu().numpy()
        offsets = known.get("offset", 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverges has no errors to tell
            errors = self.decode(estimates, offsets) - self.decode(known["target"], offsets)
            self.squares += known["weight"] @ errors**2
        self.weight += known["weight"].sum()

    def found(self) -> dict[str, float]:
        """The errors by their names in `history_`; none without a validation set."""
        if not self.weight:
            return {}
        values = np.sqrt(self.squares / self.weight).tolist()
        return {VALID_RMSE + name: value for name, value in zip(self.names, values)}
