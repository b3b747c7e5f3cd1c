"""Where a spatial transformer looks, in pixels and on the sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

CROP_FIELDS = [("scale", "f8"), ("x", "f8"), ("y", "f8"), ("angle", "f8"), ("matrix", "f8", (2, 3))]


def crop_table(matrices: NDArray, image_size: tuple[int, int], crop_size: tuple[int, int]) -> NDArray:
    """Transformations ``(n, 2, 3)`` in coordinates from -1 to 1, as a structured array in pixels.

    Parameters
    ----------
    matrices : ndarray of shape (n, 2, 3)
        From the crop to the image, both from -1 (center of the first pixel) to 1 (center of the last).
    image_size, crop_size : tuple of int (H, W)
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
    """One FITS file per crop; see `STNPosteriorRegressor.export_crops`."""
    files = [folder / f"{name}.fits" for name in names]
    existing = [file for file in files if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{existing[0]} exists (one of {len(existing)}); pass overwrite=True, or another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(files):
        header = fits.Header() if wcs is None else crop_wcs(wcs[i], table["matrix"][i]).to_header()
        header["CROPSCAL"] = (float(table["scale"][i]), "side of the crop / side of the image")
        planes = crops[i, ..., 0] if crops.shape[3] == 1 else np.moveaxis(crops[i], -1, 0)
        fits.PrimaryHDU(planes, header).writeto(file, overwrite=overwrite)
    return files


def crop_wcs(wcs, matrix: NDArray) -> WCS:
    """The celestial WCS of a crop, from that of its image (a WCS or a FITS header) and the crop's pixel matrix."""
    old = (wcs if isinstance(wcs, WCS) else WCS(wcs)).celestial
    new = WCS(naxis=2)
    new.wcs.ctype = [kind.removesuffix("-SIP") for kind in old.wcs.ctype]
    new.wcs.crval, new.wcs.cunit = old.wcs.crval, old.wcs.cunit
    new.wcs.radesys, new.wcs.equinox = old.wcs.radesys, old.wcs.equinox
    linear, offset = matrix[:, :2], matrix[:, 2]
    new.wcs.cd = old.pixel_scale_matrix @ linear
    new.wcs.crpix = np.linalg.solve(linear, old.wcs.crpix - 1 - offset) + 1
    return new
