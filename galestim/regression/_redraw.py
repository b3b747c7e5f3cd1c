"""Redraw while learning: images, and galaxies, that a source such as `SimulatedGalaxies` draws anew in each epoch.

All that fits know of it stands here: how such a source looks like images, and how its targets are found again, by
their names, when its galaxies are new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._masked import without_mask
from ._camera_images import camera_images
from ._examples import Examples, Labels
from ._rows import TrainingRows
from ._targets import Targets


class RedrawnImages:
    """A source as images ``(n, H, W, C)``; none is drawn before it is looked at.

    Parameters
    ----------
    source : array-like with a method ``redrawn(rows, epoch) -> (images, target)``
        Its attribute ``redraw`` is ``"noise"`` if galaxies stay. ``target`` (n, k) and ``target_names`` are what is
        known of ``source[rows]``; ``redrawn`` gives that of the galaxies of an epoch.
    image_shape : tuple of int (H, W, C)
    name : str, default=""
        Of the estimator, if it is told of their camera; then rows are `CameraImages`.
    """

    def __init__(self, source: Any, image_shape: tuple[int, int, int], name: str = ""):
        self.source, self.dtype, self.name = source, source.dtype, name
        self.shape = (len(source), *image_shape)
        self.new_galaxies = source.redraw != "noise"

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        images = self.source[rows]
        if self.name:
            return camera_images(images, self.shape[1:], self.name)
        images = without_mask(images)
        return images.reshape(*images.shape[: images.ndim - self.source.ndim + 1], *self.shape[1:])

    def redrawn(self, rows: NDArray, epoch: int, names: list[str]) -> tuple[Any, NDArray | None]:
        """Images ``(n, H, W, C)`` of an epoch, and their targets of these names ``(n, k)`` if they change."""
        images, targets = self.source.redrawn(rows, epoch)
        if self.name:  # of images that know their camera, sides may differ from batch to batch
            shape = (*images.shape[1:3], self.shape[3])
            return camera_images(images, shape, self.name), targets[:, self._columns(names)]
        images = without_mask(images).reshape(len(images), *self.shape[1:])
        return images, targets[:, self._columns(names)] if self.new_galaxies else None

    def match(self, targets: Targets, sample_weight, y_err) -> Targets:
        """`targets` under the names that the source knows them by.

        Targets without names that are the source's own, all of them in its order, get its names.

        Raises
        ------
        ValueError
            If galaxies are redrawn, and a target is none of the source's, or there are weights or errors, which
            belong to galaxies that go.
        """
        own = np.asarray(self.source.target, dtype=np.float64)
        if not targets.named and targets.values.shape == own.shape and _equal(targets.values, own):
            targets = targets._replace(names=list(self.source.target_names), named=True)
        if self.new_galaxies:
            self._refuse_strangers(targets, own)
            for name, values in (("sample_weight", sample_weight), ("y_err", y_err)):
                if values is not None:
                    raise ValueError(
                        f"{name} belongs to galaxies that X redraws in each epoch; leave {name} out, or "
                        "redraw='noise'."
                    )
        return targets

    def _refuse_strangers(self, targets: Targets, own: NDArray) -> None:
        known = ", ".join(self.source.target_names)
        for name, column in zip(targets.names, targets.values.T):
            if not targets.named or name not in self.source.target_names:
                raise ValueError(
                    f"y has the target {name!r}, which is none of X.target ({known}), so new galaxies have no value "
                    "of it. Pass X.target itself, or a table with columns of these names; or redraw='noise'."
                )
            if not _equal(column, own[:, self._columns([name])[0]]):
                raise ValueError(
                    f"the column {name!r} of y is not that of X.target; expected the same values, since those of new "
                    "galaxies take their place. Pass X.target's, or redraw='noise'."
                )

    def _columns(self, names: list[str]) -> list[int]:
        return [list(self.source.target_names).index(name) for name in names]


def _equal(some: NDArray, others: NDArray) -> bool:
    return np.allclose(some, others, rtol=1e-6, atol=0)


def redrawn_rows(weights: NDArray) -> TrainingRows:
    """All rows that have weight, in their own order: no two galaxies of a source are equal, and none is missing."""
    used = np.flatnonzero(weights > 0)
    return TrainingRows(used, weights[used])


class RedrawnExamples(Examples):
    """Training examples whose images, and labels where galaxies are new, are others in each epoch.

    Parameters
    ----------
    images : RedrawnImages of shape (n, H, W, C)
    rows, labels, dtype
        As in `Examples`.
    names : list of str
        Of the targets.
    relabel : callable
        Makes labels of new targets ``(n, k)`` and their images.
    """

    def __init__(self, images: RedrawnImages, rows, labels: Labels, dtype, names: list[str], relabel: Callable):
        super().__init__(images, rows, labels, dtype)
        self.names, self.relabel = names, relabel
        self.replays = getattr(images.source, "replays", 1)

    def look(self, which, epoch):
        images, targets = self.images.redrawn(self.rows[which], epoch, self.names)
        labels = {name: values[which] for name, values in self.labels.items()}
        return images, labels if targets is None else labels | self.relabel(targets, images)


def drawn_once(images: RedrawnImages, rows: NDArray, labels: Labels, dtype) -> Examples:
    """Validation examples, which stay as they are."""
    return Examples(images[rows], np.arange(len(rows)), labels, dtype)
