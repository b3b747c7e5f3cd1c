"""Variance, bad pixels and point-spread function of cutouts that `_resample` makes, on the pixels that come out.

A new pixel is a weighted sum of old ones, Σ w x. Its variance is Σ w² v, if the noise of old pixels is independent;
it is bad if it has a share in a bad one; and its point-spread function is the old one, resampled in the same way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

from ._placement import ANY, MAP_ERROR, SIDEWAYS, Placement, lagrange_at_pixels
from ._resample import _BROKEN, _CARDINAL, _MAX_SAMPLES, _SPACING, _TAPS, _fill, _powers, _window_bounds

_ON = 0.02  # px by which a sample may miss a pixel's center and have no share in the next one
_NEAR = slice(5, 13)  # taps -3 to 4, which bear all but 1e-3 of the variance
_ENTRIES = 2**21  # weights at a time
_FINE, _AROUND = 3, 32  # a drawn star is sampled so finely, with so many pixels around it, that little is aliased
_WINGS = 12  # zeros around a stamp, so that the spline ends in them


class Planes(Protocol):
    """Source of variances and bad pixels: what gives windows of both."""

    shape: tuple[int, int]

    def read_planes(self, rows: slice, columns: slice) -> tuple[NDArray | None, NDArray[np.bool_]]:
        """Variance, or None, and bad pixels of a window within the image."""


class Propagated(NamedTuple):
    """Variance (None if not known) of the flux of each pixel of a block, and whether it is bad."""

    variance: NDArray | None
    bad: NDArray[np.bool_]


def n_samples_of(step: float) -> int:
    """Samples along a side of a new pixel, as `_resample.resample` takes them."""
    return max(1, int(np.ceil(step / _SPACING)))


def propagate(planes: Planes, placement: Placement, k: int) -> Propagated:
    """Variance and bad pixels of block `k` of a placement, per surface brightness (not times the area)."""
    row, end_row, column, end_column = placement.spans[k].tolist()
    shape = (end_row - row, end_column - column)
    step = float(placement.step[k])
    fine = placement.error[k] <= MAP_ERROR and step * max(shape) <= _MAX_SAMPLES * _SPACING
    if not fine and shape != (1, 1):
        return _propagate_quarters(planes, placement, k, shape)
    bounds = _window_bounds(planes.shape, placement.low[k].tolist(), placement.high[k].tolist())
    broken = shape == (1, 1) and not placement.error[k] <= _BROKEN * step
    if bounds is None or broken or step > _MAX_SAMPLES * _SPACING:
        return Propagated(None, np.ones(shape, dtype=bool))
    variance, bad = _read_planes(planes, *bounds)
    n_samples = n_samples_of(step)
    rows, columns = (lagrange_at_pixels(n, n_samples) for n in shape)
    x, y = (rows @ node @ columns.T - span.start for node, span in zip(placement.nodes[k], (bounds[1], bounds[0])))
    touched = _any_of_blocks(_touches(bad, y, x), n_samples)
    if variance is None or bad.all():
        return Propagated(None, touched)
    weigh = _weigh_points if placement.layout[k] == ANY else _weigh_grid
    filled = (_fill(variance, bad) if bad.any() else variance).astype(np.float64)
    return Propagated(weigh(filled, y, x, n_samples, placement.layout[k] == SIDEWAYS), touched)


def _propagate_quarters(planes, placement, k, shape) -> Propagated:
    row, _, column, _ = placement.spans[k].tolist()
    variance, bad = np.full(shape, np.nan), np.ones(shape, dtype=bool)
    quarters = placement.quarters(k)
    for i, (r, end_r, c, end_c) in enumerate(quarters.spans - [row, row, column, column]):
        part = propagate(planes, quarters, i)
        bad[r:end_r, c:end_c] = part.bad
        if part.variance is not None:
            variance[r:end_r, c:end_c] = part.variance
    return Propagated(variance, bad)


def _read_planes(planes: Planes, rows: slice, columns: slice):
    """Windows, with bad pixels beyond the image."""
    inside = [slice(max(span.start, 0), min(span.stop, n)) for span, n in zip((rows, columns), planes.shape)]
    beyond = [(part.start - span.start, span.stop - part.stop) for part, span in zip(inside, (rows, columns))]
    variance, bad = planes.read_planes(*inside)
    if variance is not None:
        variance = np.pad(variance, beyond, constant_values=np.nan)
    return variance, np.pad(bad, beyond, constant_values=True)


def _touches(bad: NDArray[np.bool_], y: NDArray, x: NDArray) -> NDArray:
    """True at positions that have a share in a bad pixel: one of the four around them."""
    if not bad.any():
        return np.zeros(y.shape, dtype=bool)
    (low_y, high_y), (low_x, high_x) = (
        [
            np.clip(p, 0, n - 1).astype(int)
            for p in (np.floor(np.nan_to_num(at, nan=-1) + _ON), np.ceil(np.nan_to_num(at, nan=-1) - _ON))
        ]
        for at, n in zip((y, x), bad.shape)
    )
    touched = np.zeros(y.shape, dtype=bool)
    for row in (low_y, high_y):
        for column in (low_x, high_x):
            touched |= bad[row, column]
    return touched


def _any_of_blocks(samples: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    blocks = samples.reshape(samples.shape[0] // n, n, samples.shape[1] // n, n)
    return np.logical_or.reduce(blocks, axis=(1, 3))


def _weigh_grid(variance: NDArray, y: NDArray, x: NDArray, n_samples: int, sideways: bool) -> NDArray:
    """Σ w² v where rows and columns of the block run along those of the image, or across."""
    down, across = (y[0], x[:, 0]) if sideways else (y[:, 0], x[0])
    squares = [_line_weights(at, n, n_samples) ** 2 for at, n in zip((down, across), variance.shape)]
    result = squares[0] @ variance @ squares[1].T
    return result.T if sideways else result


def _line_weights(at: NDArray, n: int, n_samples: int) -> NDArray:
    """Shares of the n pixels of a line in means over `n_samples` positions each."""
    base = np.floor(at).astype(int)
    taps = _powers(at - base).T @ _CARDINAL
    matrix = np.zeros((len(at), n))
    which = np.clip(base[:, None] + _TAPS, 0, n - 1)
    np.add.at(matrix, (np.arange(len(at))[:, None], which), taps)
    return matrix.reshape(-1, n_samples, n).mean(axis=1)


def _weigh_points(variance: NDArray, y: NDArray, x: NDArray, n_samples: int, sideways: bool) -> NDArray:
    """Σ w² v at any positions."""
    if n_samples == 1:
        return _weigh_single_points(variance, y, x)
    n_rows, n_columns = (n // n_samples for n in y.shape)
    at_once = max(1, _ENTRIES // (n_columns * n_samples**2 * 64))
    result = np.empty((n_rows, n_columns))
    for first in range(0, n_rows, at_once):
        rows = slice(first * n_samples, (first + at_once) * n_samples)
        weights = _point_weights(y[rows], x[rows], variance.shape, n_samples)
        result[first : first + at_once] = (weights.power(2) @ variance.ravel()).reshape(-1, n_columns)
    return result


def _weigh_single_points(variance: NDArray, y: NDArray, x: NDArray) -> NDArray:
    """Weights of one sample are products, and so are their squares."""
    (weight_y, row), (weight_x, column) = (_taps_at(at, n) for at, n in zip((y, x), variance.shape))
    weight_y, weight_x = weight_y**2, weight_x**2
    if variance.min() == variance.max():
        return (variance.flat[0] * weight_y.sum(axis=0) * weight_x.sum(axis=0)).reshape(y.shape)
    flat, result = variance.ravel(), np.zeros(y.size)
    for of_row, start in zip(weight_y, row * variance.shape[1]):
        line = sum(of_column * flat.take(start + place) for of_column, place in zip(weight_x, column))
        result += of_row * line
    return result.reshape(y.shape)


def _taps_at(at: NDArray, n: int) -> tuple[NDArray, NDArray]:
    """Weights of the pixels around each position, and which pixels these are: ``(8, at.size)`` each."""
    base = np.floor(at.ravel()).astype(int)
    taps = (_CARDINAL.T @ _powers(at.ravel() - base))[_NEAR]
    return taps, np.clip(base + _TAPS[_NEAR, None], 0, n - 1)


def _point_weights(y: NDArray, x: NDArray, shape: tuple[int, ...], n_samples: int) -> csr_array:
    """Shares of the pixels of an image in each mean over samples: sparse, ``(n_new, n_old)``."""
    (weight_y, row), (weight_x, column) = (_taps_at(at, n) for at, n in zip((y, x), shape))
    weight = weight_y[:, None] * weight_x / n_samples**2
    old = row[:, None] * shape[1] + column
    pixel_y, pixel_x = np.indices(y.shape) // n_samples
    new = (pixel_y * (y.shape[1] // n_samples) + pixel_x).ravel()
    where = (np.broadcast_to(new, old.shape).ravel(), old.ravel())
    return csr_array((weight.ravel(), where), shape=(y.size // n_samples**2, shape[0] * shape[1]))


# --- point-spread functions ---------------------------------------------------------------------------------


def jacobian(placement: Placement, k: int) -> NDArray[np.float64]:
    """Steps in the image (x, y) from a pixel of a block to the next column and the next row, at its center."""
    x, y = placement.nodes[k]
    row, end_row, column, end_column = placement.spans[k]
    along = [[(p[1, 2] - p[1, 0]) / (end_column - column), (p[2, 1] - p[0, 1]) / (end_row - row)] for p in (x, y)]
    return np.array(along)


def resampled_stamp(stamp: NDArray, steps: NDArray, npix: int, n_samples: int, sampling: float = 1.0) -> NDArray:
    """The image of a star, centered, on the pixels of a cutout: the surface brightness, as the image's is resampled.

    `stamp` is on pixels of `sampling` times those of the image; `steps` are those of `jacobian`; each of the `npix` ×
    `npix` new pixels is the mean of `n_samples` samples along each of its sides.
    """
    offset = (np.arange(npix * n_samples) + 0.5) / n_samples - npix / 2
    x, y = np.einsum("ij,jab->iab", steps, np.stack(np.meshgrid(offset, offset))) / sampling
    padded = np.pad(stamp.astype(np.float64), _WINGS)
    middle_y, middle_x = ((n - 1) / 2 for n in padded.shape)
    values = map_coordinates(padded, [y + middle_y, x + middle_x], order=5, mode="constant")
    return values.reshape(npix, n_samples, npix, n_samples).mean(axis=(1, 3))


def drawn_stamp(psf, pixel_scale: float, steps: tuple[float, ...], npix: int, n_samples: int) -> NDArray:
    """A point-spread function that has a Fourier transform, on the pixels of a cutout, north up; its sum is 1/9.

    It is smeared by the pixels of the image, unless it contains them, and by the samples of each pixel of the cutout.
    `steps` are those of `jacobian`, in one line.
    """
    k_row, k_column, response = _response(steps, npix, n_samples, bool(psf.includes_pixel))
    values = np.asarray(psf.transform(k_column / pixel_scale, k_row / pixel_scale)) * response
    n = len(k_row)
    return scipy.fft.irfft2(values, s=(n, n))[: _FINE * npix : _FINE, : _FINE * npix : _FINE]


@lru_cache(maxsize=8)
def _response(
    steps: tuple[float, ...], npix: int, n_samples: int, has_pixel: bool
) -> tuple[NDArray, NDArray, NDArray]:
    """Wave numbers of rows and columns [rad per pixel of the cutout], and the transform of what smears, centered."""
    n = _FINE * (npix + npix % 2 + _AROUND)
    k_row, k_column = (2 * np.pi * _FINE * frequency for frequency in (np.fft.fftfreq(n), np.fft.rfftfreq(n)))
    down, across = (_mean_of_samples(k, n_samples) * np.exp(-0.5j * (npix - 1) * k) for k in (k_row, k_column))
    response = down[:, None] * across
    if not has_pixel:
        of_image = np.einsum("ji,jab->iab", np.linalg.inv(np.reshape(steps, (2, 2))), np.meshgrid(k_column, k_row))
        response *= np.prod(np.sinc(of_image / (2 * np.pi)), axis=0)
    return k_row, k_column, response


def _mean_of_samples(k: NDArray, n: int) -> NDArray:
    """Fourier transform of n equal samples of a pixel."""
    return np.mean([np.cos(k * ((i + 0.5) / n - 0.5)) for i in range(n)], axis=0)
