"""What all transforms of targets share: a support, labels outside of it, and no warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from ._masked import without_mask


class TargetTransform(BaseEstimator):
    """Base of the transforms: a subclass replaces formulas, and need not care for warnings or the outside."""

    _support = (-np.inf, np.inf)
    _bounds_are_labels = False

    def _forward(self, y: NDArray) -> NDArray:
        """Latent values of `y` in the support."""
        return y

    def _inverse(self, z: NDArray) -> NDArray:
        """Physical values of `z`."""
        return z

    def _log_slope(self, y: NDArray) -> NDArray:
        """Logarithm of dz/dy at `y` in the support."""
        return np.zeros_like(y)

    def _clip(self, y: NDArray) -> NDArray:
        """Labels `y`, moved off the bounds."""
        return y

    @property
    def support(self) -> tuple[float, float]:
        """The open interval ``(low, high)`` into which `inverse` maps, in physical units."""
        return self._support

    def outside(self, y: ArrayLike) -> Any:
        """Whether a value is one that no label may have; NaN and infinite values always are.

        Parameters
        ----------
        y : array-like of any shape, in physical units

        Returns
        -------
        ndarray of bool, of the shape of `y`
        """
        y = np.asarray(without_mask(y), dtype=float)
        low, high = self.support
        return ~((y >= low) & (y <= high)) if self._bounds_are_labels else ~((y > low) & (y < high))

    def forward(self, y: ArrayLike) -> Any:
        """Map physical values to latent ones.

        Parameters
        ----------
        y : array-like of any shape, in physical units

        Returns
        -------
        ndarray of float64, of the shape of `y`
            -inf at the lower end of the support and below, inf at the upper end and above; NaN for NaN.
        """
        y = np.asarray(without_mask(y), dtype=float)
        low, high = self.support
        with np.errstate(all="ignore"):
            z = self._forward(y)
        return np.select([y <= low, y >= high], [-np.inf, np.inf], default=z)[()]

    def inverse(self, z: ArrayLike) -> Any:
        """Map latent values to physical ones.

        Parameters
        ----------
        z : array-like of any shape

        Returns
        -------
        ndarray of float64, of the shape of `z`
            Values in physical units. What is too large for a float64 becomes infinite, without a warning.
        """
        with np.errstate(all="ignore"):
            return self._inverse(np.array(z, dtype=float))[()]

    def log_abs_det_jacobian(self, y: ArrayLike) -> Any:
        """Logarithm of ``|dz/dy|``: what to add to a latent log density to have the physical one.

        Parameters
        ----------
        y : array-like of any shape, in physical units

        Returns
        -------
        ndarray of float64, of the shape of `y`
            -inf at the ends of the support and beyond, as no density is there; NaN for NaN.
        """
        y = np.asarray(without_mask(y), dtype=float)
        low, high = self.support
        with np.errstate(all="ignore"):
            log_slope = self._log_slope(y)
        return np.select([np.isnan(y), (y <= low) | (y >= high)], [np.nan, -np.inf], default=log_slope)[()]

    def clip(self, y: ArrayLike) -> Any:
        """Move labels that lie too near to a bound, if the transform has a margin there.

        Parameters
        ----------
        y : array-like of any shape, in physical units

        Returns
        -------
        ndarray of float64, of the shape of `y`
            What no label may be (`outside`) stays as it is.
        """
        y = np.asarray(without_mask(y), dtype=float)
        return np.where(self.outside(y), y, self._clip(y))[()]
