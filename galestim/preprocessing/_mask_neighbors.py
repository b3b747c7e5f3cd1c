"""Masks of light that belongs to other objects."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from astropy import units as u
from astropy.table import Table
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted

from .._cutouts import Cutouts
from .._images import input_ndim, missing_rows, release_pages, row_chunks
from .._io.memmap import empty_array
from .._light import sky_noise
from .._sklearn import Interval
from ._base import CACHE_BYTES, FlatRowNames, ImageTransformer
from ._neighbors import Crowd, Search, neighbors_of, require_sep

TO_SIGMA = 1 / 2.3548


class NeighborMasker(FlatRowNames, OneToOneFeatureMixin, ImageTransformer):
    """Mask the light of other objects; the galaxy is what is at the center.

    Pixels are left as they are, and the mask says which of them are another's. An estimator that is told the camera
    fills these, and is told how much it filled. Needs sep: ``pip install "galestim[masks]"``.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    threshold : float, default=4.0
        How far a pixel of a neighbor rises at least above the galaxy, in the image smoothed as the point-spread
        function is [σ of the noise there].
    contrast : float, default=0.5
        And how far in units of the galaxy's own light there: less are its own arms and knots.
    depth : float, default=0.2
        Masks end where the light of the neighbor is less than this [σ of the noise of a pixel].
    share : float, default=0.1
        And where it is less than this share of the galaxy's own light.
    psf_fwhm : float, default=3.0
        Full width at half maximum of the point-spread function [pixels], of images that do not know it.
    n_jobs : int, default=None
        Number of processes; None means 1, and -1 one for each core.
    image_shape : (H, W, C) or (H, W), default=None
        How to unfold flat rows; not needed for images. Flat rows come out flat.

    Attributes
    ----------
    image_shape_ : tuple of int (H, W, C)
        Shape of the images seen in `fit`.
    n_features_in_ : int
        ``H·W·C``.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Names of the columns seen in `fit`; only if `X` was a data frame.

    Raises
    ------
    ImportError
        If sep is not installed.

    Notes
    -----
    Of each image:

    1. Channels are added in units of their noise, and smoothed with a Gaussian as wide as the point-spread function.
       The noise of that is measured, by what differs when the image is turned by 180 degrees: it may be correlated.
    2. sep finds and deblends the sources. The galaxy is the one that peaks within 4 pixels of the center (within a
       FWHM, if that is more), or that a peak of the noise has drawn away; one that is too faint is looked for in
       images smoothed two and four times as wide.
    3. The image turned by 180 degrees about the galaxy's center is subtracted, and where that is of another source,
       masked or outside, the mean along the galaxy's ellipses. Two arms, or a bar, take each other away.
    4. What sep finds in the rest is a neighbor, if it peaks a FWHM or more from the center, and does so in the image
       as well. Its light is traced outward, by medians along ellipses, and masked down to `depth` and `share`.

    Within half a FWHM of the center nothing is masked. What peaks within one, or is not a peak of its own beside a
    brighter one, is reported as blended and not masked; a neighbor exactly on the center is not seen at all. Light
    that is symmetric is the galaxy's own: of two equal neighbors that lie opposite of each other both are found only
    if they are deblended from the galaxy.

    Pixels that are bad already stay so. Stretched images are refused: mask, then stretch. It needs no `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim import Cutouts
    >>> from galestim.preprocessing import NeighborMasker
    >>> y, x = np.indices((64, 64)) - 31.5
    >>> galaxy, neighbor = 50 * np.exp(-np.hypot(x, y) / 4), 20 * np.exp(-np.hypot(x - 18, y - 5) / 2)
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> cutouts = Cutouts((galaxy + neighbor + noise)[None], noise=1.0)
    >>> masker = NeighborMasker()
    >>> mask = masker.transform(cutouts).mask[0]
    >>> bool(neighbor[mask].sum() > 0.9 * neighbor.sum()), bool(galaxy[mask].sum() < 0.05 * galaxy.sum())
    (True, True)
    >>> report = masker.report(cutouts)
    >>> int(report["n_neighbors"][0]), bool(abs(report["nearest"][0] - np.hypot(18, 5)) < 1)
    (1, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        **ImageTransformer._parameter_constraints,
        "threshold": [Interval(Real, 0, None, closed="neither")],
        "contrast": [Interval(Real, 0, None, closed="left")],
        "depth": [Interval(Real, 0, None, closed="neither")],
        "share": [Interval(Real, 0, None, closed="left")],
        "psf_fwhm": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self, *, threshold=4.0, contrast=0.5, depth=0.2, share=0.1, psf_fwhm=3.0, n_jobs=None, image_shape=None
    ):
        self.threshold = threshold
        self.contrast = contrast
        self.depth = depth
        self.share = share
        self.psf_fwhm = psf_fwhm
        self.n_jobs = n_jobs
        self.image_shape = image_shape

    def transform(self, X):
        """Mask the neighbors.

        Parameters
        ----------
        X : Cutouts, or array-like of shape (n_samples, H, W, C), (n_samples, H, W) or (n_samples, H·W·C)
            Linear, sky-subtracted images, of the shape seen in `fit`, if there was one.

        Returns
        -------
        Cutouts or ndarray
            The same images with a `mask`; all that is known of their camera stays. Flat rows come out as such, NaN
            where masked.

        Raises
        ------
        ValueError
            If a pixel is infinite, images have another shape than in `fit`, or they are stretched.
        """
        return super().transform(self._as_cutouts(X) if input_ndim(X) > 2 else X)

    def report(self, X):
        """Tell what is beside each galaxy.

        Parameters
        ----------
        X : Cutouts, or array-like of shape (n_samples, H, W, C), (n_samples, H, W) or (n_samples, H·W·C)
            As `transform` takes them.

        Returns
        -------
        astropy.table.Table of n rows
            - ``masked``: share of the pixels that is masked as light of others;
            - ``n_neighbors``: how many there are;
            - ``nearest`` [pix]: distance of the nearest from the galaxy; NaN if there is none;
            - ``flux_ratio``: light of the neighbors, where it is masked, over that of the galaxy; NaN if it is not
              detected;
            - ``detected``: whether there is a galaxy at the center that is a source of its own;
            - ``blended``: whether there is light at the center that is another's and not masked.

            All is 0, NaN or False of missing cutouts.

        Raises
        ------
        ValueError
            As `transform` does.
        """
        check_is_fitted(self)
        cutouts = self._as_cutouts(X)
        crowds = [row for _, found in self._crowds(cutouts) for row in found]
        table = Table({"masked": np.array([crowd.mask.mean() for crowd in crowds])})
        for name in ("n_neighbors", "nearest", "flux_ratio", "detected", "blended"):
            table[name] = np.array([getattr(crowd, name) for crowd in crowds])
        table["nearest"].unit = u.pix
        return table

    def _output_shape(self, shape):
        return shape

    def _transform_into(self, out, images):
        """Of flat rows: NaN where masked."""
        out[...] = np.where(self._mask(Cutouts(images)), np.nan, images)

    def _transform_cutouts(self, cutouts):
        self._images_to_transform(np.asarray(cutouts[:1]))
        return cutouts.replace(mask=self._mask(cutouts))

    def _as_cutouts(self, X) -> Cutouts:
        if isinstance(X, Cutouts):
            return X
        images = self._images_to_transform(X)
        return Cutouts(images[..., 0] if input_ndim(X) == 3 else images)

    def _mask(self, cutouts: Cutouts) -> NDArray[np.bool_]:
        """What was bad already and what is another's: of the shape of the images."""
        mask = empty_array(cutouts.shape, bool)
        for rows, crowds in self._crowds(cutouts):
            found = np.stack([crowd.mask for crowd in crowds])
            mask[rows] = found if cutouts.ndim == 3 else found[..., None]
            if cutouts.mask is not None:
                mask[rows] |= cutouts.mask[rows]
            release_pages(mask)
        return mask

    def _crowds(self, cutouts: Cutouts) -> Iterator[tuple[slice, list[Crowd]]]:
        """Rows and what is beside each galaxy, some at a time."""
        require_sep()
        if cutouts.stretched:
            raise ValueError(
                "the cutouts are stretched, no longer linear in the flux, so light and noise cannot be told apart; "
                "put NeighborMasker in front of the Normalizer."
            )
        search = Search(self.threshold, self.contrast, self.depth, self.share)
        parts = list(row_chunks(cutouts.images, CACHE_BYTES // 2))
        found = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_crowds_of)(_released(cutouts, rows), rows.start, self.psf_fwhm, search) for rows in parts
        )
        yield from zip(parts, found)


def _released(cutouts: Cutouts, rows: slice) -> Cutouts:
    for pixels in (cutouts.images, cutouts.mask, cutouts.noise, cutouts.psf):
        if isinstance(pixels, np.ndarray):
            release_pages(pixels)
    return cutouts[rows]


def _crowds_of(cutouts: Cutouts, first_row: int, psf_fwhm: float, search: Search) -> list[Crowd]:
    images = np.asarray(cutouts)
    missing_rows(images, allow_partial=True, first_row=first_row)  # raises if a pixel is infinite
    images = images.reshape(*cutouts.shape[:3], -1)
    good, told = np.isfinite(images).all(axis=3), cutouts.noise is not None
    noise = _noise_of(cutouts, images)
    light = np.where(good[..., None], images / noise[:, None, None], 0).sum(axis=3) / images.shape[3] ** 0.5
    photons = _photons(cutouts, noise)
    widths = _psf_widths(cutouts, psf_fwhm)
    return [
        neighbors_of(image, known, width, search, photons=of_light, told=told)
        for image, known, width, of_light in zip(light, good, widths, photons)
    ]


def _noise_of(cutouts: Cutouts, images: NDArray) -> NDArray:
    """Noise of each galaxy and channel ``(n, C)``: of images of it the median; measured where it is not known."""
    n, channels = len(images), images.shape[3]
    if cutouts.noise is None:
        return sky_noise(np.nan_to_num(images))
    noise = np.asarray(cutouts.noise, dtype=np.float64)
    if noise.ndim > 2:
        each = np.where(np.isfinite(noise), noise, np.nan).reshape(n, -1, channels)
        noise = np.nanmedian(np.where(np.isnan(each).all(axis=1, keepdims=True), 1.0, each), axis=1)
    noise = np.broadcast_to(noise if noise.ndim == 2 else noise.reshape(-1, 1), (n, channels))
    usable = np.isfinite(noise) & (noise > 0)
    return noise if usable.all() else np.where(usable, noise, sky_noise(np.nan_to_num(images)))


def _photons(cutouts: Cutouts, noise: NDArray) -> NDArray:
    """Variance that a pixel's light adds to its noise, in units of the noise ``(n,)``."""
    gain = np.broadcast_to(np.inf if cutouts.gain is None else cutouts.gain, len(noise))
    return np.nan_to_num(1 / (gain * noise.mean(axis=1)) / noise.shape[1] ** 0.5)


def _psf_widths(cutouts: Cutouts, psf_fwhm: float) -> NDArray:
    """σ of the point-spread function of each galaxy [pixels]."""
    psf, n = cutouts.psf, len(cutouts)
    if isinstance(psf, np.ndarray):
        widths = stamp_widths(psf.reshape(-1, *psf.shape[psf.ndim > 2 :][:2], psf.shape[3] if psf.ndim == 4 else 1))
    else:
        fwhm = [getattr(one, "fwhm", np.nan) for one in (psf if isinstance(psf, list) else [psf])]
        scale = np.nan if cutouts.pixel_scale is None else cutouts.pixel_scale
        widths = np.sqrt((TO_SIGMA * np.asarray(fwhm) / scale) ** 2 + 1 / 12)
    widths = np.where(np.isfinite(widths), widths, TO_SIGMA * psf_fwhm)
    return np.broadcast_to(np.clip(widths, 0.5, 0.25 * min(cutouts.shape[1:3]) + 0.5), n)


def stamp_widths(stamps: NDArray) -> NDArray[np.float64]:
    """σ [pixels] of stars in stamps ``(n, h, w, C)``: of Gaussians as wide where they have a tenth of their peak.

    Noise in the wings does not count.

    Examples
    --------
    >>> y, x = np.indices((21, 21)) - 10
    >>> stamp_widths(np.exp(-(x**2 + y**2) / (2 * 1.5**2))[None, ..., None]).round(2)
    array([1.54])
    """
    stars = stamps.mean(axis=3, dtype=np.float64)
    peak = stars.max(axis=(1, 2), keepdims=True)
    core = np.where(stars > 0.1 * peak, stars, 0)
    with np.errstate(invalid="ignore"):  # stamps that are not known
        area = core.sum(axis=(1, 2)) ** 2 / (core**2).sum(axis=(1, 2))
    return np.sqrt(0.99 / 0.81 * area / (4 * np.pi))
