"""Images of galaxies together with what is known of the camera that saw each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._camera import NUMBERS, PSF_ERROR, SKY_ERROR, as_images, as_mask, as_noise, as_numbers, as_psf, as_wcs
from ._images import release_pages, row_chunks
from ._io.cutout_files import read_arrays, write_arrays
from ._masked import as_index

ARRAYS = ("noise", "mask", "psf")
CONTEXT = (*ARRAYS, *NUMBERS, "wcs")


class Cutouts:
    """Images of galaxies that know their camera.

    To whatever takes an array of images this is one: it has ``shape``, ``dtype`` and ``len``, and
    ``numpy.asarray`` gives the images, NaN where a pixel is masked. Taking rows, as scikit-learn's splits do, gives
    `Cutouts` of these rows. The transformers of `galestim.preprocessing` keep what is known true.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : array-like of shape (n, H, W) or (n, H, W, C)
        Linear, sky-subtracted images. A memmap is not copied; the mask of a masked array joins `mask`. Values with a
        unit, here and below, are converted: `noise` to that of the images, all else to what stands in brackets.
    psf : array-like of shape (h, w), (n, h, w) or (n, h, w, C), PSF, or sequence of n PSF, default=None
        Point-spread function, one for all or one for each galaxy: images of stars on the pixels of `images`,
        centered, or objects such as `galestim.simulation.MoffatPSF`. A stamp that is NaN everywhere is not known.
    noise : float or array-like of shape (n,), (n, C) or of `images`, default=None
        Standard deviation σ of the noise of the sky in a pixel [image units]. A pixel with infinite or NaN noise is
        bad, as if it were masked.
    gain : float or array-like of shape (n,), default=None
        Electrons per image unit.
    mask : array-like of bool, of the shape of `images` or (n, H, W), default=None
        True is bad; what a bad pixel holds never matters. A galaxy with nothing but bad pixels is a missing cutout.
    pixel_scale : float or array-like of shape (n,), default=None
        Side of a pixel [arcsec].
    zero_point : float or array-like of shape (n,), default=None
        Magnitude of a flux of one image unit.
    wcs : sequence of n astropy.wcs.WCS, default=None
        Where each image lies on the sky.
    sky_error : float or array-like of shape (n,), default=0.1
        Standard deviation of the error of the sky's level, in units of `noise`.
    psf_error : float or array-like of shape (n,), default=0.02
        Standard deviation of the error of the point-spread function's width, as a share of it.
    stretched : bool, default=False
        Whether the images are no longer linear in the flux.

    Attributes
    ----------
    images : ndarray of shape (n, H, W) or (n, H, W, C)
    psf, noise, gain, mask, pixel_scale, zero_point, wcs, sky_error, psf_error, stretched
        As given, as arrays; None for what is not known.
    shape, dtype, ndim
        Those of the images.

    Raises
    ------
    ValueError
        If something has another shape than said above, is negative, or is neither finite nor said to be unknown.

    Warns
    -----
    UserWarning
        If a stamp of a point-spread function misses a sum of 1 by more than one percent. It is divided by its sum.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim import Cutouts
    >>> cutouts = Cutouts(np.ones((4, 8, 8)), noise=[0.1, 0.2, 0.1, 0.3], pixel_scale=0.2, zero_point=30.0)
    >>> cutouts
    Cutouts(4 images of (8, 8); noise, pixel_scale, zero_point)
    >>> cutouts[1:3].noise
    array([0.2, 0.1])
    """

    images: NDArray
    psf: Any
    noise: Any
    gain: Any
    mask: NDArray[np.bool_] | None
    pixel_scale: Any
    zero_point: Any
    wcs: list | None
    sky_error: Any
    psf_error: Any
    stretched: bool

    def __init__(
        self,
        images,
        *,
        psf=None,
        noise=None,
        gain=None,
        mask=None,
        pixel_scale=None,
        zero_point=None,
        wcs=None,
        sky_error=SKY_ERROR,
        psf_error=PSF_ERROR,
        stretched=False,
    ):
        self.images, hidden, unit = as_images(images)
        self.mask = as_mask(mask, hidden, self.shape)
        self.noise = as_noise(noise, self.shape, unit)
        self.psf = as_psf(psf, len(self))
        numbers = {"gain": gain, "pixel_scale": pixel_scale, "zero_point": zero_point}
        for name, values in {**numbers, "sky_error": sky_error, "psf_error": psf_error}.items():
            setattr(self, name, as_numbers(name, values, len(self)))
        self.wcs = as_wcs(wcs, len(self))
        self.stretched = bool(stretched)

    # ---- an array of images

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the images."""
        return self.images.shape

    @property
    def dtype(self) -> np.dtype:
        """That of the images."""
        return self.images.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions of the images: 3 or 4."""
        return self.images.ndim

    def __len__(self) -> int:
        return len(self.images)

    def __array__(self, dtype=None, copy=None):
        bad = self.bad_pixels()
        if bad is None:
            return np.array(self.images, dtype=dtype, copy=copy)
        if copy is False:
            raise ValueError("Cutouts with bad pixels have no array to share; expected copy=None or True.")
        images = np.array(self.images, dtype=np.result_type(self.dtype, np.float32))
        images[bad] = np.nan
        return images if dtype is None else images.astype(dtype, copy=False)

    def __getitem__(self, rows):
        which, *pixels = rows if isinstance(rows, tuple) else (rows,)
        if any(part is not Ellipsis and part != slice(None) for part in pixels):
            return np.asarray(self[which])[(slice(None), *pixels)]
        if isinstance(which, int | np.integer):
            return np.asarray(self[[which]])[0]
        which = which if isinstance(which, slice) else as_index(which)
        context = {name: _rows(value, which, name, len(self)) for name, value in self.context.items()}
        return _of(self.images[which], context, self.stretched)

    def __iter__(self) -> Iterator[NDArray]:
        return (self[row] for row in range(len(self)))

    def __repr__(self):
        known = [name for name, value in self.context.items() if value is not None and not name.endswith("_error")]
        of = f"{len(self)} images of {self.shape[1:]}"
        return f"Cutouts({'; '.join(filter(None, [of, ', '.join(known), 'stretched' if self.stretched else '']))})"

    # ---- what is known of them

    @property
    def context(self) -> dict[str, Any]:
        """What is known of the camera, by name."""
        return {name: getattr(self, name) for name in CONTEXT}

    def replace(self, images=None, **changes) -> Cutouts:
        """Make the same with other images, or with something else known of them.

        Parameters
        ----------
        images : array-like of shape (n, H, W) or (n, H, W, C), default=None
            None keeps the images.
        **changes
            Any other parameter.

        Returns
        -------
        Cutouts

        Examples
        --------
        >>> Cutouts(np.ones((2, 8, 8))).replace(gain=4.5).gain
        4.5
        """
        known = {**self.context, "stretched": self.stretched, **changes}
        return Cutouts(self.images if images is None else images, **known)

    def bad_pixels(self) -> NDArray[np.bool_] | None:
        """Find the pixels that are masked or have no finite noise.

        Returns
        -------
        ndarray of bool, of the shape of `images`, or None
            None if there are none.
        """
        bad = None if self.mask is None else self.mask
        if np.ndim(self.noise) > 2:
            unknown = ~np.isfinite(self.noise)
            bad = unknown if bad is None else bad | unknown
        return bad if bad is not None and bad.any() else None

    def missing(self) -> NDArray[np.bool_]:
        """Find the missing cutouts: images without a single good pixel.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        missing = np.zeros(len(self), dtype=bool)
        for rows in self.chunks():
            missing[rows] = np.isnan(np.asarray(self[rows])).all(axis=tuple(range(1, self.ndim)))
        return missing

    def chunks(self) -> Iterator[slice]:
        """Iterate over the rows, so many at a time that memory stays bounded.

        Yields
        ------
        slice
        """
        for rows in row_chunks(self.images):
            yield rows
            for pixels in (self.images, self.mask, self.noise, self.psf):
                if isinstance(pixels, np.ndarray):
                    release_pages(pixels)

    # ---- several, and files

    @classmethod
    def concatenate(cls, parts: Sequence[Cutouts]) -> Cutouts:
        """Put cutouts of one size one after the other, each with its own camera.

        Parameters
        ----------
        parts : sequence of Cutouts
            All know the same of their camera; those without a `mask` have no masked pixel.

        Returns
        -------
        Cutouts

        Raises
        ------
        ValueError
            If one knows what another does not, or images or stamps differ in size.

        Examples
        --------
        >>> near, far = Cutouts(np.ones((2, 8, 8)), noise=0.1), Cutouts(np.ones((1, 8, 8)), noise=0.3)
        >>> Cutouts.concatenate([near, far]).noise
        array([0.1, 0.1, 0.3])
        """
        parts = list(parts)
        if not parts or not all(isinstance(part, Cutouts) for part in parts):
            raise TypeError(f"got {[type(part).__name__ for part in parts]}; expected a list of one or more Cutouts.")
        if any(part.mask is not None for part in parts):
            parts = [part if part.mask is not None else part.replace(mask=_nothing(part.shape)) for part in parts]
        for name in (*CONTEXT, "stretched"):
            known = {part.stretched if name == "stretched" else getattr(part, name) is not None for part in parts}
            if len(known) > 1:
                raise ValueError(f"{name} is known in some of the cutouts only; expected all or none to have it.")
        joined = {name: _joined(name, [(getattr(part, name), len(part)) for part in parts]) for name in CONTEXT}
        return cls(_stacked("images", [part.images for part in parts]), **joined, stretched=parts[0].stretched)

    def write(self, path, *, overwrite=False):
        """Write the images and all that is known of them to a file.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.fits``, ``.h5`` or ``.hdf5``, and is written whole or not at all.
        overwrite : bool, default=False
            Whether a file of this name is replaced.

        Raises
        ------
        FileExistsError
            If there is a file of this name.
        ValueError
            If the name ends otherwise, or point-spread functions are objects: files hold stamps.
        """
        if self.psf is not None and not isinstance(self.psf, np.ndarray):
            raise ValueError("psf holds objects, which files cannot; give the point-spread functions as stamps.")
        headers = None if self.wcs is None else [wcs.to_header_string(relax=True) for wcs in self.wcs]
        arrays = {name: value for name, value in self.context.items() if name != "wcs" and value is not None}
        write_arrays(path, {"images": self.images, **arrays}, headers, self.stretched, overwrite)

    @classmethod
    def read(cls, path) -> Cutouts:
        """Read what `write` wrote.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        Cutouts

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it was not written by `write`, or is damaged.
        """
        arrays, wcs, stretched = read_arrays(path)
        if unknown := arrays.keys() - {"images", *ARRAYS, *NUMBERS}:
            raise ValueError(f"{path} holds {sorted(unknown)}; expected a file that `Cutouts.write` wrote.")
        try:
            return cls(arrays.pop("images"), **arrays, wcs=wcs, stretched=stretched)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no cutouts: {error} Expected a whole file that `write` wrote.") from error


# ---- rows, and several


def _of(images: NDArray, context: dict[str, Any], stretched: bool) -> Cutouts:
    """Cutouts of what was checked before."""
    made = object.__new__(Cutouts)
    vars(made).update(context, images=images, stretched=stretched)
    return made


def _nothing(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of no pixel, without memory."""
    return np.broadcast_to(np.False_, shape)


def _is_per_galaxy(name: str, value) -> bool:
    return np.ndim(value) > (2 if name == "psf" else 0) if isinstance(value, np.ndarray) else isinstance(value, list)


def _rows(value, which, name: str, n: int):
    """The part of `value` that is of the rows `which`."""
    if not _is_per_galaxy(name, value):
        return value
    return value[which] if isinstance(value, np.ndarray) else [value[i] for i in np.arange(n)[which]]


def _joined(name: str, values: list[tuple[Any, int]]):
    """Values of several cutouts, of so many galaxies each, as one: a single one if they are equal, else one each."""
    first = values[0][0]
    if all(value is first or (np.ndim(value) == 0 and np.ndim(first) == 0 and value == first) for value, _ in values):
        return first if not _is_per_galaxy(name, first) else _stacked(name, [value for value, _ in values])
    return _stacked(name, [value if _is_per_galaxy(name, value) else _repeated(value, n) for value, n in values])


def _repeated(value, n: int):
    return np.repeat(np.asarray(value)[None], n, axis=0) if isinstance(value, float | np.ndarray) else [value] * n


def _stacked(name: str, values: list):
    if not all(isinstance(value, np.ndarray) for value in values):
        return [entry for value in values for entry in value]
    if len({value.shape[1:] for value in values}) > 1:
        raise ValueError(f"{name} have shapes {[value.shape for value in values]}; expected one size.")
    return np.concatenate(values)
