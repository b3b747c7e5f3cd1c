"""Elliptical Gaussians on the sky, drawn only where they matter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .._tangent import ARCSEC, local_frame

REACH = 6.0  # standard deviations after which a Gaussian (then at 1.5e-8 of its peak) is not drawn


class Gaussians:
    """Gaussians sorted by position and then by size, widest first, with what is needed to draw them quickly."""

    def __init__(self, positions: NDArray, flux: NDArray, sigma: NDArray, axis_ratio: NDArray, angle: NDArray):
        self.positions, owner = np.unique(positions, axis=0, return_inverse=True)
        order = np.lexsort((-sigma, owner.ravel()))
        self._starts = np.searchsorted(owner.ravel()[order], np.arange(len(self.positions) + 1))
        sigma, minor, angle = sigma[order], (sigma * axis_ratio)[order], angle[order]
        self._reach = REACH * sigma
        self._peak = flux[order] / (2 * np.pi * sigma * minor)[:, None]
        # Exponent of the Gaussian in offsets east and north: xx east² + xy east north + yy north².
        sine, cosine = np.sin(angle), np.cos(angle)
        along, across = -0.5 / sigma**2, -0.5 / minor**2
        xx, yy = along * sine**2 + across * cosine**2, along * cosine**2 + across * sine**2
        self._exponents = np.stack([xx, 2 * (along - across) * sine * cosine, yy], axis=1)
        self._frames = local_frame(*self.positions.T)
        self._widest = REACH * sigma[self._starts[:-1]] * ARCSEC
        self._tree = KDTree(self._frames[:, 2]) if len(positions) else None

    def draw(self, directions: NDArray, background: NDArray) -> NDArray[np.float64]:
        """Surface brightness at `directions`, over that of the empty sky: ``(n_bands, rows, columns)``."""
        planes = np.empty((len(background), *directions.shape[1:]))
        planes[:] = background[:, None, None]
        for source in self._near(directions):
            self._add(planes, directions, source)
        return planes

    def _near(self, directions: NDArray) -> Iterator[int]:
        """Sources whose Gaussians reach the smallest cap around `directions`' mean that holds all of them."""
        if self._tree is None or directions.size == 0:
            return
        lengths = np.sqrt(np.einsum("i...,i...", directions, directions))
        center = (directions / lengths).reshape(3, -1).mean(axis=1)
        center /= max(np.linalg.norm(center), 1e-300)
        cosine = (center @ directions.reshape(3, -1) / lengths.ravel()).min()
        radius = np.arccos(np.clip(cosine, -1, 1)) + 1e-6
        chord = 2 * np.sin(min(radius + self._widest.max(), np.pi) / 2)
        for source in sorted(self._tree.query_ball_point(center, chord)):
            distance = np.arccos(np.clip(self._frames[source, 2] @ center, -1, 1))
            if distance <= radius + self._widest[source]:
                yield source

    def _add(self, planes: NDArray, directions: NDArray, source: int) -> None:
        """Add the Gaussians at one position, each only where it is within its reach."""
        east, north, outward = (self._frames[source] @ directions.reshape(3, -1)).reshape(directions.shape)
        if (behind := outward <= 0).any():  # the tangent plane; put it far away
            east, outward = np.where(behind, 1.0, east), np.where(behind, 1e-9, outward)
        x, y = east / (ARCSEC * outward), north / (ARCSEC * outward)  # gnomonic offsets [arcsec]
        terms = np.stack([x * x, x * y, y * y])
        for k in range(self._starts[source], self._starts[source + 1]):
            window = window_of(terms[0] + terms[2] < self._reach[k] ** 2)
            if window is None:
                return
            # Narrower ones follow: their windows are inside this one.
            planes, terms = planes[:, *window], terms[:, *window]
            xx, xy, yy = self._exponents[k]
            shape = np.exp(xx * terms[0] + xy * terms[1] + yy * terms[2])
            for plane, peak in zip(planes, self._peak[k], strict=True):
                plane += peak * shape


def window_of(inside: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of `inside`."""
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(inside.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
