"""Base class of networks in two parts: deterministic layers, and those from the first dropout on."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from ._camera import Camera


class SplitNetwork(nn.Module):
    """Base of networks whose stochastic part can be repeated without running the rest again.

    A Monte Carlo dropout posterior needs many passes through the layers behind the first dropout, but only one
    through those in front of it.

    .. versionadded:: 0.1.0
    """

    wants_examples = False  # whether `examine` does anything
    standardizes = False  # whether `digest` takes pixels as they are, and ``mean`` and ``scale`` of each channel

    def __init__(self):
        super().__init__()

    @abstractmethod
    def trunk(self, x: torch.Tensor, *camera) -> torch.Tensor:
        """Deterministic part: images to features.

        Parameters
        ----------
        x : Tensor of shape (n, C, H, W)
            Images.
        *camera : Camera
            That of the images, if the network was built to be told it.

        Returns
        -------
        Tensor of shape (n, ...)
        """

    def digest(self, x: torch.Tensor, *camera) -> torch.Tensor | None:
        """What of the trunk takes no weight, if all that follows needs no more; a fit then takes it once.

        Parameters
        ----------
        x : Tensor of shape (n, C, H, W)
            Images.
        *camera : Camera
            As in `trunk`.

        Returns
        -------
        Tensor of shape (n, n_digest), or None
            None if there is no such part. Where it is not, ``read(digest)`` gives what `trunk` does.
        """
        return None

    @abstractmethod
    def rest(self, features: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Everything from the first dropout on.

        Parameters
        ----------
        features : Tensor of shape (n, ...)
            What `trunk` gives.
        context : Tensor of shape (n, n_context) or None
            Numbers known of each galaxy that no pixel shows, such as the scale of its crop.

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """

    def examine(self, images: torch.Tensor, *camera) -> None:
        """Look at some training images before the training, to learn noise and scales from them, say.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W)
        *camera : Camera
            As in `trunk`.
        """

    def forward(self, x: torch.Tensor, told: torch.Tensor | Camera | None = None) -> torch.Tensor:
        """Look at images, and read what was seen.

        Parameters
        ----------
        x : Tensor of shape (n, C, H, W)
            Images.
        told : Camera, Tensor of shape (n, n_context) or None, default=None
            The camera of the images, or what `rest` takes as their context.

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """
        if isinstance(told, Camera):
            return self.rest(self.trunk(x, told))
        return self.rest(self.trunk(x), told)


class ContextAsChannels(SplitNetwork):
    """Any network as a `SplitNetwork`: the context enters as constant channels, and all of it is repeated per pass.

    Parameters
    ----------
    network : torch.nn.Module
        Takes the image's channels and one more per number of the context.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def trunk(self, x):
        return x

    def rest(self, features, context=None):
        if context is not None:
            maps = context[:, :, None, None].expand(-1, -1, *features.shape[2:])
            features = torch.cat([features, maps.to(features.dtype)], dim=1)
        return self.network(features)


def with_context(features: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Append the context's columns to features ``(n, f)``."""
    return features if context is None else torch.cat([features, context.to(features.dtype)], dim=1)
