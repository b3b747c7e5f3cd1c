"""Crops of a spatial transformer, in pixels and on the sky."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from .._cutouts import Cutouts
from .._io.files import file_names, written_whole
from .._light import light_inside
from ..networks import CroppedNetwork, as_images
from ._rows import TrainingRows

CROP_FIELDS = [("scale", "f8"), ("x", "f8"), ("y", "f8"), ("angle", "f8"), ("matrix", "f8", (2, 3))]
N_WATCHED = 256  # training images on which the crop is looked at after a fit


class CropsMixin:
    """Crops of a regressor with a spatial transformer."""

    network_: Any
    image_shape_: tuple[int, int, int]

    # supplied by ImageRegressor
    _fitted_images: Any
    _each_batch: Any
    _torch_dtype: Any

    def transform_images(self, X, *, member=0):
        """Crop the images as the network sees them.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        member : int, default=0
            Which network of an ensemble.

        Returns
        -------
        ndarray of shape (n, h, w, C)
            In the units of `X`; surface brightness is kept. NaN where the image is NaN everywhere.
        """
        images = self._fitted_images(X)
        network, transformer = self._cropping(member)

        def crop(inputs):
            images = as_images(inputs["pixels"], self._torch_dtype())
            return transformer.crop(images, transformer.matrix(network.prepare(**inputs)[0])).movedim(1, -1)

        return self._each_batch(images, crop, (*transformer.crop_shape[:2], self.image_shape_[2]))

    def crop_parameters(self, X, *, member=0):
        """Tell where the crops lie in the images.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        member : int, default=0
            Which network of an ensemble.

        Returns
        -------
        structured ndarray of shape (n,)
            ``scale``, side of the crop in units of the image's; ``x`` and ``y``, the crop's center in the image
            [pixels, the center of the first is 0]; ``angle``, of the crop's x axis [degrees, from x to y]; ``matrix``
            (2, 3), which takes a crop's pixel (x, y, 1) to the image's.
        """
        return self._crop_table(self._fitted_images(X), member)

    def light_inside(self, X, light, *, member=0):
        """Tell how much of some light lies within the crops, to judge them where it is known whose light it is.

        .. versionadded:: 0.1.0

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        light : array-like of shape (n, H, W) or (n, H, W, C)
            Of each galaxy alone, say, or of its neighbors, as `SimulatedGalaxies.noiseless` gives it.
        member : int, default=0
            Which network of an ensemble.

        Returns
        -------
        ndarray of shape (n,)
            Sums of light, with pixels at the crop's edge in part, and without those that are bad in `Cutouts`; NaN
            where the image is NaN everywhere.

        Raises
        ------
        ValueError
            If `light` has another shape than the images.
        """
        images, light = self._fitted_images(X), np.asarray(light)
        if light.ndim not in (3, 4) or light.shape[:3] != (len(images), *self.image_shape_[:2]):
            raise ValueError(
                f"light has shape {light.shape}; expected (n, H, W[, C]) of the images that are cropped, "
                f"(n, H, W) = {(len(images), *self.image_shape_[:2])}."
            )
        bad = X.bad_pixels() if isinstance(X, Cutouts) else None
        if bad is not None:
            light = light.reshape(*light.shape[:3], -1).sum(axis=3) * ~bad.reshape(*light.shape[:3], -1).any(axis=3)
        _, transformer = self._cropping(member)
        return light_inside(light, self._crop_table(images, member)["matrix"], transformer.crop_shape[:2])

    def _crop_table(self, images: NDArray, member: int) -> NDArray:
        network, transformer = self._cropping(member)
        matrices = self._each_batch(images, lambda inputs: transformer.matrix(network.prepare(**inputs)[0]), (2, 3))
        return crop_table(matrices, self.image_shape_[:2], transformer.crop_shape[:2])

    def export_crops(self, X, folder, *, names=None, wcs=None, overwrite=False, member=0):
        """Write each crop as a FITS file, with its own WCS where the images have one.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, H·W·C)
            Images like those of `fit`.
        folder : str or Path
            Where to write; made if absent.
        names : sequence of str, default=None
            Name of each file, without suffix: one that a file can have, and unique. None numbers them.
        wcs : sequence of astropy WCS or FITS headers, default=None
            That of each image.
        overwrite : bool, default=False
            Whether files that exist may be replaced.
        member : int, default=0
            Which network of an ensemble.

        Returns
        -------
        list of Path
            The files, in the order of the images. That of a missing image holds NaN, and has no WCS.

        Raises
        ------
        ValueError
            If a name cannot be that of a file, or two are equal; nothing is written then.
        FileExistsError
            If a file exists and `overwrite` is False; nothing is written then.
        """
        crops, table = self.transform_images(X, member=member), self.crop_parameters(X, member=member)
        names = [f"{i:06d}" for i in range(len(crops))] if names is None else [str(name) for name in names]
        for what, values in (("names", names), ("wcs", wcs)):
            if values is not None and len(values) != len(crops):
                raise ValueError(f"{what} has {len(values)} entries; expected {len(crops)}, one per image.")
        return write_crops(crops, table, Path(folder), names, wcs, overwrite)

    def _warn_of_collapse(self, images, training: TrainingRows, max_zoom: float) -> None:
        scale = np.median(self._crop_table(images[training.rows[:N_WATCHED]], member=0)["scale"])
        if scale < 1.05 / max_zoom:
            warnings.warn(
                f"the crop has collapsed: half of the training images are cropped to {scale:.2f} of their side, the "
                f"least that max_zoom={max_zoom:g} allows. Lower SpatialTransformer's lr_factor, raise max_zoom, or "
                "crop the images first (CenterCrop).",
                stacklevel=7,
            )

    def _cropping(self, member: int):
        network = self.network_[member]
        if not isinstance(network.network, CroppedNetwork):
            raise ValueError("spatial_transformer=None crops nothing; fit with 'crop', 'similarity' or 'affine'.")
        return network, network.network.transformer


def crop_table(matrices: NDArray, image_size: tuple[int, int], crop_size: tuple[int, int]) -> NDArray:
    """Transformations ``(n, 2, 3)`` from the crop to the image, as a structured array in pixels.

    `matrices` are in coordinates from -1, the center of the first pixel, to 1, that of the last; sizes are (H, W).
    """
    half_image, half_crop = ((np.array(size[::-1]) - 1) / 2 for size in (image_size, crop_size))
    half_crop = np.where(half_crop > 0, half_crop, 1.0)
    linear = matrices[:, :, :2] * half_image[:, None] / half_crop
    center = (matrices[:, :, 2] + 1) * half_image
    table = np.empty(len(matrices), dtype=CROP_FIELDS)
    a, b, c, d = matrices[:, :, :2].reshape(-1, 4).T
    table["scale"] = np.sqrt(np.abs(a * d - b * c))  # numpy's det warns of the NaN of missing cutouts
    table["x"], table["y"] = center.T
    table["angle"] = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    offset = center - np.einsum("nij,j->ni", linear, (np.array(crop_size[::-1]) - 1) / 2)
    table["matrix"] = np.concatenate([linear, offset[:, :, None]], axis=2)
    return table


def write_crops(crops: NDArray, table: NDArray, folder: Path, names: list[str], wcs, overwrite: bool) -> list[Path]:
    """One FITS file per crop; see `PosteriorRegressor.export_crops`."""
    files = [folder / name for name in file_names(names, ".fits")]
    existing = [file for file in files if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{existing[0]} exists (one of {len(existing)}); pass overwrite=True, or another folder."
        )
    headers = [_header(row, None if wcs is None else wcs[i]) for i, row in enumerate(table)]
    folder.mkdir(parents=True, exist_ok=True)
    for file, crop, header in zip(files, crops, headers):
        planes = crop[..., 0] if crop.shape[2] == 1 else np.moveaxis(crop, -1, 0)
        with written_whole(file) as path:
            fits.PrimaryHDU(planes, header).writeto(path)
    return files


def _header(row, wcs) -> fits.Header:
    """Header of a crop; empty for that of a missing image."""
    if not np.isfinite(row["scale"]):
        return fits.Header()
    header = fits.Header() if wcs is None else crop_wcs(wcs, row["matrix"]).to_header()
    header["CROPSCAL"] = (float(row["scale"]), "side of the crop / side of the image")
    return header


def crop_wcs(wcs, matrix: NDArray) -> WCS:
    """The celestial WCS of a crop, from that of its image (a WCS or a FITS header) and the crop's pixel matrix."""
    old = (wcs if isinstance(wcs, WCS) else WCS(wcs)).celestial
    if old.naxis != 2:
        raise ValueError("the WCS of an image has no celestial axes; expected right ascension and declination.")
    new = WCS(naxis=2)
    new.wcs.ctype = [kind.removesuffix("-SIP") for kind in old.wcs.ctype]
    new.wcs.crval, new.wcs.cunit = old.wcs.crval, old.wcs.cunit
    new.wcs.radesys, new.wcs.equinox = old.wcs.radesys, old.wcs.equinox
    linear, offset = matrix[:, :2], matrix[:, 2]
    new.wcs.cd = old.pixel_scale_matrix @ linear
    new.wcs.crpix = np.linalg.solve(linear, old.wcs.crpix - 1 - offset) + 1
    return new
