"""Resampling of an image onto the pixels of a request, by a spline that keeps flux."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import ceil, floor
from typing import Protocol

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, spline_filter1d
from sklearn.utils import gen_batches

from ._errors import CutoutError, MissingCutoutError
from ._placement import MAP_ERROR, MARGIN, SIDEWAYS, UPRIGHT, Placement, lagrange_at_pixels
from ._sky_to_pixel import SkyToPixel
from ._source import CutoutRequest

_RADIUS = 8  # px to either side at which the cardinal spline is cut off where pixels are only shifted: 4e-4 of a peak
_SHIFTED_TOGETHER = 16  # rows; fewer make more calls, more make longer products with zeros
_SHIFTED_BYTES = 2**20  # of cutouts that are shifted together, so that they stay in the processor's cache
_SPACING = 1.1  # image px between samples, at most: 1.1 aliases a PSF of 2 px FWHM by 4e-6 of its flux
_BROKEN = 0.05  # steps by which the interpolated map of one pixel may miss, and still be one
_MAX_SAMPLES = 512  # along a side of a block, which bounds memory

# Weights of the 6 coefficients around t in [0, 1), as polynomials in t: rows are powers, columns coefficients
_B_SPLINE = (
    np.array(
        [
            [1, 26, 66, 26, 1, 0],
            [-5, -50, 0, 50, 5, 0],
            [10, 20, -60, 20, 10, 0],
            [-10, 20, 0, -20, 10, 0],
            [5, -20, 30, -20, 5, 0],
            [-1, 5, -10, 10, -5, 1],
        ],
        dtype=np.float32,
    )
    / 120
)


def resample_onto(
    image: ArrayLike, wcs: WCS, request: CutoutRequest, *, surface_brightness: bool = False
) -> NDArray[np.float32]:
    """Resample an image onto the grid of a request: tangent plane, north up, east left, centered on it.

    Parameters
    ----------
    image : array-like of shape (h, w) or (h, w, c)
        As FITS stores it: ``image[y, x]``, the WCS's pixel (1, 1) first. NaN where unknown.
    wcs : astropy.wcs.WCS
        Its celestial WCS, in any projection and orientation.
    request : CutoutRequest
    surface_brightness : bool, default=False
        What pixels hold: False, the flux that falls on each, so that their sum is kept; True, surface brightness, so
        that values are kept.

    Returns
    -------
    ndarray of shape (npix, npix) or (npix, npix, c), float32
        NaN where half of a pixel or more is not covered.

    Raises
    ------
    ValueError
        If the WCS has no celestial axes, or a pixel asked for is more than 563 of the image's wide.

    Notes
    -----
    Surface brightness is interpolated by the quintic cardinal B-spline (Unser, Aldroubi & Eden 1993, IEEE Trans.
    Signal Process. 41, 821 and 834), and multiplied by the Jacobian of the mapping, the area of the new pixel in
    old ones. Where new pixels are the larger ones, it is averaged over a grid of samples within each, no further
    apart than 1.1 old pixels, so that all flux is seen. NaN pixels are replaced by their nearest neighbors before
    interpolation, and put back afterwards: a spline does not ring at the edge of an image that continues flat.

    Measured by ``tests/benchmarks/mosaic_cutouts.py --kernels`` on pixel-integrated Gaussians: the worst pixel after
    a shift by a fraction of a pixel, relative to the peak, for a FWHM of 2.0, 2.4 and 3.5 px; errors of flux and
    centroid after a shift or a turn by 30°, for a FWHM of 2 px; what a shift by half a pixel leaves of white noise;
    how far values fall below zero around a hot pixel:

    ================  ====================  =======  ==========  =====  ==========
    kernel            worst pixel           flux     centroid    noise  undershoot
    ================  ====================  =======  ==========  =====  ==========
    linear (= area)   0.27, 0.20, 0.10      2e-2     3e-3 px     0.50   0
    Keys cubic        0.13, 0.077, 0.022    1e-3     9e-4 px     0.64   0.07
    cubic B-spline    0.064, 0.029, 0.005   4e-4     3e-4 px     0.76   0.14
    quintic B-spline  0.036, 0.012, 0.0007  2e-5     2e-5 px     0.84   0.18
    Lanczos 3         0.037, 0.013, 0.008   2e-4     2e-2 px     0.78   0.15
    Lanczos 5         0.025, 0.005, 0.002   2e-4     1e-2 px     0.87   0.19
    ================  ====================  =======  ==========  =====  ==========

    The quintic spline keeps flux and centroid best, and blurs least at the usual sampling. For pixels 1.2 to 5 times
    as large, the mean over samples errs by at most 0.023 of the peak for a FWHM of 3.5 px, and by 2e-4 in flux for
    2 px; exact area weights err by up to 0.09 and keep the flux to rounding.
    """
    image = np.asarray(image)
    planes = image[..., None] if image.ndim == 2 else image
    placement = Placement(SkyToPixel(wcs), [request])
    result = [resample(ArrayImage(plane), placement, 0, surface_brightness) for plane in np.moveaxis(planes, -1, 0)]
    return result[0] if image.ndim == 2 else np.stack(result, axis=-1)


class Image(Protocol):
    """Source of pixels: anything that gives windows of itself."""

    shape: tuple[int, int]

    def read(self, rows: slice, columns: slice) -> NDArray:
        """Read a window that lies within the image, real numbers of any kind; it is copied, not kept."""


class ArrayImage:
    """An array, or what is sliced like one, as an `Image`."""

    def __init__(self, pixels: NDArray):
        self.pixels = pixels
        self.shape = pixels.shape

    def read(self, rows: slice, columns: slice) -> NDArray:
        """Slice a window."""
        return self.pixels[rows, columns]


def resample_all(
    image: Image, placement: Placement, planes: Mapping[int, NDArray[np.float32]], surface_brightness: bool = False
) -> dict[int, CutoutError]:
    """Resample an image onto many blocks, into the planes given for their numbers; give back errors by number.

    As `resample_onto` does it; those whose grid is the image's but for a shift are treated together, which is faster.
    """
    errors: dict[int, CutoutError] = {}
    blocks = np.array(list(planes))
    shifted = placement.only_shifted(image.shape)
    together = max(1, _SHIFTED_BYTES // next(iter(planes.values())).nbytes)
    for rows in gen_batches(len(blocks), together):
        some = blocks[rows]
        quick, slow = some[shifted[some]], some[~shifted[some]].tolist()
        if len(quick):
            values, areas = _shift(image, placement, quick), placement.areas(quick)
            for k, one, area, known in zip(quick.tolist(), values, areas, np.isfinite(values).all(axis=(1, 2))):
                if known:
                    np.multiply(one, np.float32(1) if surface_brightness else area, out=planes[k])
                else:
                    slow.append(k)
        for k in slow:
            try:
                planes[k][...] = resample(image, placement, k, surface_brightness)
            except CutoutError as error:  # of an image at an address
                errors[k] = error
            except ValueError as error:
                errors[k] = MissingCutoutError(str(error).rstrip("."))
    return errors


def _shift(image, placement, blocks):
    """Interpolate on grids of unit step: all rows have the same weights, and so have all columns."""
    nodes, n = placement.nodes[blocks], placement.spans[blocks[0], 1]
    sideways = placement.layout[blocks[0]] == SIDEWAYS
    down, across = (nodes[:, 0, :, 1], nodes[:, 1, 1]) if sideways else (nodes[:, 1, :, 1], nodes[:, 0, 1])
    start = np.stack([down[:, 1], across[:, 1]], axis=1) - (n - 1) / 2
    base = np.floor(start).astype(int)
    windows = np.empty((len(blocks), *[n + len(_TAPS) - 1] * 2), dtype=np.float32)
    for window, corner in zip(windows, (base + _TAPS[0]).tolist()):
        rows, columns = (slice(first, first + len(window)) for first in corner)
        try:
            window[...] = image.read(columns, rows).T if sideways else image.read(rows, columns)
        except (ValueError, CutoutError):  # damaged: tried again alone
            window[...] = np.nan
    side = min(n, _SHIFTED_TOGETHER)
    weights = np.zeros((2, len(blocks), len(_TAPS) + 2 * side - 2), dtype=np.float32)
    weights[..., side - 1 : side - 1 + len(_TAPS)] = _powers(start - base).T @ _CARDINAL
    matrix_down, matrix_across = weights.take(_band(side), axis=2)
    middle = np.empty((len(blocks), n, windows.shape[2]), dtype=np.float32)
    result = np.empty((len(blocks), n, n), dtype=np.float32)
    parts = [(slice(i, i + side), slice(i, i + side + len(_TAPS) - 1)) for i in [*range(0, n - side, side), n - side]]
    for new, old in parts:
        np.matmul(matrix_down, windows[:, old], out=middle[:, new])
    for new, old in parts:
        np.matmul(middle[:, :, old], matrix_across.swapaxes(1, 2), out=result[:, :, new])
    return result[:, :: _sign(down), :: _sign(across)]


@lru_cache(maxsize=64)
def _band(n):
    """Indices of a matrix with shifted rows into its weights, padded with n - 1 zeros at both ends."""
    return np.arange(n - 1, -1, -1)[:, None] + np.arange(n - 1 + len(_TAPS))


def _sign(nodes):
    return 1 if nodes[0, 2] > nodes[0, 0] else -1


def resample(image: Image, placement: Placement, k: int, surface_brightness: bool = False) -> NDArray[np.float32]:
    """Resample an image onto block `k` of a placement; see `resample_onto`."""
    row, end_row, column, end_column = placement.spans[k].tolist()
    shape = (end_row - row, end_column - column)
    error, step = float(placement.error[k]), float(placement.step[k])
    bounds = _window_bounds(image.shape, placement.low[k].tolist(), placement.high[k].tolist())
    # broken as by the seam of a map of the sky
    if bounds is None or (shape == (1, 1) and not error <= _BROKEN * step):
        return np.full(shape, np.nan, dtype=np.float32)
    fine = error <= MAP_ERROR and step * max(shape) <= _MAX_SAMPLES * _SPACING
    if not fine and shape != (1, 1):
        return _resample_quarters(image, placement, k, surface_brightness)
    if step > _MAX_SAMPLES * _SPACING:
        raise ValueError(
            f"pixel_scale={placement.requests[k].pixel_scale:g} arcsec makes a pixel as wide as {step:.0f} of the "
            f"image's; expected at most {_MAX_SAMPLES * _SPACING:.0f}; bin the image first, or ask for smaller pixels"
        )
    window = _read(image, *bounds)
    nodes = placement.nodes[k] - [[[bounds[1].start]], [[bounds[0].start]]]
    values = _sample(window, nodes, shape, placement.layout[k], max(1, int(np.ceil(step / _SPACING))))
    return values if surface_brightness else values * placement.areas(k)


def _resample_quarters(image, placement, k, surface_brightness):
    """Go on with parts of a block, until the map is exact on each and none is too large."""
    row, end_row, column, end_column = placement.spans[k]
    result = np.empty((end_row - row, end_column - column), dtype=np.float32)
    quarters = placement.quarters(k)
    for i, (r, end_r, c, end_c) in enumerate(quarters.spans - [row, row, column, column]):
        result[r:end_r, c:end_c] = resample(image, quarters, i, surface_brightness)
    return result


def _window_bounds(shape, low, high):
    """Rows and columns that a block needs, up to `MARGIN` beyond the image; None if it does not touch the image."""
    bounds = []
    for n, first, last in zip(shape, reversed(low), reversed(high)):
        if not (first < n - 0.5 and last > -0.5):  # so it is for NaN too
            return None
        bounds.append(slice(max(floor(first), 0) - MARGIN, min(ceil(last), n - 1) + 1 + MARGIN))
    return bounds


def _read(image, rows, columns):
    """Read a window, with NaN beyond the image."""
    inside = [slice(max(span.start, 0), min(span.stop, n)) for span, n in zip((rows, columns), image.shape)]
    window = image.read(*inside).astype(np.float32)
    beyond = [(part.start - span.start, span.stop - part.stop) for part, span in zip(inside, (rows, columns))]
    return np.pad(window, beyond, constant_values=np.nan) if any(map(any, beyond)) else window


def _sample(window, nodes, shape, layout, n_samples):
    """Mean surface brightness [per image px] of each pixel of a block, NaN where half of it is unknown."""
    known = np.isfinite(window)
    complete = known.all()
    if not complete and not known.any():
        return np.full(shape, np.nan, dtype=np.float32)
    filled = window if complete else _fill(window, ~known)
    rows, columns = (lagrange_at_pixels(n, n_samples) for n in shape)
    x, y = nodes
    if layout == UPRIGHT:
        at = _inside(rows @ y[:, 1], len(window))[:, None], _inside(columns @ x[1], window.shape[1])
        values = _sample_grid(filled, *at, n_samples)
    elif layout == SIDEWAYS:
        at = _inside(columns @ y[1], len(window)), _inside(rows @ x[:, 1], window.shape[1])[:, None]
        values = _sample_grid(filled.T, at[1], at[0], n_samples)
    else:
        at = tuple(_inside(rows @ p @ columns.T, n) for p, n in zip((y, x), window.shape))
        values = _block_mean(_sample_points(filled, *at), n_samples)
    if not complete:
        seen = known[tuple(np.rint(p).astype(int) for p in at)]
        values[_block_mean(seen, n_samples) <= 0.5] = np.nan
    return values


def _inside(position, n):
    """Keep positions where the spline has all its neighbors; what is moved lies outside of the image anyway."""
    return np.clip(position, 2, n - 4)


def _fill(window, unknown):
    """Give unknown pixels the value of their nearest neighbor."""
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return window[tuple(nearest)]


def _block_mean(samples, n):
    if n == 1:
        return samples
    return samples.reshape(samples.shape[0] // n, n, samples.shape[1] // n, n).mean(axis=(1, 3))


def _sample_grid(window, y, x, n_samples):
    """Interpolate on the grid of `y` by `x`, one axis after the other, and average blocks of samples."""
    return _sample_rows(_sample_rows(window, y.ravel(), n_samples).T, x.ravel(), n_samples).T


def _sample_rows(window, position, n_samples):
    base, n = np.floor(position).astype(int), len(window)
    matrix = np.zeros((len(position), n), dtype=np.float32)
    np.put_along_axis(matrix, base[:, None] + np.arange(-2, 4), _powers(position - base).T @ _B_SPLINE, axis=1)
    return matrix.reshape(-1, n_samples, n).mean(axis=1) @ _spline_filter(n) @ window


def _sample_points(window, y, x):
    """Interpolate at any points."""
    rows, columns = (_spline_filter(n) for n in window.shape)
    coefficients = (rows @ window @ columns.T).ravel()
    base_y, base_x = np.floor(y).astype(int), np.floor(x).astype(int)
    weights_y, weights_x = (np.tensordot(_B_SPLINE.T, _powers(t), axes=1) for t in (y - base_y, x - base_x))
    corner = (base_y - 2) * window.shape[1] + base_x - 2
    result = np.zeros(y.shape, dtype=np.float32)
    for i, weight_y in enumerate(weights_y):
        line = np.zeros_like(result)
        for j, weight_x in enumerate(weights_x):
            term = coefficients[i * window.shape[1] + j :].take(corner)
            term *= weight_x
            line += term
        line *= weight_y
        result += line
    return result


def _powers(t):
    """Give the powers 0 to 5 of `t`, shape ``(6, *t.shape)``."""
    powers = np.ones((6, *t.shape), dtype=np.float32)
    powers[1] = t
    for k in range(2, 6):
        np.multiply(powers[k - 1], powers[1], out=powers[k])
    return powers


@lru_cache(maxsize=16)
def _spline_filter(n):
    """Give the matrix from n pixels on a line to the coefficients of their quintic spline, mirrored at its ends."""
    return spline_filter1d(np.eye(n), order=5, axis=0, mode="mirror").astype(np.float32)


def _cardinal_spline():
    """Weights of the pixels around t in [0, 1): polynomials as in `_B_SPLINE`, of the pixels themselves."""
    response = spline_filter1d(np.eye(101), order=5, axis=0, mode="mirror")[50]
    weights = _B_SPLINE @ response[50 + np.arange(-2, 4)[:, None] - _TAPS]
    return weights - (weights.sum(axis=1, keepdims=True) - np.eye(6)[:, :1]) / len(_TAPS)  # a constant stays one


_TAPS = np.arange(-_RADIUS, _RADIUS + 2)
_CARDINAL = _cardinal_spline().astype(np.float32)
