"""Loader of a folder of image files and their catalog, as arrays for `fit`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from astropy.table import MaskedColumn, Table
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._identifiers import identifiers
from .._images import release_pages, row_chunks
from .._io.files import written_whole
from .._io.image_files import CHANNELS, files_by_name, read_header, read_pixels
from .._io.memmap import MEMMAP_BYTES, new_map, read_only, temporary_map
from .._tables import listed
from ..catalogs import read_table


def load_image_folder(
    path,
    catalog=None,
    *,
    id_column="object_id",
    extensions=(".jpg", ".jpeg", ".png"),
    unlabeled="raise",
    memmap="auto",
    n_jobs=-1,
):
    """Load the JPEG and PNG images of a folder, one row per row of a catalog.

    The image of the object 101654 is the file ``101654.jpg`` (or ``.jpeg``, ``.png``) in the folder itself;
    subfolders and hidden files are not looked at. All images must have one size and one kind, 8-bit gray or
    8-bit color: nothing is resized, converted or dropped silently.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or path-like
        The folder.
    catalog : str, path-like, DataFrame, astropy Table or None, default=None
        The objects, one per row. A path is read as an astropy Table (CSV, or any format that Table recognizes
        by the name); blank numbers in it become NaN. None takes all images, sorted by file name.
    id_column : str, default="object_id"
        The column of `catalog` with the file names, without extension.
    extensions : str or sequence of str, default=(".jpg", ".jpeg", ".png")
        File names that count as images, in lowercase; files in capitals match too.
    unlabeled : {"raise", "ignore"}, default="raise"
        What to do with images that no row of `catalog` names.
    memmap : "auto", bool, str or path-like, default="auto"
        Whether the pixels live in a file instead of memory: a temporary one (True), the given ``.npy`` file,
        which is replaced once all are decoded, or, by default, a temporary one when the pixels take more than
        1 GiB. Temporary files are removed when the last view of the array is gone; they lie where
        :mod:`tempfile` puts them (``TMPDIR``).
    n_jobs : int or None, default=-1
        Number of threads that decode, as joblib counts them; -1 uses all cores.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray or read-only memmap of shape (n_samples, H, W) or (n_samples, H, W, 3), uint8
            Row 0 is the top of the image, after it is turned as its EXIF orientation says.
        catalog : DataFrame, Table or None
            The catalog, one row per image.
        object_id : ndarray of str, shape (n_samples,)
            File names without extension.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or holds no image.
    ValueError
        If an image cannot be decoded, is truncated, has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, or
        differs from the others in size or kind; or if the catalog lacks the column, names an object twice or
        one without an image, or does not name one of the images. The message names the first culprits and
        their number.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from galestim.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("101654", "101756"):
    ...         Image.new("RGB", (24, 24)).save(Path(folder, f"{name}.jpg"))
    ...     data = load_image_folder(folder)
    >>> data.images.shape, data.object_id.tolist()
    ((2, 24, 24, 3), ['101654', '101756'])

    A catalog that asks for more than there is:

    >>> from astropy.table import Table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (24, 24)).save(Path(folder, "101654.jpg"))
    ...     load_image_folder(folder, Table({"object_id": [101654, 101756, 101997]}))
    Traceback (most recent call last):
    ...
    ValueError: 2 of 3 objects of the catalog have no image in ...: '101756', '101997'. Expected files named
    after the column 'object_id', such as 101756.jpg; add the images, or drop these rows.
    """
    if unlabeled not in ("raise", "ignore"):
        raise ValueError(f"unlabeled={unlabeled!r}; expected 'raise' or 'ignore'.")
    file_of = _find_images(Path(path), extensions)
    if catalog is None:
        object_id = np.array(list(file_of), dtype=str)
    else:
        catalog = _read_catalog(catalog, id_column)
        object_id = _object_ids(catalog, id_column)
        _check_match(object_id, file_of, id_column, unlabeled)
    files = [file_of[name] for name in object_id.tolist()]
    shape = (len(files), *_common_shape(files))
    return Bunch(images=_load(files, shape, memmap, n_jobs), catalog=catalog, object_id=object_id)


# --- files and rows -----------------------------------------------------------------------------------------


def _find_images(folder: Path, extensions: str | Sequence[str]) -> dict[str, Path]:
    """Map names without extension to the image files of `folder`, sorted by name."""
    files_of = files_by_name(folder, extensions)
    example = next(iter(files_of.values()))[0].suffix.lower()
    for name, doubles in files_of.items():
        if len(doubles) > 1:
            raise ValueError(
                f"The object {name!r} has {len(doubles)} images in {folder}: "
                f"{', '.join(file.name for file in doubles)}; expected one. Remove the others, or pass "
                f"extensions=({example!r},)."
            )
    return {name: files[0] for name, files in files_of.items()}


def _read_catalog(catalog, id_column: str):
    """`catalog` itself, or the table that it is the path of."""
    if hasattr(catalog, "columns"):
        return catalog
    if not isinstance(catalog, str | os.PathLike):
        raise TypeError(
            f"catalog is of type {type(catalog).__name__}; expected the path of a table, a data frame, "
            "an astropy Table or None."
        )
    return _fill_blanks(read_table(catalog, id_column))


def _fill_blanks(table: Table) -> Table:
    """NaN for the blanks in columns of numbers; a masked column would lose them on its way to an array."""
    for name in table.colnames:
        column = table[name]
        if isinstance(column, MaskedColumn) and column.dtype.kind in "iuf":
            table[name] = column.astype(float).filled(np.nan)
    return table


def _object_ids(catalog, id_column: str) -> NDArray[np.str_]:
    columns = list(catalog.columns)
    if id_column not in columns:
        raise ValueError(f"The catalog has no column {id_column!r}; it has {listed(columns, 99)}. Pass id_column=.")
    object_id = np.array(identifiers(catalog[id_column], id_column), dtype=str)
    if not len(object_id):
        raise ValueError("The catalog has no rows; expected one row per image.")
    counts = Counter(object_id.tolist())
    doubles = [name for name, count in counts.items() if count > 1]
    if doubles:
        raise ValueError(
            f"{len(doubles)} of {len(counts)} objects occur more than once in the column {id_column!r}: "
            f"{listed(doubles, 5)}. Expected one row per image; drop the duplicates."
        )
    return object_id


def _check_match(object_id: NDArray[np.str_], file_of: dict[str, Path], id_column: str, unlabeled: str) -> None:
    wanted = object_id.tolist()
    example = next(iter(file_of.values()))
    without_image = [name for name in wanted if name not in file_of]
    if without_image:
        raise ValueError(
            f"{len(without_image)} of {len(wanted)} objects of the catalog have no image in "
            f"{example.parent}: {listed(without_image, 5)}. Expected files named after the column "
            f"{id_column!r}, such as {without_image[0]}{example.suffix}; add the images, or drop these rows."
        )
    without_row = sorted(set(file_of).difference(wanted))
    if without_row and unlabeled == "raise":
        raise ValueError(
            f"{len(without_row)} of {len(file_of)} images in {example.parent} have no row in the catalog: "
            f"{listed(without_row, 5)}. Add the rows, or pass unlabeled='ignore' to leave these images out."
        )


# --- pixels -------------------------------------------------------------------------------------------------


def _common_shape(files: Sequence[Path]) -> tuple[int, ...]:
    """Shape of the images, from their headers: ``(H, W)`` or ``(H, W, 3)``."""
    headers = [read_header(file) for file in files]
    modes, sizes = [mode for mode, _ in headers], [f"{width}×{height}" for _, (width, height) in headers]
    _require_same(files, modes, "mode", "Convert them, for example with PIL.Image.convert.")
    _require_same(files, sizes, "size (width×height)", "Resize or crop them, or load them separately.")
    mode, (width, height) = headers[0]
    return (height, width, *CHANNELS[mode])


def _require_same(files: Sequence[Path], values: Sequence[str], what: str, cure: str) -> None:
    counts = Counter(values)
    if len(counts) == 1:
        return
    usual = counts.most_common(1)[0][0]
    odd = [i for i, value in enumerate(values) if value != usual]
    raise ValueError(
        f"{len(odd)} of {len(files)} images differ in {what} from the others, which have {usual}: the first "
        f"is {files[odd[0]]} with {values[odd[0]]}. Expected all images alike. {cure}"
    )


def _load(files: Sequence[Path], shape: tuple[int, ...], memmap, n_jobs: int | None) -> NDArray[np.uint8]:
    """Decode all `files` into one array, in memory or in a file."""
    n_bytes = int(np.prod(shape))
    if memmap is False or (memmap == "auto" and n_bytes <= MEMMAP_BYTES):
        return _decode_all(files, np.empty(shape, dtype=np.uint8), n_jobs)
    cure = "pass memmap= a path on another disk, or set TMPDIR"
    if memmap is True or memmap == "auto":
        return read_only(_decode_all(files, temporary_map(shape, np.uint8, cure), n_jobs))
    if not isinstance(memmap, str | os.PathLike):
        raise ValueError(f"memmap={memmap!r}; expected 'auto', True, False or the path of a .npy file.")
    with written_whole(memmap) as target:
        _decode_all(files, new_map(target, shape, np.uint8, cure), n_jobs).flush()
    return np.load(memmap, mmap_mode="r")


def _decode_all(files: Sequence[Path], images, n_jobs: int | None):
    """Fill `images` with the pixels of `files`; decoders release the interpreter, so they run in threads."""

    def decode(rows: slice) -> None:
        for row, file in zip(range(rows.start, rows.stop), files[rows], strict=True):
            images[row] = read_pixels(file)
        release_pages(images)

    jobs: Iterable = (delayed(decode)(rows) for rows in row_chunks(images))
    Parallel(n_jobs=n_jobs, prefer="threads", require="sharedmem")(jobs)
    return images
