"""Images that know their camera, as a network is told of it: in units of the noise, some rows at a time."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import torch
from astropy import units as u
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from .._camera import PSF_ERROR, SKY_ERROR
from .._cutouts import Cutouts
from .._estimates import row_numbers
from .._images import release_pages
from ..networks import as_images, cast_pixels, looked_at
from ..simulation import render_stars
from ..targets import LogTransform
from ._targets import TargetCodec

NEEDED = ("psf", "noise")
BATCH = 256
MAX_STAMP = 63  # pixels along a side of a star that is drawn
LENGTHS = re.compile(r"radius|axis$|^(r_?e|r_?eff|r_?50|hlr)$", re.IGNORECASE)  # by name


class CameraImages:
    """`Cutouts` with point-spread function and noise, as an array of images ``(n, H, W, C)``.

    Parameters
    ----------
    cutouts : Cutouts
    image_shape : tuple of int (H, W, C)
    """

    dtype = np.dtype(np.float64)  # as which rows are compared

    def __init__(self, cutouts: Cutouts, image_shape: tuple[int, int, int]):
        self.cutouts, self.shape = cutouts, (len(cutouts), *image_shape)
        self._latest: tuple[Any, dict[str, NDArray]] = (None, {})
        self._units = np.full((len(cutouts), 2), np.nan)  # those that are known already

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows) -> CameraImages:
        some = CameraImages(self.cutouts[rows], self.shape[1:])
        some._units = self._units[rows]  # of a slice a view: what is measured for it is known here too
        return some

    def missing(self) -> NDArray[np.bool_]:
        """Rows without a single good pixel, or whose point-spread function, noise or pixel scale is not known."""
        missing = self.cutouts.missing() | ~np.isfinite(self._pixel_scale())
        for rows in gen_batches(len(self), BATCH):
            missing[rows] |= ~self[rows]._known()
        return missing

    def _known(self) -> NDArray[np.bool_]:
        known = np.isfinite(self.noise().sum(axis=1))
        if not isinstance(self.cutouts.psf, np.ndarray):  # objects are known, and slow to draw
            return known
        return known & np.isfinite(self.stamps()).all(axis=(1, 2, 3))

    def inputs(self, dtype, rows: NDArray | None = None) -> dict[str, NDArray]:
        """What an `ImageNetwork` is called with, as arrays of `dtype`.

        ``pixels`` (n, H, W, C) in units of the noise, bad ones filled, and what `galestim.networks.Camera` has.
        """
        if self._latest[0] != dtype:
            self._latest = dtype, self._inputs(dtype, rows)
        return self._latest[1]

    def _inputs(self, dtype, rows) -> dict[str, NDArray]:
        known = self._known()
        noise = np.where(known[:, None], self.noise(), 1)
        _refuse_no_noise(noise, rows)
        pixels = np.asarray(self.cutouts).reshape(self.shape)  # NaN where bad
        scaled, good = _in_noise(pixels, noise, known, dtype, rows)
        told = {name: np.array(values, dtype=dtype, order="C") for name, values in self._told(known, noise).items()}
        if good is not None:
            told["good"] = good
        self._release_pages()
        images = as_images(torch.from_numpy(scaled), torch.float32)
        mask = None if good is None else torch.from_numpy(good)
        images, look = looked_at(images, torch.from_numpy(told["psf"]).float(), mask)
        if mask is not None:
            scaled = images.movedim(1, -1).numpy().astype(dtype)
        own = np.column_stack([self._pixel_scale(), noise.mean(axis=1)])
        self._units[:] = np.log(look[:, 4:].double().numpy() * own)
        return {"pixels": scaled, "look": look.numpy().astype(dtype), **told}

    def _told(self, known: NDArray[np.bool_], noise: NDArray) -> dict[str, NDArray]:
        cutouts, n = self.cutouts, len(self)
        stamps = np.where(known[:, None, None, None], self.stamps(), 1)  # whatever: such rows are missing
        return {
            "psf": np.moveaxis(stamps, 3, 1),
            "photons": 1 / (_or(np.inf, cutouts.gain, n)[:, None] * noise),
            "sky_error": _or(SKY_ERROR, cutouts.sky_error, n),
            "psf_error": _or(PSF_ERROR, cutouts.psf_error, n),
        }

    def _release_pages(self) -> None:
        for array in (self.cutouts.images, self.cutouts.mask, self.cutouts.noise, self.cutouts.psf):
            if isinstance(array, np.ndarray):
                release_pages(array)

    def stamps(self) -> NDArray:
        """Point-spread functions as images ``(n, h, w, C)`` of stars."""
        psf, n, n_channels = self.cutouts.psf, len(self), self.shape[3]
        if not isinstance(psf, np.ndarray):
            scale = self.cutouts.pixel_scale
            npix = min(MAX_STAMP, *self.shape[1:3]) // 2 * 2 + 1
            one = hasattr(psf, "transform") and np.ndim(scale) == 0
            psf = render_stars(npix=npix, pixel_scale=scale, psf=psf if one or isinstance(psf, list) else [psf] * n)
            psf = psf.numpy()
        psf = psf[None] if psf.ndim == 2 else psf
        psf = psf[..., None] if psf.ndim == 3 else psf
        return np.broadcast_to(psf, (n, *psf.shape[1:3], n_channels))

    def noise(self) -> NDArray[np.float64]:
        """Standard deviation of the sky ``(n, C)``: of images of it, the median of the good pixels."""
        noise, n_channels = np.asarray(self.cutouts.noise, dtype=np.float64), self.shape[3]
        if noise.ndim > 2:
            each = np.where(np.isfinite(noise), noise, np.nan).reshape(len(self), -1, n_channels)
            with warnings.catch_warnings():  # a missing cutout has no pixel
                warnings.simplefilter("ignore", RuntimeWarning)
                noise = np.nanmedian(each, axis=1)
        return np.broadcast_to(noise if noise.ndim == 2 else noise.reshape(-1, 1), (len(self), n_channels))

    @property
    def on_sky(self) -> bool:
        """Whether radii are in arcsec, not in pixels."""
        return self.cutouts.pixel_scale is not None

    def _pixel_scale(self) -> NDArray[np.float64]:
        scale = self.cutouts.pixel_scale
        return np.broadcast_to(1.0 if scale is None else scale, len(self))

    def units(self) -> NDArray[np.float64]:
        """Logarithms ``(n, 2)`` of a rough half-light radius [arcsec, or pixels] and flux [image units] of each.

        What is to be inferred is learned in these units, so that it is about 1 whatever the camera.
        """
        for rows in gen_batches(len(self), BATCH):
            if not np.isfinite(self._units[rows]).all():
                (self[rows] if len(self) > BATCH else self).inputs(np.float32)  # all of a batch: kept for the network
        return self._units


def _in_noise(
    pixels: NDArray, noise: NDArray, known: NDArray[np.bool_], dtype, rows
) -> tuple[NDArray, NDArray | None]:
    """Images ``(n, H, W, C)`` in units of their noise, and their good pixels ``(n, H, W)``; None if all are.

    In one pass, without a copy in double precision, unless a pixel is bad or too large.
    """
    if known.all():
        with np.errstate(all="ignore"):  # what is not finite is looked at below
            scaled = np.divide(
                pixels, noise[:, None, None], out=np.empty(pixels.shape, dtype), dtype=np.float64, casting="same_kind"
            )
            if np.isfinite(scaled.sum()):
                return scaled, None
    good = np.isfinite(pixels).all(axis=3) & known[:, None, None]
    scaled = cast_pixels(np.where(good[..., None], pixels, 0) / noise[:, None, None], dtype, rows)
    return scaled, None if good.all() else good


def warn_of_unknown_cameras(X: Cutouts) -> None:
    """Warn of galaxies with an image that are missing because a part of their camera is not known."""
    stars = X.psf[:, X.psf.shape[1] // 2, X.psf.shape[2] // 2] if np.ndim(X.psf) > 2 else None
    noise = X.noise if np.ndim(X.noise) <= 2 else None  # of a pixel without noise it is the image that is bad
    for what, values in {"point-spread function": stars, "noise": noise, "pixel scale": X.pixel_scale}.items():
        rows = (
            np.flatnonzero(np.isnan(values).reshape(len(X), -1).any(axis=1)) if np.ndim(values) else np.empty(0, int)
        )
        rows = rows[~X[rows].missing()] if len(rows) else rows
        if len(rows):
            warnings.warn(
                f"The {what} of {row_numbers(rows)} is not known (NaN): treated as missing cutouts.", stacklevel=5
            )


def _refuse_no_noise(noise: NDArray, rows: NDArray | None) -> None:
    silent = (noise == 0).any(axis=1)
    if silent.any():
        i = int(np.argmax(silent))
        raise ValueError(
            f"noise is 0 in row {i if rows is None else rows[i]}; expected it above 0, as images are seen in units "
            "of it. NaN is noise that is not known."
        )


def _or(default: float, values, n: int) -> NDArray[np.float64]:
    """Numbers ``(n,)``; the default for what is not known."""
    values = np.broadcast_to(np.nan if values is None else values, n)
    return np.where(np.isnan(values), default, values)


def knows_camera(X) -> bool:
    """Whether `X` are cutouts with all that a network is told of.

    Warns
    -----
    UserWarning
        If they know a part of it, which then is of no use.
    """
    if not isinstance(X, Cutouts):
        return False
    known = [name for name in NEEDED if getattr(X, name) is not None]
    if len(known) == 1 and X.stretched:
        warnings.warn(
            "the cutouts are stretched, no longer linear in the flux, so the network is not told of their camera; "
            "leave out the Normalizer, or take Normalizer('scale').",
            stacklevel=7,
        )
    elif len(known) == 1:
        other = NEEDED[1 - NEEDED.index(known[0])]
        warnings.warn(
            f"the cutouts know {known[0]} but not {other}, so the network is not told of their camera; give both.",
            stacklevel=7,
        )
    return len(known) == 2


def camera_images(X, image_shape: tuple[int, int, int], name: str) -> CameraImages:
    """`X` as `CameraImages`; a ValueError if it has no rows, knows too little of a camera, or is stretched."""
    if isinstance(X, Cutouts) and X.stretched:
        raise ValueError(
            "X is stretched, no longer linear in the flux, so its noise and point-spread function are not those of "
            "its pixels. Leave out the Normalizer, or take Normalizer('scale')."
        )
    if not isinstance(X, Cutouts) or X.psf is None or X.noise is None:
        got = repr(X) if isinstance(X, Cutouts) else f"{type(X).__name__} without a camera"
        raise ValueError(
            f"X is {got}; this {name} was fitted on Cutouts that know their psf and noise. Pass "
            "Cutouts(images, psf=…, noise=…), or give psf= and noise= (variance=, weight=) to their FitsMosaic."
        )
    if not len(X):
        raise ValueError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required by {name}."
        )
    if not isinstance(X.psf, np.ndarray) and X.pixel_scale is None:
        raise ValueError(
            "psf is an object, whose width is in arcsec, but pixel_scale is not known; pass pixel_scale=."
        )
    return CameraImages(X, image_shape)


def units_of_targets(codec: TargetCodec, units: list[str | None] | None) -> NDArray[np.float64]:
    """Which of the `CameraImages.units` a target is learned in: ``(2, k)``, 1 for yes.

    Lengths on the sky are targets named as a radius or semi-axis, but for those with a unit that is no angle; fluxes
    are named so. Both only if it is their logarithm that is learned.
    """
    found = np.zeros((2, len(codec.names)))
    for i, (name, transform) in enumerate(zip(codec.names, codec.transforms)):
        if isinstance(transform, LogTransform):
            unit = None if units is None or not units[i] else u.Unit(units[i])
            on_sky = unit is None or unit in (u.pix, u.dimensionless_unscaled) or unit.is_equivalent(u.rad)
            length = bool(LENGTHS.search(name))  # so is flux_radius
            found[:, i] = length and on_sky, "flux" in name.lower() and not length
    return found
