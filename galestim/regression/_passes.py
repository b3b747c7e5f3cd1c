"""Posteriors from the passes of Monte Carlo dropout through the networks of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration import Widths, find_widths
from ..networks import WATCHED_PASSES, GaussianHead, drops_out, enough_passes, repeated_passes
from ..posteriors import MixturePosterior
from ._examples import Labels
from ._rows import TrainingRows


class Passes:
    """Methods of an estimator whose networks give Gaussians, each pass some of them."""

    head: GaussianHead | None
    n_estimators: int
    n_passes: Any
    n_passes_: int
    n_outputs_: int
    network_: Any
    target_mean_: NDArray[np.float64]
    target_scale_: NDArray[np.float64]
    target_names_: list[str]
    target_units_: list[str | None] | None
    target_transforms_: list
    _seed: int
    _each_batch: Any
    _offsets_of: Any

    def _head(self) -> GaussianHead:
        return GaussianHead() if self.head is None else self.head

    def _found_widths(self, images, labels: Labels, validation: TrainingRows) -> Widths:
        """Widths that the validation set asks for."""
        weights, means, trils = self._mixture(images[validation.rows], self._known_passes(), self._seed)
        y = labels["target"][validation.rows]
        errors = labels.get("variance", np.zeros_like(labels["target"]))[validation.rows]
        passes, n_mixture = self._passes_per_member(weights.shape[1]), self._head().n_mixture
        return find_widths(y, weights, means, (trils**2).sum(-1), errors, validation.weight, passes, n_mixture)

    def _enough_passes(self, images) -> int:
        """Number of passes that is enough for most of some images, by those of the first network."""
        if not drops_out(self.network_[0].network):
            return 1
        raw = torch.from_numpy(self._passes(images, self.network_[0], self._seed, WATCHED_PASSES))
        log_weights, means, trils = (part.numpy() for part in self._head()(raw, self.n_outputs_))
        weights = np.exp(log_weights)[..., None]
        mean = (weights * means).sum(axis=2)
        square = (weights * (means**2 + (trils**2).sum(axis=-1))).sum(axis=2)
        return enough_passes(mean, square - mean**2)

    def _known_passes(self) -> int:
        """`n_passes` as a number."""
        if self.n_passes != "auto":
            return self.n_passes
        if not hasattr(self, "n_passes_"):
            raise ValueError(
                "n_passes='auto' is found by fit, which had another n_passes; fit again, or pass an int."
            )
        return self.n_passes_

    def _passes_per_member(self, n_components: int) -> int:
        return n_components // (self.n_estimators * self._head().n_mixture)

    def _estimate(self, images):
        weights, means, trils = self._mixture(images, 1, self._seed)
        finite = np.isfinite(means).all(axis=(1, 2)) & np.isfinite(trils).all(axis=(1, 2, 3))
        estimates = np.full((len(means), self.n_outputs_), np.nan)
        if finite.any():
            with np.errstate(over="ignore", invalid="ignore"):
                of = np.broadcast_to(self._offsets_of(images), estimates.shape)[finite]
                estimates[finite] = self._posterior(weights[finite], means[finite], trils[finite], of).mean()
        return estimates

    def _posterior(self, weights: NDArray, means: NDArray, trils: NDArray, offsets: NDArray) -> MixturePosterior:
        """Mixtures of standardized targets, in physical units."""
        return MixturePosterior(
            means * self.target_scale_ + self.target_mean_ + offsets[:, None],
            trils * self.target_scale_[:, None],
            weights,
            groups=np.arange(weights.shape[1]) // self._head().n_mixture,
            target_names=self.target_names_,
            units=self.target_units_,
            transforms=self.target_transforms_,
        )

    def _mixture(self, images: NDArray, n_passes: int, seed: int) -> tuple[NDArray, NDArray, NDArray]:
        """Weights ``(n, m)``, means and Cholesky factors of standardized targets, of all passes of all members."""
        outputs = [self._passes(images, member, seed + i, n_passes) for i, member in enumerate(self.network_)]
        raw = np.concatenate(outputs, axis=1)
        log_weights, means, trils = (part.numpy() for part in self._head()(torch.from_numpy(raw), self.n_outputs_))
        n, n_networks, k = len(raw), raw.shape[1], self.n_outputs_
        weights = np.exp(log_weights).reshape(n, -1) / n_networks
        return weights, means.reshape(n, -1, k), trils.reshape(n, -1, k, k)

    def _passes(self, images: NDArray, member: Any, seed: int, n_passes: int) -> NDArray:
        """Raw outputs of a network's passes, ``(n, n_passes, n_network_outputs)``; one if nothing drops out."""
        n_passes = n_passes if drops_out(member.network) else 1
        shape = (n_passes, self._head().n_outputs(self.n_outputs_))
        return self._each_batch(images, lambda inputs: repeated_passes(member, inputs, seed, n_passes), shape)
