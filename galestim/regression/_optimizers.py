"""Optimizers by name, and as specs that carry their own parameters."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import BaseEstimator

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class SGD(BaseEstimator):
    """Stochastic gradient descent with momentum, as the `optimizer` of a regressor.

    Learning rate and weight decay are parameters of the regressor.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the last step that is added to the next, in [0, 1).
    nesterov : bool, default=False
        Whether the gradient is taken where the momentum leads [1]_.

    References
    ----------
    .. [1] Sutskever et al. 2013, *On the importance of initialization and momentum in deep learning*, ICML.

    Examples
    --------
    >>> from galestim import CNNRegressor
    >>> from galestim.regression import SGD
    >>> CNNRegressor(optimizer=SGD(momentum=0.99)).set_params(optimizer__momentum=0.95).optimizer
    SGD(momentum=0.95)
    """

    def __init__(self, momentum=0.9, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov


def optimizer_of(optimizer) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """The class that a name, spec or class means, and its own parameters.

    Raises
    ------
    ValueError
        If a momentum is outside of [0, 1), or ``nesterov=True`` has none.
    """
    if isinstance(optimizer, str):
        return OPTIMIZERS[optimizer], {}
    if not isinstance(optimizer, SGD):
        return optimizer, {}
    lowest = 1e-300 if optimizer.nesterov else 0.0
    if not lowest <= optimizer.momentum < 1:
        raise ValueError(
            f"{optimizer!r}; expected a momentum in [0, 1), above 0 with nesterov=True. It is the share of the last "
            "step that is kept, such as 0.9."
        )
    return torch.optim.SGD, optimizer.get_params()
