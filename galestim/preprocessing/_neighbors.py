"""Light of other objects beside a galaxy: found, judged, and traced to where it is lost in the noise.

A galaxy looks the same when it is turned by 180 degrees about its center; an image without what it has in common with
the turned one has the neighbors left. Arms come in pairs and go. Detection and deblending are sep's (Barbary 2016,
JOSS 1, 58; Bertin & Arnouts 1996, A&AS 117, 393).
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._light import robust_sigma

OF_TARGET = 2.5  # σ: the galaxy itself is looked for deeper, as its place is known
LEAST_PIXELS = 4
SPARE_ROOM = 2**12  # pixels; sep wants two more than there are, if all are bright
CONTRAST = 0.005  # share of the light of a deblended source that a part of it has at least
SHARPER, WIDER = 0.5, (2, 4)  # widths of the point-spread function over which other images are smoothed
BRIGHT = 10.0  # σ: above it, a peak in the light of a brighter source is no noise
REACH = 4.0  # pixels, or a width if that is more, by which a galaxy may lie off the center of its image
LEAST_AXIS_RATIO = 0.25

_ROOM = threading.Lock()
_NONE = np.zeros(0, dtype=[(name, np.int64) for name in ("xpeak", "ypeak")] + [(name, float) for name in "ab"])


class Search(NamedTuple):
    """How to look for neighbors; the parameters of `NeighborMasker`."""

    threshold: float
    contrast: float
    depth: float
    share: float


class Crowd(NamedTuple):
    """What is in the image of a galaxy beside it; `mask` has the shape of the image."""

    mask: NDArray[np.bool_]
    detected: bool = False
    blended: bool = False
    n_neighbors: int = 0
    nearest: float = np.nan
    flux_ratio: float = np.nan


class _Sources(NamedTuple):
    """A smoothed image, its noise, and its sources; `labels` counts them from 1."""

    light: NDArray
    noise: float
    width: float
    table: NDArray
    labels: NDArray


class _Target(NamedTuple):
    """The galaxy: its row in the table of sources, -1 if it is no source of its own; its center; its ellipse."""

    row: int
    center: NDArray
    ellipse: NDArray  # (2, 2): offsets (x, y) to those in which it is round


def require_sep() -> None:
    """Raise an ImportError that says how to get sep, if it is not there."""
    if find_spec("sep") is None:
        raise ImportError("NeighborMasker needs sep, which is not installed; run: pip install 'galestim[masks]'")


def neighbors_of(image: NDArray, good: NDArray[np.bool_], width: float, search: Search, *, photons=0.0, told=True):
    """Find the neighbors of the galaxy in the middle, and what is theirs.

    Parameters
    ----------
    image : ndarray of shape (H, W)
        In units of the noise.
    good : ndarray of bool, shape (H, W)
    width : float
        σ of the point-spread function [pixels].
    search : Search
    photons : float, default=0
        Variance that light adds to the noise: that of a pixel of 1.
    told : bool, default=True
        Whether the noise is known, so that it is at most 1 however it correlates.

    Returns
    -------
    Crowd
    """
    if not good.any():
        return Crowd(np.zeros(good.shape, dtype=bool))
    image = np.where(good, image, 0).astype(np.float32)
    sources, target = _target_in(image, good, width, told)
    blended = target.row < 0 and _label_of_middle(sources.labels) > 0
    model = _symmetric(sources, target, good)
    excess = sources.light - model
    error = np.sqrt(2 * sources.noise**2 + photons * model / (4 * math.pi * sources.width**2))
    error = np.hypot(error, search.contrast / search.threshold * model)
    table, labels = _extracted(excess, error, good, search.threshold)
    offset, fwhm = np.column_stack([table["xpeak"], table["ypeak"]]) - target.center, 2.355 * width
    distance = np.hypot(*offset.T)
    beside = (distance >= fwhm) & _peaks(sources, target, table)
    mask = np.zeros(good.shape, dtype=bool)
    for row in np.flatnonzero(beside):
        light = _traced(excess, good & (excess > -3 * error), table[row])
        mask |= (labels == row + 1) | ((light > search.depth) & (light > search.share * model))
    mask &= good & (_distance(good.shape, target.center) >= 0.5 * fwhm)
    own = np.where(mask, model, image)[sources.labels == target.row + 1].sum()
    return Crowd(
        mask,
        detected=target.row >= 0,
        blended=bool(blended or not beside.all()),
        n_neighbors=int(beside.sum()),
        nearest=float(distance[beside].min()) if beside.any() else np.nan,
        flux_ratio=float((image - model)[mask].sum() / max(own, 1e-6)) if target.row >= 0 else np.nan,
    )


# ---- the galaxy


def _target_in(image: NDArray, good: NDArray[np.bool_], width: float, told: bool) -> tuple[_Sources, _Target]:
    """The sources of an image and the one in its middle.

    One that is too faint is looked for in wider smoothed images, too, and one beside a brighter source in a sharper.
    """
    middle, reach = (np.array(image.shape[::-1]) - 1) / 2, max(REACH, 2.355 * width)
    first = sources = _sources(image, good, width, told)
    row = _row_of_middle(sources, middle, reach)
    for factor in (SHARPER,) if _label_of_middle(first.labels) else WIDER:
        if row < 0:
            sources = _sources(image, good, factor * width, told)
            row = _row_of_middle(sources, middle, reach)
            if factor < 1 and row >= 0 and sources.table["peak"][row] < BRIGHT * sources.noise:
                row = -1  # a peak of the noise, in the light of another
    if row < 0:
        return first, _Target(-1, middle, np.eye(2))
    return sources, _Target(row, _center(sources, row), _ellipse(sources.table[row]))


def _sources(image: NDArray, good: NDArray[np.bool_], width: float, told: bool) -> _Sources:
    light = ndimage.gaussian_filter(image, width, mode="constant", truncate=3)
    if not good.all():
        covered = ndimage.gaussian_filter(good.astype(np.float32), width, mode="constant", truncate=3)
        light = np.where(good, light / np.maximum(covered, 1e-3), 0)
    noise = _noise(light, good, width, told)
    return _Sources(light, noise, width, *_extracted(light, np.full_like(light, noise), good, OF_TARGET))


def _noise(light: NDArray, good: NDArray[np.bool_], width: float, told: bool) -> float:
    """Noise of a smoothed image, from what differs when it is turned by 180 degrees: correlated noise has more."""
    pairs = good & good[::-1, ::-1]
    odd = (light - light[::-1, ::-1])[pairs] * 0.5**0.5
    measured = float(robust_sigma(odd, about=0)) if len(odd) else 0.0
    white = 1 / max(2 * math.sqrt(math.pi) * width, 1)
    faintest = 1e-6 * float(abs(light).max()) + float(np.finfo(np.float32).tiny)  # images may be free of noise
    return max(min(max(measured, white), 1.0) if told else measured, faintest)


def _extracted(image: NDArray, error: NDArray, good: NDArray[np.bool_], threshold: float) -> tuple[NDArray, NDArray]:
    import sep

    if not (good & (image > threshold * error)).any():
        return _NONE, np.zeros(image.shape, dtype=np.int32)
    with _room_for(image.size):
        return sep.extract(
            np.ascontiguousarray(image, dtype=np.float32),
            threshold,
            err=np.ascontiguousarray(error, dtype=np.float32),
            mask=~good,
            minarea=LEAST_PIXELS,
            filter_kernel=None,  # smoothed already
            deblend_cont=CONTRAST,
            segmentation_map=True,
        )


@contextmanager
def _room_for(n_pixels: int):
    """Room that sep makes: its own 300,000 pixels take longer than to look. It is the same for all, so put back."""
    import sep

    with _ROOM:
        usual = sep.get_extract_pixstack()
        sep.set_extract_pixstack(n_pixels + SPARE_ROOM)
        try:
            yield
        finally:
            sep.set_extract_pixstack(usual)


def _middle(image: NDArray) -> NDArray:
    """The one, two or four pixels in the middle."""
    height, width = image.shape
    return image[(height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1]


def _label_of_middle(labels: NDArray) -> int:
    return int(_middle(labels).max())


def _row_of_middle(sources: _Sources, middle: NDArray, reach: float) -> int:
    """The source that peaks within reach of the middle, or that a peak of the noise has drawn away; -1 if none."""
    table = sources.table
    distance = np.hypot(table["xpeak"] - middle[0], table["ypeak"] - middle[1])
    if len(table) and distance.min() < reach:
        return int(distance.argmin())
    label = _label_of_middle(sources.labels)
    if not label:
        return -1
    peak = sources.light[table["ypeak"][label - 1], table["xpeak"][label - 1]]
    return label - 1 if peak - _middle(sources.light).max() < 5 * sources.noise else -1


def _center(sources: _Sources, row: int) -> NDArray:
    """Gaussian-weighted center (x, y) of a source; its peak if that leads away."""
    import sep

    peak = np.array([sources.table["xpeak"][row], sources.table["ypeak"][row]], dtype=float)
    x, y, _ = sep.winpos(sources.light, [peak[0]], [peak[1]], [1.5 * sources.width])
    center = np.array([x[0], y[0]])
    return center if np.hypot(*(center - peak)) < 2.355 * sources.width else peak


def _ellipse(source) -> NDArray:
    """Matrix (2, 2) that makes a source round and leaves its area."""
    ratio = max(float(source["b"]) / max(float(source["a"]), 1e-6), LEAST_AXIS_RATIO)
    cos, sin = math.cos(source["theta"]), math.sin(source["theta"])
    return np.diag([ratio**0.5, ratio**-0.5]) @ np.array([[cos, sin], [-sin, cos]])


# ---- what is not symmetric


def _symmetric(sources: _Sources, target: _Target, good: NDArray[np.bool_]) -> NDArray:
    """The galaxy, at least 0: the image turned about its center; rings where that is not known, or another's."""
    other = (sources.labels > 0) & (sources.labels != target.row + 1)
    if target.row < 0:
        other &= sources.labels != _label_of_middle(sources.labels)
    known = good & ~other
    height, width = good.shape
    turned = _mirror(height, target.center[1]) @ sources.light @ _mirror(width, target.center[0]).T
    seen = _mirrored(known, target.center)
    if not seen.all():
        ring = _rings(good.shape, target.center, target.ellipse).ravel()
        count = np.bincount(ring, known.ravel())
        mean = np.bincount(ring, np.where(known, sources.light, 0).ravel()) / np.maximum(count, 1)
        turned = np.where(seen, turned, mean[ring].reshape(good.shape))
    return np.maximum(turned, 0)


def _mirror(n: int, center: float) -> NDArray[np.float32]:
    """Matrix (n, n) that mirrors a line of pixels about a center, by cubic convolution (Keys 1981, ASSP 29, 1153)."""
    opposite = np.clip(2 * center - np.arange(n), 0, n - 1)
    x = np.abs(opposite[:, None] - np.arange(n))
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(np.float32)


def _mirrored(known: NDArray[np.bool_], center) -> NDArray[np.bool_]:
    """Whether the pixel opposite to each is known."""
    for axis, middle in ((1, center[0]), (0, center[1])):
        n = known.shape[axis]
        opposite = round(2 * middle) - np.arange(n)
        inside = (opposite >= 0) & (opposite < n)
        known = known.take(opposite.clip(0, n - 1), axis) & (inside if axis else inside[:, None])
    return known


def _peaks(sources: _Sources, target: _Target, table: NDArray) -> NDArray[np.bool_]:
    """Whether what exceeds the galaxy is a source of its own, or has a peak in the image, as no end of a bar has."""
    x, y = table["xpeak"], table["ypeak"]
    if not len(table):
        return np.zeros(0, dtype=bool)
    if target.row < 0:  # what is in the middle cannot be told from the galaxy
        label = _label_of_middle(sources.labels)
        return (sources.labels[y, x] != label) | (label == 0)
    label = target.row + 1
    peak = (sources.light == ndimage.maximum_filter(sources.light, 3)) & (sources.labels > 0)
    near = ndimage.maximum_filter(peak, 2 * max(1, round(sources.width)) + 1)
    return (sources.labels[y, x] != label) | near[y, x]


def _traced(excess: NDArray, good: NDArray[np.bool_], source) -> NDArray:
    """Light of a neighbor by its distance: the median along ellipses, which never rises outward."""
    center = np.array([source["xpeak"], source["ypeak"]])
    ring = _rings(good.shape, center, _ellipse(source))
    values, of_ring = excess[good], ring[good]
    order = np.argsort(values)
    order = order[np.argsort(of_ring[order], kind="stable")]
    count = np.bincount(of_ring, minlength=ring.max() + 1)
    first = np.cumsum(count) - count
    median = np.where(count > 0, values[order][np.minimum(first + count // 2, len(values) - 1)], np.inf)
    return np.minimum.accumulate(median)[ring]


def _rings(shape: tuple[int, ...], center: NDArray, ellipse: NDArray) -> NDArray[np.int16]:
    """Ring of one pixel that each pixel is in."""
    x, y = np.arange(shape[1]) - center[0], np.arange(shape[0])[:, None] - center[1]
    across, down = (row[0] * x + row[1] * y for row in ellipse)
    return np.sqrt(across**2 + down**2).astype(np.int16)


def _distance(shape: tuple[int, ...], center: NDArray) -> NDArray:
    return np.hypot(np.arange(shape[1]) - center[0], np.arange(shape[0])[:, None] - center[1])
