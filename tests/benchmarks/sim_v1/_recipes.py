"""Estimators that are compared, each as a recipe that says all there is to say.

default       what the package trains by default; edit `default` when that changes.
recalibrated  the same trained network behind `RecalibratedRegressor`, learned on 160 000 fresh galaxies.
cnn           a plain convolutional network of 0.46 M weights with the same Gaussian head, none of our symmetries, and
              no widths set on validation galaxies.
gampen        GaMPEN's recipe to the letter (VGG-16 behind an unbounded zoom, SGD of momentum 0.99 at a learning
              rate of 5e-7, rotations), from random weights, for as long as the default took; but in prediction with 4
              passes instead of 1000, as at a dropout rate of 4e-4 passes hardly differ.
tuned         the published network and augmentation with Adam at 1e-4: a learning rate that fits an hour.
color         the default on images in g, r and i.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from skorch.callbacks import EarlyStopping
from torch import nn

from galestim import PosteriorRegressor, STNPosteriorRegressor
from galestim.networks import VGG16, GaussianHead
from galestim.simulation import hsc_like
from galestim.targets import LogitTransform

TRANSFORMS = ["logit", "log", "log"]
SOFTENING = hsc_like("i").sky_noise


@dataclass(frozen=True)
class Recipe:
    """An estimator, and the images that it is shown.

    `make` is given whether this is a smoke test. `parent` names the recipe whose trained estimator is recalibrated
    instead. `redraw` is what is drawn anew in each epoch. `stretched` images are asinh(x / sky noise). Of a `timed`
    recipe the training stops after the default's time. After the training it goes on with the parameters `then`,
    where there are any. `share` is that of the test galaxies that are predicted, for
    networks that take hours for all of them.
    """

    make: Callable[[bool], PosteriorRegressor] | None = None
    parent: str | None = None
    redraw: str = "noise"
    then: dict | None = None
    stretched: bool = False
    timed: bool = False
    share: float = 1.0
    color: bool = False

    def seen(self, images):
        """Images as the estimator is shown them, arrays or `SimulatedGalaxies`."""
        if not self.stretched:
            return images
        return Stretched(images) if hasattr(images, "redrawn") else stretch(images)


def default(smoke: bool) -> PosteriorRegressor:
    """The estimator that the targets are about, and `load_pretrained("hsc-sim-i")`."""
    return PosteriorRegressor(
        target_transforms=TRANSFORMS,
        head=GaussianHead(n_mixture=8),  # in a logit, B/T near 0 or 1 has long tails
        dropout=0.0,  # galaxies are never the same, so there is nothing to be unsure of but the galaxy
        max_epochs=2 if smoke else 800,
        batch_size=256,
        lr=2e-3,
        validation_fraction=0.2,
        random_state=0,
    )


def cnn(smoke: bool) -> PosteriorRegressor:
    """A plain network, trained as anyone would."""
    return PosteriorRegressor(
        PlainCNN,
        target_transforms=TRANSFORMS,
        calibrate_widths=False,
        max_epochs=1 if smoke else 22,
        lr=1e-3,
        random_state=0,
    )


def gampen(smoke: bool, **changed) -> STNPosteriorRegressor:
    """The published recipe; nothing is held out, as nothing would look at it."""
    return STNPosteriorRegressor.gampen(
        network=VGG16(units=64 if smoke else 4096),
        target_transforms=TRANSFORMS,
        n_passes=1 if smoke else 4,
        max_epochs=1 if smoke else 1000,
        validation_fraction=0.0,
        random_state=0,
        **changed,
    )


def tuned(smoke: bool) -> STNPosteriorRegressor:
    """The published network with an optimizer that gets somewhere in an hour."""
    return gampen(smoke, optimizer="adam", lr=1e-4)


EDGES = {  # labels come nearer to B/T = 0 and 1 than they may by default, when all else is learned
    "target_transforms": [LogitTransform(margin=1e-4), "log", "log"],
    "max_epochs": 200,
    "lr": 5e-4,
}

RECIPES = {
    "default": Recipe(default, redraw="galaxies", then=EDGES),
    "recalibrated": Recipe(parent="default"),
    "cnn": Recipe(cnn, stretched=True, timed=True),
    "gampen": Recipe(gampen, stretched=True, timed=True, share=0.1),
    "tuned": Recipe(tuned, stretched=True, timed=True, share=0.1),
    "color": Recipe(default, color=True),
}


class TimeLimit(EarlyStopping):
    """End a training after so many minutes, after the batch that is under way; what is learned is kept."""

    def __init__(self, minutes: float):
        super().__init__()
        self.minutes = minutes

    def on_train_begin(self, net, **kwargs):
        """Start the clock."""
        self.end_, self.misses_ = time.monotonic() + 60 * self.minutes, 0

    def on_batch_end(self, net, training=False, **kwargs):
        """Stop as early stopping does."""
        if training and time.monotonic() > self.end_:
            self.misses_ = self.patience
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        """Look at no loss."""


class PlainCNN(nn.Sequential):
    """Five times convolution, normalization, ReLU and pooling, and two dense layers."""

    def __init__(self, image_shape: tuple[int, int, int], n_outputs: int):
        widths = [image_shape[2], 32, 64, 96, 128, 160]
        side = image_shape[0] // 2**5
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        dense = [nn.Flatten(), nn.Linear(widths[-1] * side**2, 64), nn.ReLU(), nn.Linear(64, n_outputs)]
        super().__init__(*layers, *dense)


class Stretched:
    """`SimulatedGalaxies` seen through `stretch`, drawn as they are when looked at."""

    def __init__(self, galaxies):
        self.galaxies = galaxies

    def __getattr__(self, name):
        return getattr(self.galaxies, name)

    def __len__(self):
        return len(self.galaxies)

    def __getitem__(self, rows):
        return stretch(self.galaxies[rows])

    def __array__(self, dtype=None, copy=None):
        return stretch(np.asarray(self.galaxies, dtype=dtype))

    def redrawn(self, rows, epoch):
        """Images of some rows in an epoch, and their targets."""
        images, target = self.galaxies.redrawn(rows, epoch)
        return stretch(images), target


def stretch(images: np.ndarray) -> np.ndarray:
    """Linear in the noise of the sky, logarithmic above."""
    return np.arcsinh(images / np.float32(SOFTENING))
