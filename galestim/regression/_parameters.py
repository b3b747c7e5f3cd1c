"""Parameters that several regressors have: what they may be, what is said of them, and other defaults."""

from __future__ import annotations

import inspect
import os
import re
from numbers import Integral, Real
from types import FunctionType
from typing import Any, TypeVar

import torch

from .._sklearn import ClassWithout, HasMethods, Interval, StrOptions
from ..networks import Augmentation
from ._optimizers import OPTIMIZERS, SGD
from ._training import LR_SCHEDULES
from ._transfer import Transfer

AUGMENTATIONS = {"spin": Augmentation(), "rotation": Augmentation(zoom=0.0, rotation=180.0, shift=0.0)}

CONSTRAINTS: dict = {
    "network": [
        HasMethods(["build"], "CompactCNN()"),
        ClassWithout(["build"], "a torch.nn.Module class"),
        None,
    ],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "optimizer": [StrOptions(set(OPTIMIZERS)), SGD, type],
    "lr_schedule": [StrOptions(set(LR_SCHEDULES)), None],
    "augmentation": [StrOptions(set(AUGMENTATIONS)), Augmentation, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "early_stopping_patience": [Interval(Integral, 1, None, closed="left"), None],
    "image_shape": ["array-like", None],
    "precision": [StrOptions({"float32", "float64", "bfloat16"})],
    "device": [str, torch.device],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "warm_start_from": [Transfer, None],
    "callbacks": ["array-like", None],
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_minutes": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
}

_TEXT = """
max_epochs : int
    Passes over the training set.
batch_size : int
    Images per step.
lr : float
    Learning rate at the start (the peak, for ``"one_cycle"``).
weight_decay : float
    L2 penalty, as the optimizer defines it.
optimizer : {"adam", "adamw", "sgd"}, SGD or type
    A name, `SGD` with its momentum, or a ``torch.optim.Optimizer`` class.
lr_schedule : {"plateau", "cosine", "one_cycle"} or None
    How the learning rate changes. ``"plateau"`` multiplies the rate by 0.2 after 5 epochs without a better validation
    loss, down to 1e-5.
validation_fraction : float
    Share of the distinct training images set aside, at random, to watch the loss; 0 for none.
early_stopping_patience : int
    Stop after so many epochs without a better validation loss, and go back to the best one.
image_shape : tuple of int
    ``(H, W, C)`` or ``(H, W)`` of images given as flat rows.
precision : {"float32", "float64", "bfloat16"}
    Arithmetic of the network. ``"bfloat16"`` keeps the weights in float32 and computes in mixed precision.
device : str or torch.device
    Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.
random_state : int, RandomState instance or None
    Seed of weights, validation split, shuffling, augmentation and dropout. The same seed gives the same fit, in
    whichever order the rows come.
warm_start : bool
    Whether another `fit` goes on from the weights and scalings of the last one.
warm_start_from : Transfer
    A fitted estimator whose weights `fit` takes over at the start, with its network if ``network`` is None; a
    `warm_start` goes before it.
callbacks : list of skorch callbacks
    Called during training; copied first, so yours stay as they are, but share files and locks that they hold with the
    copies. Of skorch's, those that score arrays (``EpochScoring``, ``BatchScoring``) are refused. A KeyboardInterrupt
    goes to the caller, unless it is that of ``EarlyStopping``.
checkpoint : str or path-like
    Folder in which the state of the training is kept: the same fit goes on from it after an interruption, at the
    same step, and ends as one that was never interrupted. It stays when the fit is done; that fit again is then a
    matter of reading it, and another is refused. With ``{fit}`` in its name, as in ``"runs/{fit}"``, each fit has a
    folder of its own, as searches and cross-validation need. Asks for a `random_state`; takes no `callbacks`.
checkpoint_minutes : float
    Time from one checkpoint to the next.
verbose : int
    1 shows a progress bar on a terminal and in notebooks.
"""

_Kind = TypeVar("_Kind", bound=type)


def documented(regressor: _Kind) -> _Kind:
    """Add to the docstring of a regressor the parameters that it does not describe itself, with their defaults."""
    if regressor.__doc__ is None:  # python -OO
        return regressor
    own = _parameters_of(regressor)
    known = _entries(_TEXT) | _entries(_parameters_of(regressor.__base__)) | _entries(own)
    entries = []
    for parameter in inspect.signature(regressor).parameters.values():
        kind, _, text = known[parameter.name].partition("\n")
        default = f'"{parameter.default}"' if isinstance(parameter.default, str) else parameter.default
        entries.append(f"{kind.partition(', default=')[0]}, default={default}\n{text}")
    regressor.__doc__ = inspect.cleandoc(regressor.__doc__).replace(own, "\n".join(entries)) + "\n"
    return regressor


def _parameters_of(regressor: Any) -> str:
    """The section of its docstring."""
    _, _, section = inspect.cleandoc(regressor.__doc__ or "").partition("Parameters\n----------\n")
    return section.partition("\n\n")[0]


def _entries(section: str) -> dict[str, str]:
    """Entries of a section by the names of their parameters."""
    entries = re.split(r"\n(?=\S)", section.strip("\n"))
    return {entry.partition(" : ")[0]: entry for entry in entries}


def with_defaults(init: Any, qualname: str, **defaults: Any) -> Any:
    """The same ``__init__`` with other defaults of some keyword-only parameters; errors call it by its `qualname`."""
    copy = FunctionType(init.__code__, init.__globals__, init.__name__, init.__defaults__)
    copy.__qualname__, copy.__kwdefaults__ = qualname, {**init.__kwdefaults__, **defaults}
    return copy
