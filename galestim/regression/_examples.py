"""What a training looks at: images with their labels, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._images import release_pages
from ..networks import Inputs, pixel_tensor

Labels = dict[str, NDArray]


class Examples(torch.utils.data.Dataset):
    """Images with their labels, looked at a batch at a time in their own dtype; the array is never copied whole.

    Parameters
    ----------
    images : ndarray or CameraImages of shape (n, H, W, C)
    rows : ndarray of int, shape (n_rows,)
        The rows of `images` to use.
    labels : dict of ndarray, each of shape (n_rows, ...)
        What the loss needs of each row.
    dtype : numpy dtype
        What pixels become; uint8 stays as it is and is cast on the device.
    """

    def __init__(self, images, rows: NDArray, labels: Labels, dtype):
        self.images, self.rows, self.labels, self.dtype = images, rows, labels, dtype

    def __len__(self):
        return len(self.rows)

    def begin(self, epoch: int) -> None:
        """Get ready for an epoch."""

    def look(self, which: NDArray, epoch: int) -> tuple[Any, Labels]:
        """Images and labels of some rows, as they are in an epoch."""
        return self.images[self.rows[which]], {name: values[which] for name, values in self.labels.items()}

    def batch(self, which: NDArray, epoch: int) -> tuple[Inputs, dict[str, torch.Tensor]]:
        """The same as tensors."""
        images, labels = self.look(which, epoch)
        inputs = network_inputs(images, self.dtype)
        release_pages(self.images)
        return inputs, {name: torch.from_numpy(values) for name, values in labels.items()}


def network_inputs(images, dtype, rows: NDArray | None = None) -> Inputs:
    """What an `ImageNetwork` is called with: pixels of images ``(n, H, W, C)``, and their camera if they know it.

    Parameters
    ----------
    images : ndarray or CameraImages of shape (n, H, W, C)
    dtype : numpy dtype
    rows : ndarray of int, shape (n,), default=None
        What errors call these images; None counts from 0.
    """
    if isinstance(images, np.ndarray):
        return {"pixels": pixel_tensor(images, dtype, rows)}
    return {name: torch.from_numpy(values) for name, values in images.inputs(dtype, rows).items()}


class Batches:
    """Examples in batches; each pass over them is one epoch, and shuffled if there is a seed.

    Parameters
    ----------
    examples : Examples
    batch_size : int
    seed : int or None, default=None
        Of the shuffling; None keeps the order.
    epoch : int, default=0
        The last epoch that another training has seen.
    done : tuple of int, default=(0, 0)
        Epochs, and batches of the next one, that were seen before an interruption.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        done: tuple[int, int] = (0, 0),
    ):
        epochs, self.n_seen = done
        self.examples, self.batch_size, self.epoch = examples, batch_size, epoch + epochs
        self.rng = None if seed is None else np.random.default_rng(seed)
        for _ in range(epochs):
            self._order()

    def __iter__(self) -> Iterator:
        self.epoch += 1
        self.examples.begin(self.epoch)
        order, first, self.n_seen = self._order(), self.n_seen * self.batch_size, 0
        for start in range(first, len(order), self.batch_size):
            yield self.examples.batch(order[start : start + self.batch_size], self.epoch)

    def _order(self) -> NDArray[np.intp]:
        n = len(self.examples)
        return np.arange(n) if self.rng is None else self.rng.permutation(n)
