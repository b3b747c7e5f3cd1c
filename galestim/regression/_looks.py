"""Looks at redrawn galaxies in files: drawing them takes longer than reading them."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from .._io.files import written_whole

Look = tuple[NDArray, dict[str, NDArray]]  # digests and labels of all rows, as they are in an epoch

logger = logging.getLogger(__name__)


class LookFiles:
    """Looks of one member of a fit, each in a file of its own.

    Parameters
    ----------
    folder : Path
    member : int
    """

    def __init__(self, folder: Path, member: int):
        self.folder, self.member = folder, member

    def load(self, number: int) -> Look | None:
        """The look of an epoch; None if there is no sound file of it."""
        try:
            arrays = load_file(self._path(number))
            return arrays.pop("digest"), dict(sorted(arrays.items()))
        except (OSError, SafetensorError, KeyError):
            return None

    def save(self, number: int, look: Look) -> None:
        """Keep a look; one that finds no room is drawn again when it is wanted."""
        digests, labels = look
        try:
            with written_whole(self._path(number), sync=True) as finished:
                save_file({**labels, "digest": digests}, finished)
        except (OSError, SafetensorError) as error:
            logger.warning("a look could not be kept: %s", error)

    def keep(self, numbers: Collection[int]) -> None:
        """Delete all others."""
        for path in self.folder.glob(f"look-{self.member}-*.safetensors"):
            number = re.search(r"-(\d+)\.", path.name)
            if number is not None and int(number[1]) not in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"look-{self.member}-{number:06d}.safetensors"
