"""Images that are drawn while a network learns from them, instead of stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ImageStream:
    """What `SimulatedGalaxies` gives, as images ``(n, H, W, C)``; none is drawn before it is looked at.

    Parameters
    ----------
    source : array-like with a method ``redrawn(rows, epoch) -> (images, target)``
        Its attribute ``redraw`` is ``"noise"`` if targets stay. If not, ``target`` (n, k) and ``target_names`` are
        those of ``source[rows]``, and ``redrawn`` gives the new ones.
    image_shape : tuple of int (H, W, C)
    """

    def __init__(self, source, image_shape: tuple[int, int, int]):
        self.source, self.dtype = source, source.dtype
        self.shape = (len(source), *image_shape)
        self.new_targets = source.redraw != "noise"
        self._columns: list[int] = []

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows) -> NDArray:
        images = self.source[rows]
        return images.reshape(*images.shape[: images.ndim - self.source.ndim + 1], *self.shape[1:])

    def redrawn(self, rows: NDArray, epoch: int) -> tuple[NDArray, NDArray | None]:
        """Images ``(n, H, W, C)`` of an epoch, and what is to be learned of them ``(n, k)`` if that is new."""
        images, targets = self.source.redrawn(rows, epoch)
        return images.reshape(len(images), *self.shape[1:]), targets[:, self._columns] if self.new_targets else None

    def learn(self, targets: NDArray, names: list[str]) -> None:
        """Find the given targets ``(n, k)`` among the source's, to know them again when they are redrawn.

        Raises
        ------
        ValueError
            If galaxies are redrawn, and a target is none of theirs.
        """
        for column, name in zip(targets.T if self.new_targets else [], names):
            found = [np.allclose(column, own, rtol=1e-6, atol=0) for own in np.transpose(self.source.target)]
            if not any(found):
                own_names = ", ".join(self.source.target_names)
                raise ValueError(
                    f"y has the target {name!r}, which is none of X.target ({own_names}), so new galaxies have no "
                    "value of it; pass columns of X.target as they are, or redraw='noise'."
                )
            self._columns.append(found.index(True))

    def forbid(self, name: str, values) -> None:
        """Refuse what belongs to galaxies that are redrawn.

        Raises
        ------
        ValueError
            If there are such values.
        """
        if self.new_targets and values is not None:
            raise ValueError(
                f"{name} belongs to galaxies that X redraws in each epoch; leave {name} out, or redraw='noise'."
            )
