"""Posteriors of galaxies as the object that functions of sbi ask for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state


class SBIView:
    """Posteriors of n galaxies behind the methods of a posterior of sbi, in which `x` is the number of a galaxy.

    Attributes
    ----------
    x : torch.Tensor of shape (n, 1)
        Numbers of the galaxies, NaN for missing cutouts, which the diagnostics of sbi leave out.
    default_x : torch.Tensor or None
        The galaxy that is meant if none is given.
    """

    def __init__(self, posterior, random_state=None):
        import torch

        self._posterior = posterior
        self._rng = check_random_state(random_state)
        missing = np.isnan(posterior.weights[:, 0])
        self.x = torch.from_numpy(np.where(missing, np.nan, np.arange(len(posterior)))[:, None])
        self.default_x = None

    def set_default_x(self, x) -> SBIView:
        """The galaxy that is meant from now on if none is given."""
        self.default_x = x
        return self

    def sample(self, sample_shape=(), x=None, show_progress_bars=True):
        """Draws of one galaxy, ``(*sample_shape, k)``."""
        return self.sample_batched(sample_shape, self._one(x))[..., 0, :]

    def sample_batched(self, sample_shape, x, show_progress_bars=True):
        """Draws of each galaxy of `x` ``(b, 1)``; ``(*sample_shape, b, k)``."""
        import torch

        chosen, shape = self._posterior[self._rows(x)], tuple(sample_shape)
        draws = chosen.sample(int(np.prod(shape)), self._rng)
        return torch.from_numpy(np.swapaxes(draws, 0, 1).reshape(*shape, *draws.shape[::2]))

    def log_prob(self, theta, x=None):
        """Logarithm of the joint density of one galaxy at `theta` ``(q, k)``; ``(q,)``."""
        theta = np.atleast_2d(np.asarray(theta))
        return self.log_prob_batched(theta[:, None], self._one(x))[:, 0]

    potential = log_prob  # that of a posterior whose density is normalized

    def log_prob_batched(self, theta, x):
        """Logarithm of the joint density of each galaxy of `x` ``(b, 1)`` at `theta` ``(q, b, k)``; ``(q, b)``."""
        import torch

        theta, rows = np.asarray(theta, dtype=float), self._rows(x)
        if theta.shape[1:] != (len(rows), self._posterior.n_targets):
            expected = f"(q, {len(rows)}, {self._posterior.n_targets})"
            raise ValueError(f"theta has shape {theta.shape}; expected {expected}, q points for each row of x.")
        return torch.from_numpy(self._posterior[rows].log_prob(np.swapaxes(theta, 0, 1)).T.copy())

    def _one(self, x):
        x = self.default_x if x is None else x
        if x is None or np.asarray(x).size != 1:
            raise ValueError(f"x={x}; expected the number of one galaxy, one row of the view's x.")
        return x

    def _rows(self, x) -> NDArray[np.intp]:
        numbers = np.asarray(x, dtype=float).reshape(-1)
        wrong = ~np.isin(numbers, np.arange(len(self._posterior)))
        if wrong.any():
            raise ValueError(
                f"x={numbers[wrong][0]:g}; expected numbers of galaxies, from 0 to {len(self._posterior) - 1}, as in "
                "the view's x. Leave out missing cutouts, which are NaN there."
            )
        return numbers.astype(np.intp)
