"""The private skorch net: a training loop that leaves nothing behind but weights and a history."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from torch import nn
from torch.optim import lr_scheduler as scheduler
from tqdm import tqdm

from .._images import release_pages
from ._stream import ImageStream

logger = logging.getLogger(__name__)

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
LR_SCHEDULES = ("plateau", "cosine", "one_cycle")
HISTORY = {
    "epoch": "epoch",
    "train_loss": "train_loss",
    "valid_loss": "valid_loss",
    "lr": "lr",
    "dur": "duration",
}


class ImageDataset(torch.utils.data.Dataset):
    """Rows of an image array, fetched a batch at a time in their own dtype; the array is never copied whole.

    Parameters
    ----------
    images : ndarray of shape (n, H, W, C)
    index : ndarray of int, shape (n_rows,)
        The rows of `images` to use.
    labels : dict of ndarray, each of shape (n_rows, ...)
        What the loss needs of each row.
    dtype : numpy dtype
        What pixels become; uint8 stays as it is and is cast on the device.
    """

    epoch = 0  # a training set's: how often it has been gone through, or begun to be

    def __init__(self, images: NDArray, index: NDArray, labels: Mapping[str, NDArray], dtype):
        self.images, self.index, self.labels, self.dtype = images, index, labels, dtype

    def __len__(self):
        return len(self.index)

    def __getitem__(self, row):
        return self.__getitems__([row])

    def __getitems__(self, rows):
        pixels = pixel_tensor(self.images[self.index[rows]], self.dtype)
        release_pages(self.images)
        return pixels, {name: torch.from_numpy(values[rows]) for name, values in self.labels.items()}


class RedrawnDataset(ImageDataset):
    """Rows of a stream, whose images are others in each epoch, and with them, where galaxies are new, the labels.

    Parameters
    ----------
    images : ImageStream of shape (n, H, W, C)
    index, labels, dtype
        As in `ImageDataset`.
    relabel : callable
        Makes the labels that have changed, a dict, of new targets ``(n, k)``.
    epoch : int
        The last one that has been drawn.
    """

    def __init__(self, images: ImageStream, index, labels, dtype, relabel: Callable, epoch: int):
        super().__init__(images, index, labels, dtype)  # type: ignore[arg-type]
        self.stream, self.relabel, self.epoch = images, relabel, epoch

    def __getitems__(self, rows):
        images, targets = self.stream.redrawn(self.index[rows], self.epoch)
        labels = {name: values[rows] for name, values in self.labels.items()}
        if targets is not None:
            labels |= self.relabel(targets)
        pixels = np.require(images, self.dtype, ["C", "W"])
        return torch.from_numpy(pixels), {name: torch.from_numpy(values) for name, values in labels.items()}


def pixel_tensor(images: NDArray, dtype) -> torch.Tensor:
    """A tensor that owns its pixels: uint8 as it is, anything else as `dtype`."""
    return torch.from_numpy(np.array(images, dtype=np.uint8 if images.dtype == np.uint8 else dtype, order="C"))


def _as_is(batch):
    return batch


class _Net(NeuralNet):
    """skorch's loop without its printing; bfloat16 by autocast, so that what comes out is float32."""

    autocast = False

    def infer(self, x, **kwargs):
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.autocast):
            output = super().infer(x, **kwargs)
        return output.float() if self.autocast else output

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("watch", _Watch()),
        ]


class _Watch(Callback):
    """Record the learning rate, show and log progress, and stop a training that diverges."""

    def on_train_begin(self, net, **kwargs):
        # disable=None: tqdm stays silent where there is no terminal
        self.bar = tqdm(total=net.max_epochs, unit="epoch", leave=False, disable=None if net.verbose else True)

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        dataset_train.epoch += 1
        net.history.record("lr", net.optimizer_.param_groups[-1]["lr"])  # patterns come first, all else last

    def on_epoch_end(self, net, **kwargs):
        losses = {name: net.history[-1][name] for name in ("train_loss", "valid_loss") if name in net.history[-1]}
        if not math.isfinite(losses["train_loss"]):
            raise FloatingPointError(
                f"the training loss became {losses['train_loss']} in epoch {len(net.history)}; lower lr "
                f"(now {net.lr:g}), scale the images (Normalizer), or use precision='float32'."
            )
        told = {name: f"{loss:.4f}" for name, loss in losses.items()}
        logger.info("epoch %d of %d: %s", len(net.history), net.max_epochs, told)
        self.bar.set_postfix(told, refresh=False)
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        self.bar.close()


def train(
    network: nn.Module,
    loss: nn.Module,
    training: ImageDataset,
    validation: ImageDataset | None,
    *,
    device: str,
    seed: int,
    max_epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    optimizer: str | type[torch.optim.Optimizer],
    lr_schedule: str | None,
    early_stopping_patience: int | None,
    callbacks,
    autocast: bool,
    verbose: int,
    lr_factors: Mapping[str, float] | None = None,
    gradient_clip: float | None = None,
    momentum: float | None = None,
) -> list[dict[str, Any]]:
    """Train `network` in place and return its history, one dict per epoch.

    The loss gets the network's output and the dataset's labels, and returns a scalar. Weights whose names match a
    pattern of `lr_factors` learn at `lr` times its factor; `gradient_clip` bounds the norm of each step's gradient.
    """
    factors = dict(lr_factors or {})
    steps = math.ceil(len(training) / batch_size)
    batch_size = math.ceil(len(training) / steps)  # even batches: a last one of a single row is poorly normalized
    net = _Net(
        network,
        criterion=loss,
        optimizer=OPTIMIZERS.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer,
        optimizer__weight_decay=weight_decay,
        optimizer__param_groups=[(pattern, {"lr": lr * factor}) for pattern, factor in factors.items()],
        **({} if momentum is None else {"optimizer__momentum": momentum}),
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(seed),
        iterator_train__collate_fn=_as_is,
        iterator_valid__collate_fn=_as_is,
        train_split=None if validation is None else predefined_split(validation),
        callbacks=[
            *_schedule(
                lr_schedule,
                [lr * factor for factor in [*factors.values(), 1.0]],
                max_epochs,
                steps,
                "train_loss" if validation is None else "valid_loss",
            ),
            *_clipping(gradient_clip),
            *_early_stopping(early_stopping_patience),
            # skorch callbacks keep what they learn on themselves: the caller's stay as they were
            *copy.deepcopy(list(callbacks or [])),
        ],
        device=device,
        verbose=verbose,
    )
    net.autocast = autocast
    net.initialize()
    net.partial_fit(training, None)
    return [{ours: row[name] for name, ours in HISTORY.items() if name in row} for row in net.history]


def _schedule(name, rates: list[float], max_epochs: int, steps: int, monitor: str) -> list[tuple[str, Callback]]:
    if name == "plateau":  # as published for the spin network
        policy = {
            "policy": scheduler.ReduceLROnPlateau,
            "monitor": monitor,
            "patience": 5,
            "factor": 0.2,
            "min_lr": [min(rate, 1e-5) for rate in rates],
        }
    elif name == "cosine":
        policy = {"policy": scheduler.CosineAnnealingLR, "T_max": max_epochs}
    elif name == "one_cycle":
        policy = {
            "policy": scheduler.OneCycleLR,
            "max_lr": rates,
            "total_steps": max_epochs * steps,
            "step_every": "batch",
        }
    else:
        return []
    return [("lr_schedule", LRScheduler(**policy))]


def _early_stopping(patience: int | None) -> list[tuple[str, Callback]]:
    if patience is None:
        return []
    return [("early_stopping", EarlyStopping(patience=patience, threshold=0.0, load_best=True, sink=_silent))]


def _clipping(norm: float | None) -> list[tuple[str, Callback]]:
    return [] if norm is None else [("gradient_clip", GradientNormClipping(norm))]


def _silent(*args):
    """Take what skorch would print."""
