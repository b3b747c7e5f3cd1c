"""Base class of network specs: hyper-parameters that scikit-learn can clone and search, without weights."""

from __future__ import annotations

from abc import abstractmethod

from sklearn.base import BaseEstimator
from torch import nn


class NetworkSpec(BaseEstimator):
    """Base of the network specs: hyper-parameters only, weights are made by `build`.

    A spec is to an estimator what a kernel is to ``GaussianProcessRegressor``: its parameters are searched as
    ``estimator__network__<name>``, and one spec may serve many fits.

    .. versionadded:: 0.1.0

    Attributes
    ----------
    takes_context : bool
        Whether `build` takes a third argument ``n_context`` and gives a `SplitNetwork`, so that numbers known of each
        galaxy can be handed to its last layers.
    takes_camera : bool
        Whether `build` takes a fourth argument ``camera``. With True it gives a `SplitNetwork` whose ``trunk`` is
        called with images in units of their noise and their `Camera`.
    sees_directions : bool
        Whether its output can differ between an image and its flips and quarter turns.
    """

    takes_context = False
    takes_camera = False
    sees_directions = True

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int], n_outputs: int) -> nn.Module:
        """Make the network, freshly initialized from torch's random state.

        Parameters
        ----------
        image_shape : tuple of int (H, W, C)
        n_outputs : int

        Returns
        -------
        torch.nn.Module
            Maps ``(n, C, H, W)`` to ``(n, n_outputs)``.
        """


def build_network(spec, image_shape: tuple[int, int, int], n_outputs: int, *more: int) -> nn.Module:
    """The network of a spec, or of a module class that is called with the same arguments.

    `more` are its number of contexts, and whether it is told the camera, if it takes these.
    """
    make = spec if isinstance(spec, type) else spec.build
    return make(image_shape, n_outputs, *more)


def per_layer(name: str, values, n_layers: int) -> list:
    """`values` as a list with one entry per layer; a clear error when the number differs."""
    values = list(values)
    if len(values) != n_layers:
        raise ValueError(f"{name}={values} has {len(values)} entries; expected {n_layers}, one per convolution.")
    return values
