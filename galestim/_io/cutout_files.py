"""Files of cutouts: FITS and HDF5, with an array for all that is known of the images.

FITS has an image extension for each array of pixels, named as the parameter of `Cutouts`, and the table ``CONTEXT``
with a column for each number of the galaxies and for their WCS; a number that is one for all is a column too, and
named in the card ``ONEFORAL``. HDF5 has a data set for each.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from numpy.typing import NDArray

from .bounds import check_fits, check_wcs
from .files import read_whole, written_whole
from .hdf5 import opened_hdf5

Arrays = dict[str, NDArray]
VERSION = 1
_WCS = "wcs"


def write_arrays(path, arrays: Arrays, headers: list[str] | None, stretched: bool, overwrite: bool) -> None:
    """Write arrays, and the headers of a WCS each, to `path`."""
    path = Path(path)
    write, _ = _format(path)
    with written_whole(path, overwrite=overwrite) as finished:
        write(finished, {name: np.asarray(values) for name, values in arrays.items()}, headers, stretched)


def read_arrays(path) -> tuple[dict[str, Any], list[WCS] | None, bool]:
    """Arrays, WCS and whether the images are stretched, of a file that `write_arrays` wrote."""
    path = Path(path)
    _, read = _format(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected one that `Cutouts.write` wrote.")
    with (
        read_whole(path, "Expected a complete file that `Cutouts.write` wrote."),
        warnings.catch_warnings(action="ignore", category=AstropyWarning),
    ):
        arrays, headers, version, stretched = read(path)
        wcs = None if headers is None else [_wcs_of(header) for header in headers]
    if version != VERSION or "images" not in arrays:
        raise ValueError(f"{path} has layout {version}, expected {VERSION}, with images; install a newer galestim.")
    return arrays, wcs, stretched


def _wcs_of(text: str) -> WCS:
    header = fits.Header.fromstring(text)
    check_wcs(header)
    return WCS(header)


def _format(path: Path):
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        return _write_hdf5, _read_hdf5
    if suffix == ".fits":
        return _write_fits, _read_fits
    raise ValueError(f"{path.name} ends in {suffix!r}; expected .fits, .h5 or .hdf5.")


# ---- HDF5


def _write_hdf5(path: Path, arrays: Arrays, headers: list[str] | None, stretched: bool) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(version=VERSION, stretched=stretched, names=list(arrays), has_wcs=headers is not None)
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
        if headers is not None:
            file.create_dataset(_WCS, data=headers, dtype=h5py.string_dtype())


def _read_hdf5(path: Path):
    with opened_hdf5(path) as file:
        arrays = {str(name): file[name][()] for name in file.attrs["names"]}
        headers = list(file[_WCS].asstr()) if file.attrs["has_wcs"] else None
        return arrays, headers, int(file.attrs["version"]), bool(file.attrs["stretched"])


# ---- FITS


def _write_fits(path: Path, arrays: Arrays, headers: list[str] | None, stretched: bool) -> None:
    n = len(arrays["images"])
    pixels = {name: values for name, values in arrays.items() if values.ndim > 1}
    columns = {name: np.broadcast_to(values, n) for name, values in arrays.items() if values.ndim <= 1}
    if headers is not None:
        columns[_WCS] = np.array(headers)
    images = [fits.ImageHDU(_storable(values), name=name) for name, values in pixels.items()]
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, _column_format(v), array=v) for name, v in columns.items()], name="CONTEXT", nrows=n
    )
    table.header["CUTVERS"] = VERSION, "version of this layout"
    table.header["ONEFORAL"] = ",".join(n for n, v in arrays.items() if v.ndim == 0), "one number for all galaxies"
    table.header["STRETCH"] = stretched, "whether the images are not linear"
    fits.HDUList([fits.PrimaryHDU(), table, *images]).writeto(path)


def _storable(pixels: NDArray) -> NDArray:
    """Pixels of a type that FITS has."""
    return pixels.astype({"bool": np.uint8, "float16": np.float32}.get(pixels.dtype.name, pixels.dtype), copy=False)


def _column_format(values: NDArray) -> str:
    return f"{values.dtype.itemsize // 4}A" if values.dtype.kind == "U" else "D"


def _read_fits(path: Path):
    check_fits(path)
    with fits.open(path, memmap=False) as hdus:
        table = hdus["CONTEXT"]
        arrays = {hdu.name.lower(): _native(hdu.data) for hdu in hdus[2:]}
        columns = {name: table.data[name] for name in table.columns.names}
        headers = [str(text) for text in columns.pop(_WCS)] if _WCS in columns else None
        n, alike = len(table.data), table.header["ONEFORAL"].split(",")
        arrays |= {name: _native(values[0] if name in alike and n else values) for name, values in columns.items()}
        if "mask" in arrays:
            arrays["mask"] = arrays["mask"] != 0
        return arrays, headers, int(table.header["CUTVERS"]), bool(table.header["STRETCH"])


def _native(values: NDArray) -> NDArray:
    return np.asarray(values).astype(values.dtype.newbyteorder("="), copy=False)
