"""Folders of image files, one per galaxy and named after it: list, name and decode them."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from .bounds import check_scans

CHANNELS: dict[str, tuple[int, ...]] = {"L": (), "RGB": (3,)}  # Pillow's mode → shape of a pixel

_TURNS = {  # of EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Raised by Pillow on files that are damaged or not images.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)


def files_by_name(folder: Path, extensions: str | Sequence[str]) -> dict[str, list[Path]]:
    """Image files of a folder, in order, under their names without extension; no subfolders, no hidden files.

    `extensions` are what comes after the names, such as ".jpg"; files in capitals match too. A folder without an
    image is a FileNotFoundError.
    """
    extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; expected a folder of images.")
    files_of: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    for name in names:
        for extension in dict.fromkeys(extensions):
            stem = name[: len(name) - len(extension)]
            if name.lower().endswith(extension.lower()) and not stem.endswith("."):  # "jpg" in place of ".jpg"
                files_of.setdefault(stem, []).append(folder / name)
    if not files_of:
        raise FileNotFoundError(
            f"{folder} holds no image; expected files that end in {', '.join(extensions)}. Pass other "
            "extensions=, or the subfolder that holds the images."
        )
    return files_of


def read_header(file: Path) -> tuple[str, tuple[int, int]]:
    """Pillow's mode, "L" or "RGB", and (width, height) of a JPEG or PNG file, before any pixel is decoded.

    Width and height are those of the upright image, as its EXIF orientation says. An image of another mode, or of
    more than ``PIL.Image.MAX_IMAGE_PIXELS``, is a ValueError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open(file) as image:
                mode, size = _mode(image), image.size
                size = size[::-1] if _orientation(image) in (5, 6, 7, 8) else size
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            f"Refusing to decode the image {file}: {error} If it is genuine, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error
    if mode not in CHANNELS:
        raise ValueError(
            f"The image {file} has mode {mode}; expected 8-bit gray (L) or 8-bit color (RGB). Convert it, "
            "for example with PIL.Image.convert."
        )
    return mode, size


def read_pixels(file: Path) -> NDArray[np.uint8]:
    """Pixels of a JPEG or PNG file whose header was read and found right, upright: ``(H, W)`` or ``(H, W, 3)``."""
    try:
        with _open(file) as image:
            if image.format != "PNG":
                check_scans(file, image.width * image.height, "it")
            image.load()
            turn = _TURNS.get(_orientation(image))
            return np.array(image if turn is None else image.transpose(turn))
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error


def _open(file: Path) -> Image.Image:
    # Only the decoders that are needed: whatever its name, the file is not handed to any other.
    return Image.open(file, formats=("JPEG", "PNG"))


def _mode(image: Image.Image) -> str:
    """Pillow's mode; that of the file, if it has 16 bits in each color, of which Pillow would drop half."""
    tiles = getattr(image, "tile", None) if image.mode in CHANNELS else None
    raw = tiles[0][3] if tiles else ""
    return raw if isinstance(raw, str) and ";16" in raw else image.mode


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; 1 is upright."""
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode the image to look for it
        return 1
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Cannot read the image {file}: {str(error).rstrip('.')}. Expected a complete JPEG or PNG; "
        "fetch it again, or remove it."
    )
