"""Optimizers by name, and as specs that carry their own parameters."""

from __future__ import annotations

import torch
from sklearn.base import BaseEstimator

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class SGD(BaseEstimator):
    """Stochastic gradient descent with momentum, as the `optimizer` of a regressor.

    Learning rate and weight decay are parameters of the regressor.

    .. versionadded:: 0.1.0

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
