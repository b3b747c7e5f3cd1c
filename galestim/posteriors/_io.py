"""Files of posteriors: FITS, Parquet and HDF5, as "Without galestim" in ``docs/guide/posteriors.md`` describes them.

Besides what is told there, FITS has ``POSTVERS`` and the others ``version``, the version of this layout. Nothing of a
file is ever executed: it holds numbers, names and JSON.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .._io.bounds import check_fits, check_parquet
from .._io.files import read_whole, written_whole
from .._io.hdf5 import opened_hdf5
from ._content import COLUMNS, VERSION, Content
from ._optional import optional_import

_NUMBERS = {name for names in COLUMNS.values() for name in names}
_UNIT_LENGTH = 200  # characters; long ones take astropy minutes
_ROW_GROUP = 2**24  # numbers in a row group of Parquet: 128 MB
_Made = TypeVar("_Made")


def write_content(content: Content, path, overwrite: bool = False) -> None:
    """Write `content` to the file `path`."""
    path = Path(path)
    file_format = _format(path)
    with written_whole(path, overwrite=overwrite) as finished:
        file_format.write(finished, content)


def read_content(path, make: Callable[[Content], _Made]) -> _Made:
    """Give `make` what `write_content` wrote to the file `path`, and return what it makes of it."""
    path = Path(path)
    file_format = _format(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected one that `Posterior.write` wrote.")
    with read_whole(path, f"Expected a complete {file_format.name} file; copy or write it again."):
        try:
            content = file_format.read(path)
        except KeyError as error:
            raise ValueError(
                f"{path} was not written by `Posterior.write`, or is cut short: it does not say what its columns "
                "are. Draws of another program become a posterior by `Posterior.from_draws`."
            ) from error
    try:
        return make(_checked(content))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} holds no posterior that this galestim can read: {error}") from error


def _checked(content: Content) -> Content:
    """`content` with all columns that its form needs, as float64, and no others."""
    if content.version != VERSION:
        raise ValueError(f"its layout has version {content.version}, expected {VERSION}; install a newer galestim.")
    if content.form not in COLUMNS:
        raise ValueError(f"its form is {content.form!r}, expected one of {', '.join(map(repr, COLUMNS))}.")
    if missing := [name for name in COLUMNS[content.form] if name not in content.columns]:
        raise ValueError(f"it has no column {', '.join(map(repr, missing))}.")
    if any(len(target.get("unit") or "") > _UNIT_LENGTH for target in content.targets):
        raise ValueError(f"it has a unit of more than {_UNIT_LENGTH} characters.")
    columns = {name: np.array(content.columns[name], dtype=np.float64) for name in COLUMNS[content.form]}
    return content._replace(columns=columns)


# ---- FITS


def _write_fits(path: Path, content: Content) -> None:
    columns = [_fits_column(name, numbers) for name, numbers in content.columns.items()]
    if content.ids is not None:
        names = np.array([_escaped(name) for name in content.ids.tolist()], dtype=np.bytes_)
        columns.append(fits.Column("object_id", format=f"{max(1, names.itemsize)}A", array=names))
    table = fits.BinTableHDU.from_columns(columns, name="POSTERIOR")
    table.header["POSTFORM"] = content.form, "mixture or draws"
    table.header["POSTVERS"] = content.version, "version of this layout"
    table.header["NTARGET"] = len(content.targets), "number of targets"
    for n, target in enumerate(content.targets, start=1):
        for keyword, text in _cards(target).items():
            if len(keyword) + len(str(n)) > 8:
                raise ValueError(f"{len(content.targets)} targets; FITS headers have room for 99. Write .h5 instead.")
            table.header[f"{keyword}{n}"] = text
    hdus = fits.HDUList([fits.PrimaryHDU(), table])
    if content.groups is not None:
        groups = fits.Column("groups", format="K", array=content.groups)
        hdus.append(fits.BinTableHDU.from_columns([groups], name="COMPONENTS"))
    hdus.writeto(path)


def _fits_column(name: str, numbers: NDArray) -> fits.Column:
    shape = numbers.shape[1:]
    dim = f"({','.join(map(str, reversed(shape)))})" if len(shape) > 1 else None
    return fits.Column(name, format=f"{np.prod(shape)}D", dim=dim, array=numbers)


def _cards(target: dict) -> dict[str, str]:
    cards = {"TARGET": _escaped(target["name"])}
    if "unit" in target:
        cards["UNIT"] = _escaped(target["unit"])
    if "transform" in target:
        cards |= {"TRANSF": target["transform"], "PARAMS": json.dumps(target["parameters"])}
    if "tails" in target:
        cards["TAILS"] = json.dumps(target["tails"])
    return cards


def _escaped(text: str) -> str:
    """`text` in ASCII, without the blank at its end that FITS would forget."""
    text = text.encode("unicode_escape").decode("ascii")
    return text[:-1] + r"\x20" if text.endswith(" ") else text


def _unescaped(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")


def _read_fits(path: Path) -> Content:
    check_fits(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "File may have been truncated")
        with path.open("rb") as file, fits.open(file, memmap=False) as hdus:
            table = hdus["POSTERIOR"]
            header = table.header
            named = "object_id" in table.columns.names
            return Content(
                version=header["POSTVERS"],
                form=header["POSTFORM"],
                targets=[_target_of(header, n + 1) for n in range(header["NTARGET"])],
                columns={name: table.data[name] for name in table.columns.names},
                groups=np.array(hdus["COMPONENTS"].data["groups"]) if header["POSTFORM"] == "mixture" else None,
                ids=np.array([_unescaped(name) for name in table.data["object_id"]]) if named else None,
            )


def _target_of(header: fits.Header, n: int) -> dict:
    target = {"name": _unescaped(header[f"TARGET{n}"])}
    if f"UNIT{n}" in header:
        target["unit"] = _unescaped(header[f"UNIT{n}"])
    if f"TRANSF{n}" in header:
        target |= {"transform": header[f"TRANSF{n}"], "parameters": json.loads(header[f"PARAMS{n}"])}
    if f"TAILS{n}" in header:
        target["tails"] = json.loads(header[f"TAILS{n}"])
    return target


# ---- Parquet


def _write_parquet(path: Path, content: Content) -> None:
    parquet = optional_import("pyarrow.parquet", "a .parquet file")
    arrow = optional_import("pyarrow", "a .parquet file")
    ids = {} if content.ids is None else {"object_id": arrow.array(content.ids.tolist(), "string")}
    table = arrow.table(_arrow_columns(content.columns) | ids, metadata={"galestim": _arrow_metadata(content)})
    row = sum(numbers[:1].size for numbers in content.columns.values())
    parquet.write_table(table, path, row_group_size=max(1, _ROW_GROUP // max(1, row)))


def as_arrow(posterior, rows: NDArray, n: int) -> tuple[dict, str]:
    """Columns of a posterior as rows of n, NaN elsewhere, and its description, for Parquet files with more in them.

    With the description as the metadata ``galestim`` of the schema, `Posterior.read` reads such a file.
    """
    content = posterior._content()
    columns = {name: np.full((n, *numbers.shape[1:]), np.nan) for name, numbers in content.columns.items()}
    for name, numbers in content.columns.items():
        columns[name][rows] = numbers
    return _arrow_columns(columns), _arrow_metadata(content)


def _arrow_columns(columns: dict[str, NDArray]) -> dict:
    return {name: _nested(numbers) for name, numbers in columns.items()}


def _arrow_metadata(content: Content) -> str:
    groups = {} if content.groups is None else {"groups": content.groups.tolist()}
    return json.dumps({"version": content.version, "form": content.form, "targets": content.targets, **groups})


def _nested(numbers: NDArray):
    """`numbers` as an arrow array of lists of lists."""
    arrow = optional_import("pyarrow", "a .parquet file")
    values = arrow.array(numbers.ravel())
    for size in reversed(numbers.shape[1:]):
        values = arrow.FixedSizeListArray.from_arrays(values, size)
    return values


def _read_parquet(path: Path) -> Content:
    with optional_import("pyarrow.parquet", "a .parquet file").ParquetFile(path) as file:
        check_parquet(path, file)
        table = file.read()
    metadata = json.loads((table.schema.metadata or {})[b"galestim"])
    return Content(
        version=metadata["version"],
        form=metadata["form"],
        targets=metadata["targets"],
        columns={name: _flat(table[name]) for name in table.column_names if name in _NUMBERS},
        groups=np.array(metadata["groups"]) if metadata["form"] == "mixture" else None,
        ids=np.array(table["object_id"].to_pylist()) if "object_id" in table.column_names else None,
    )


def _flat(column) -> NDArray:
    """The inverse of `_nested`."""
    shape, values = [len(column)], column.combine_chunks()
    while hasattr(values.type, "list_size"):
        shape.append(values.type.list_size)
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)


# ---- HDF5


def _write_hdf5(path: Path, content: Content) -> None:
    with optional_import("h5py", "an HDF5 file").File(path, "w") as file:
        file.attrs.update(version=content.version, form=content.form, targets=json.dumps(content.targets))
        for name, numbers in content.columns.items():
            file[name] = numbers
        if content.groups is not None:
            file["groups"] = content.groups
        if content.ids is not None:
            names = np.char.encode(content.ids, "utf-8")
            file["object_id"] = names.astype(f"S{max(1, names.itemsize)}")


def _read_hdf5(path: Path) -> Content:
    optional_import("h5py", "an HDF5 file")
    with opened_hdf5(path, (*sorted(_NUMBERS), "groups", "object_id")) as file:
        return Content(
            version=file.attrs["version"],
            form=file.attrs["form"],
            targets=json.loads(file.attrs["targets"]),
            columns={name: file[name][()] for name in COLUMNS.get(file.attrs["form"], ()) if name in file},
            groups=file["groups"][()] if file.attrs["form"] == "mixture" else None,
            ids=np.char.decode(file["object_id"][()], "utf-8") if "object_id" in file else None,
        )


# ---- which of these


class _Format(NamedTuple):
    name: str
    write: Callable[[Path, Content], None]
    read: Callable[[Path], Content]


_HDF5 = _Format("HDF5", _write_hdf5, _read_hdf5)
_FORMATS = {
    ".fits": _Format("FITS", _write_fits, _read_fits),
    ".parquet": _Format("Parquet", _write_parquet, _read_parquet),
    ".h5": _HDF5,
    ".hdf5": _HDF5,
}


def _format(path: Path) -> _Format:
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; expected one of {', '.join(_FORMATS)}.")
    return _FORMATS[path.suffix.lower()]
