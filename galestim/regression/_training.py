"""The training loop, by a private skorch net that leaves nothing behind but weights and a history."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from torch import nn
from torch.optim import lr_scheduler as scheduler

from .._heap import large_arrays_stay
from .._progress import progress_bar
from ._checkpoint import NoCheckpoint
from ._examples import Batches, Examples
from ._optimizers import OPTIMIZERS, SGD
from ._physical_errors import VALID_RMSE, PhysicalErrors
from ._training_state import resume, state_of

logger = logging.getLogger(__name__)

LR_SCHEDULES = ("plateau", "cosine", "one_cycle")
FUSED = {"fused": True}  # a step is one pass over the weights, which takes a quarter of the time
PLATEAU = 5  # epochs without a better loss, after which the rate falls
HISTORY = {
    "epoch": "epoch",
    "train_loss": "train_loss",
    "valid_loss": "valid_loss",
    "lr": "lr",
    "dur": "duration",
}


@dataclass(frozen=True)
class Recipe:
    """Parameters of a training, those of these names of a regressor."""

    max_epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    optimizer: Any
    lr_schedule: str | None
    early_stopping_patience: int | None
    callbacks: Any
    precision: str
    verbose: int

    @classmethod
    def of(cls, regressor) -> Recipe:
        """That of a regressor."""
        return cls(**{field.name: getattr(regressor, field.name) for field in fields(cls)})


class _Net(NeuralNet):
    """skorch's loop without its printing; bfloat16 by autocast, so that what comes out is float32."""

    autocast = False
    bar: Any

    def infer(self, x, **kwargs):
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.autocast):
            output = super().infer(x, **kwargs)
        return output.float() if self.autocast else output

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """The loss of a batch; if it is not finite, the step that it asks for is not taken."""
        try:
            loss = super().get_loss(y_pred, y_true, X, training)
        except torch.linalg.LinAlgError:  # a covariance that is none
            loss = y_pred.new_tensor(math.nan)
        if training and not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the training loss became {loss.item()} in epoch {len(self.history)}; lower lr (now {self.lr:g}), "
                "scale the images (Normalizer), or use precision='float32'."
            )
        return loss

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("watch", _Watch(self.bar)),
        ]


class _Watch(Callback):
    """Record the learning rate, show and log progress."""

    def __init__(self, bar):
        self.bar = bar

    def on_epoch_begin(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[-1]["lr"])  # patterns come first, all else last

    def on_epoch_end(self, net, **kwargs):
        losses = {name: net.history[-1][name] for name in ("train_loss", "valid_loss") if name in net.history[-1]}
        told = {name: f"{loss:.4f}" for name, loss in losses.items()}
        logger.info("epoch %d of %d: %s", len(net.history), net.max_epochs, told)
        self.bar.set_postfix(told, refresh=False)
        self.bar.update()


class _Keep(Callback):
    """Write a checkpoint when it is due, and go on from one."""

    def __init__(self, checkpoint: NoCheckpoint):
        self.checkpoint, self.state = checkpoint, checkpoint.take()

    def done(self) -> tuple[int, int]:
        """Epochs, and batches of the next one, that were seen before."""
        return (0, 0) if self.state is None else (len(self.state["epochs"]), len(self.state["epoch"]["batches"]))

    def on_train_begin(self, net, **kwargs):
        if self.state is not None:
            resume(net, self.state)

    def on_epoch_begin(self, net, **kwargs):
        if self.state is not None:
            dict(net.callbacks_)["epoch_timer"].epoch_start_time_ -= self.state["seconds"]
            net.history[-1].update(self.state["epoch"])
            self.state = None

    def on_batch_end(self, net, training=False, **kwargs):
        if training and self.checkpoint.is_due():
            self.checkpoint.write(state_of(net))


class _Errors(Callback):
    """Record errors in the units of the targets."""

    def __init__(self, errors: PhysicalErrors):
        self.errors = errors

    def on_epoch_begin(self, net, **kwargs):
        self.errors.begin()

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        if not training and y_pred is not None:
            self.errors.see(y_pred, batch[1])

    def on_epoch_end(self, net, **kwargs):
        for name, value in self.errors.found().items():
            net.history.record(name, value)


def train(
    network: nn.Module,
    loss: nn.Module,
    training: Examples,
    validation: Examples | None,
    recipe: Recipe,
    *,
    device: str,
    seed: int,
    epoch: int = 0,
    gradient_clip: float | None = None,
    checkpoint: NoCheckpoint | None = None,
    errors: PhysicalErrors | None = None,
) -> list[dict[str, Any]]:
    """Train `network` in place and return its history, one dict per epoch, counted on from `epoch`.

    The loss gets the network's output and the labels of a batch, and returns a scalar. Where the network has
    ``lr_factors``, weights whose names match one of its patterns learn at `lr` times its factor; `gradient_clip`
    bounds the norm of each step's gradient; the history has what `errors` finds of the validation. A `checkpoint`
    that was read goes on where it was written.
    """
    keep = _Keep(NoCheckpoint() if checkpoint is None else checkpoint)
    done = keep.done()
    factors = getattr(network, "lr_factors", {})
    steps = math.ceil(len(training) / recipe.batch_size)
    optimizer, options = _optimizer_of(recipe.optimizer)
    monitor = "train_loss" if validation is None else "valid_loss"
    net = _Net(
        network,
        criterion=loss,
        optimizer=optimizer,
        optimizer__weight_decay=recipe.weight_decay,
        optimizer__param_groups=[(pattern, {"lr": recipe.lr * factor}) for pattern, factor in factors.items()],
        **{f"optimizer__{name}": value for name, value in options.items()},
        lr=recipe.lr,
        max_epochs=recipe.max_epochs,
        batch_size=math.ceil(len(training) / steps),  # even batches: a last one of one row is poorly normalized
        iterator_train=Batches,
        iterator_train__seed=seed,
        iterator_train__epoch=epoch,
        iterator_train__done=done,
        iterator_valid=Batches,
        train_split=None if validation is None else predefined_split(validation),
        callbacks=[
            *([] if errors is None else [("errors", _Errors(errors))]),
            *_callbacks(recipe, list(factors.values()), steps, monitor, gradient_clip),
            ("keep", keep),
        ],
        device=device,
        verbose=recipe.verbose,
    )
    net.autocast = recipe.precision == "bfloat16"
    bar = progress_bar(recipe.max_epochs, "epoch", recipe.verbose, leave=False, done=done[0])
    with bar as net.bar, large_arrays_stay():
        net.initialize()
        net.notify("on_train_begin", X=training, y=None)
        try:
            # that of partial_fit, which takes Ctrl-C for the end of the training
            net.fit_loop(training, None, recipe.max_epochs - done[0])
        except KeyboardInterrupt:
            if not _stopped_early(net):
                raise
        net.notify("on_train_end", X=training, y=None)
    rows = [_history_row(row) for row in net.history]
    return [{**row, "epoch": row["epoch"] + epoch} for row in rows]


def _history_row(row: dict) -> dict[str, Any]:
    """What `history_` has of a row of skorch's."""
    ours = {name: row[theirs] for theirs, name in HISTORY.items() if theirs in row}
    return ours | {name: value for name, value in row.items() if name.startswith(VALID_RMSE)}


def _stopped_early(net: NeuralNet) -> bool:
    """True if a KeyboardInterrupt is that by which early stopping of skorch ends a training."""
    return any(isinstance(c, EarlyStopping) and c.misses_ == c.patience for _, c in net.callbacks_)


def _optimizer_of(optimizer) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """The class that a name, spec or class means, and its own parameters."""
    if isinstance(optimizer, str):
        return OPTIMIZERS[optimizer], FUSED
    if not isinstance(optimizer, SGD):
        return optimizer, {}
    lowest = 1e-300 if optimizer.nesterov else 0.0
    if not lowest <= optimizer.momentum < 1:
        raise ValueError(
            f"{optimizer!r}; expected a momentum in [0, 1), above 0 with nesterov=True. It is the share of the last "
            "step that is kept, such as 0.9."
        )
    return torch.optim.SGD, optimizer.get_params() | FUSED


def _callbacks(recipe: Recipe, factors: list[float], steps: int, monitor: str, gradient_clip: float | None) -> list:
    rates = [recipe.lr * factor for factor in [*factors, 1.0]]
    return [
        *_schedule(recipe, rates, steps, monitor),
        *_clipping(gradient_clip),
        *_early_stopping(recipe.early_stopping_patience),
        *(_copied(callback) for callback in recipe.callbacks or []),
    ]


def _copied(callback):
    """A copy, since callbacks keep what they learn on themselves; it shares files, locks and the like."""
    name, inner = callback if isinstance(callback, tuple) else (None, callback)
    kind = inner if isinstance(inner, type) else type(inner)
    if issubclass(kind, BatchScoring | EpochScoring):
        raise ValueError(
            f"callbacks= holds {kind.__name__}, which scores arrays X and y; but a training sees images a batch at a "
            "time, and standardized targets. Losses are in history_; for scores of your own, fit a few epochs at a "
            "time with warm_start=True, and call score after each."
        )
    copied = _deep_or_shallow(inner)
    return copied if name is None else (name, copied)


def _deep_or_shallow(callback):
    try:
        return copy.deepcopy(callback)
    except Exception:  # files, locks and connections refuse in ways of their own
        logger.info("%r cannot be copied deeply; its copy shares what it holds", callback)
    try:
        return copy.copy(callback)
    except Exception as error:
        raise ValueError(
            f"callbacks= holds {type(callback).__name__}, which cannot be copied: {error}. Open files, locks and "
            "connections in its on_train_begin, not in __init__."
        ) from error


def _schedule(recipe: Recipe, rates: list[float], steps: int, monitor: str) -> list[tuple[str, Callback]]:
    if recipe.lr_schedule == "plateau":  # as published for the spin network
        policy = {
            "policy": scheduler.ReduceLROnPlateau,
            "monitor": monitor,
            "patience": PLATEAU - 1,  # torch acts on the epoch after so many, Keras on the last of them
            "threshold_mode": "abs",  # as Keras' min_delta of 1e-4
            "factor": 0.2,
            "min_lr": [min(rate, 1e-5) for rate in rates],
        }
    elif recipe.lr_schedule == "cosine":
        policy = {"policy": scheduler.CosineAnnealingLR, "T_max": recipe.max_epochs}
    elif recipe.lr_schedule == "one_cycle":
        policy = {
            "policy": scheduler.OneCycleLR,
            "max_lr": rates,
            "total_steps": recipe.max_epochs * steps,
            "cycle_momentum": not isinstance(recipe.optimizer, SGD),  # a momentum that was asked for stays
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
