"""Where the pixels of many cutouts lie in an image: nine exact positions each, and a polynomial between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._tangent import tangent_to_sky
from ._sky_to_pixel import SkyToPixel
from ._source import CutoutRequest

MARGIN = 10  # px that a window reaches beyond its block: the spline forgets its end by 0.43 a pixel
_ALIGNED = 0.01  # px by which an axis may stray and still count as straight
MAP_ERROR = 0.002  # px, of positions interpolated between nine exact ones
ANY, UPRIGHT, SIDEWAYS = range(3)  # how a block lies in the image

_NODES = np.array([-1.0, 0.0, 1.0])
_SLOPE = np.array([[-1.5, 2, -0.5], [-0.5, 0, 0.5], [0.5, -2, 1.5]])  # from values on the nodes to derivatives
# Nine nodes that span a block, then four points that test the interpolation between them
_ROW = np.r_[np.repeat(_NODES, 3), -0.5, -0.5, 0.5, 0.5]
_COLUMN = np.r_[np.tile(_NODES, 3), -0.5, 0.5, -0.5, 0.5]


class Placement:
    """Positions in an image of the pixels of many blocks; a block is a cutout, or a part of one.

    Nine exact positions, at the corners, edges and center of each block, are interpolated by a biquadratic
    polynomial. `spans` ``(n, 4)`` are first row, end row, first column and end column of each block in its cutout;
    None, all of them.

    Of each block, `nodes` ``(n, 2, 3, 3)`` are the positions [px], x before y, and `low` and `high` ``(n, 2)`` the
    least and the greatest of them; `error` (n,) is by how much the polynomial misses four other exact positions, at
    most [px]; `area` ``(n, 3, 3)`` are image pixels in a pixel of the block, the Jacobian at the nodes; `layout` (n,)
    says whether rows of the block run along rows of the image, along its columns, or neither; `step` (n,) is from one
    pixel of the block to the next, at most [px].
    """

    def __init__(self, to_pixel: SkyToPixel, requests: Sequence[CutoutRequest], spans: NDArray | None = None):
        self.to_pixel = to_pixel
        self.requests = requests
        ra, dec, scale, npix = np.array([request[:4] for request in requests], dtype=float).T[..., None]
        self.spans = np.hstack([0 * npix, npix, 0 * npix, npix]).astype(int) if spans is None else spans
        row, end_row, column, end_column = self.spans.T[..., None]
        north = npix / 2 - row - (_ROW + 1) / 2 * (end_row - row)
        east = npix / 2 - column - (_COLUMN + 1) / 2 * (end_column - column)
        unit = np.radians(scale / 3600)
        sky = tangent_to_sky(np.radians(ra), np.radians(dec), east * unit, north * unit)
        exact = to_pixel(*sky.reshape(2, -1)).reshape(2, len(ra), len(_ROW)).swapaxes(0, 1)
        self.low, self.high = np.fmin.reduce(exact, axis=2), np.fmax.reduce(exact, axis=2)
        self.nodes = exact[..., :9].reshape(-1, 2, 3, 3)
        between = _lagrange(np.array([-0.5, 0.5]))
        guess = (between @ self.nodes @ between.T).reshape(-1, 2, 4)
        self.error = np.abs(guess - exact[..., 9:]).max(axis=(1, 2))
        along_row = self.nodes @ _SLOPE.T * (2 / (end_column - column))[..., None, None]
        along_column = _SLOPE @ self.nodes * (2 / (end_row - row))[..., None, None]
        self.area = np.abs(along_row[:, 0] * along_column[:, 1] - along_row[:, 1] * along_column[:, 0])
        by_row = np.abs(self.nodes - self.nodes[..., 1:2]).max(axis=(2, 3)) <= _ALIGNED
        by_column = np.abs(self.nodes - self.nodes[..., 1:2, :]).max(axis=(2, 3)) <= _ALIGNED
        upright, sideways = by_column[:, 0] & by_row[:, 1], by_row[:, 0] & by_column[:, 1]
        self.layout = np.select([upright, sideways], [UPRIGHT, SIDEWAYS], ANY)
        self.step = np.sqrt(np.maximum((along_row**2).sum(axis=1), (along_column**2).sum(axis=1)).max(axis=(1, 2)))

    def areas(self, blocks: int | NDArray) -> NDArray[np.float32]:
        """Give the Jacobian at all pixels of blocks of one shape, ``(..., rows, columns)``."""
        row, end_row, column, end_column = self.spans[blocks].reshape(-1, 4)[0]
        rows, columns = (lagrange_at_pixels(n).astype(np.float32) for n in (end_row - row, end_column - column))
        return rows @ self.area[blocks].astype(np.float32) @ columns.T

    def only_shifted(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Tell the blocks, well inside the image, whose grid is the image's but for a shift, flips and quarter turns.

        Only those of the same size and orientation as the first of them, so that they can be treated together.
        """
        extent = self.nodes[:, :, [1, 2], [2, 1]] - self.nodes[:, :, [1, 0], [0, 1]]  # along rows, along columns
        n = self.spans[:, 1] - self.spans[:, 0]
        whole = np.abs(np.abs(extent).max(axis=2) - n[:, None]) <= _ALIGNED
        inside = (self.low >= MARGIN) & (self.high <= np.subtract(shape[::-1], MARGIN))
        good = (whole & inside).all(axis=1) & (self.layout != ANY) & (self.error <= MAP_ERROR)
        kind = np.stack([n, self.layout, *np.sign(np.rint(extent)).reshape(-1, 4).T], axis=1)
        return good & (kind == kind[good.argmax()]).all(axis=1)

    def quarters(self, k: int) -> Placement:
        """Split block `k` in four, or in two where it is one pixel high or wide."""
        rows, columns = (_halves(*span) for span in self.spans[k].reshape(2, 2))
        spans = np.array([(*r, *c) for r in rows for c in columns])
        return Placement(self.to_pixel, [self.requests[k]] * len(spans), spans)


def place(to_pixel: SkyToPixel, requests: Sequence[CutoutRequest], together: int = 512) -> Placement:
    """Make the placement of any number of cutouts, some at a time: small arrays take the place of freed ones."""
    parts = [Placement(to_pixel, requests[rows]) for rows in gen_batches(len(requests), together)]
    for name in [name for name, value in vars(parts[0]).items() if isinstance(value, np.ndarray)]:
        setattr(parts[0], name, np.concatenate([getattr(part, name) for part in parts]))
    parts[0].requests = requests
    return parts[0]


def _halves(start, end):
    middle = (start + end) // 2
    return [span for span in ((start, middle), (middle, end)) if span[1] > span[0]]


def _lagrange(t):
    """Give the quadratic polynomials that are 1 on one node and 0 on the others, at t, shape ``(len(t), 3)``."""
    return np.stack([t * (t - 1) / 2, 1 - t**2, t * (t + 1) / 2], axis=1)


@lru_cache(maxsize=64)
def lagrange_at_pixels(n, n_samples=1):
    return _lagrange((np.arange(n * n_samples) + 0.5) / (n * n_samples) * 2 - 1)
