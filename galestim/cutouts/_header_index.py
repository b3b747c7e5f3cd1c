"""Headers of the tiles of a survey, read once and kept in the cache: ten thousand files are opened in no time.

An index is JSON under its own SHA-256, written whole or not at all. What is damaged, or of a file that was rewritten,
is read again from the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from .._io.files import written_whole
from ._fits_image import File, FitsImage, fits_image, is_settled, state_of
from ._remote_file import RemoteFile
from ._store import CutoutStore

MANY = 32  # tiles that are worth an index
_TOGETHER = 1000  # headers that are read before they are written
_FORMAT = 1

Place = tuple[File, int | str | tuple | None]  # a file, and which extension

_log = logging.getLogger(__name__)


def images_at(
    places: Sequence[Place], *, celestial: bool, states: Mapping[Place, tuple] | None = None
) -> list[FitsImage]:
    """The images at some places, whose files are in these `states` now; of many, headers come from an index."""
    if len(places) < MANY and not any(isinstance(path, RemoteFile) for path, _ in places):
        return [fits_image(*place, celestial=celestial) for place in places]
    known = _index(_file_of(places, celestial)).images(states or states_of(places), celestial)
    return [known[place] for place in places]


def states_of(places: Iterable[Place]) -> dict[Place, tuple]:
    """What `state_of` says of the file at each place."""
    return {place: state_of(place[0]) for place in places}


def _file_of(places: Sequence[Place], celestial: bool) -> Path:
    """Where the index is of tiles with this beginning and ending of their names; new ones seldom change these."""
    names = [_where(path) for path, _ in places]
    ends = [os.path.commonprefix(some) for some in (names, [name[::-1] for name in names])]  # noqa: RUF071
    told = json.dumps([_FORMAT, celestial, *ends, sorted({repr(hdu) for _, hdu in places})])
    return CutoutStore().folder / "headers" / f"{hashlib.sha256(told.encode()).hexdigest()}.json"


class HeaderIndex:
    """Images of some tiles, of which headers are in memory and in a file."""

    def __init__(self, file: Path):
        self._file, self._lock, self._complained = file, Lock(), False
        self._kept = _load(file)  # name of a tile → its state and facts
        self._images: dict[Place, FitsImage] = {}

    def images(self, states: Mapping[Place, tuple], celestial: bool) -> dict[Place, FitsImage]:
        """Images of tiles; headers that are not known, or of files that changed, are read, and written down.

        `states` are what `state_of` says of the files of all tiles now.
        """
        with self._lock:
            found = {place: self._known(place, state) for place, state in states.items()}
            known = {place: image for place, image in found.items() if image is not None}
            new = [place for place in states if place not in known]
            for first in range(0, len(new), _TOGETHER):
                known |= {place: FitsImage(*place, celestial=celestial) for place in new[first : first + _TOGETHER]}
                self._keep(known)
            self._kept = {}  # what was of use has become an image
            return known

    def _known(self, place: Place, state: tuple) -> FitsImage | None:
        path, is_remote = place[0], isinstance(place[0], RemoteFile)  # which tells of a change when it is read
        if isinstance(path, RemoteFile) and path.is_doubtful:
            return None
        image = self._images.get(place)
        if image is not None and (is_remote or image.state == state):
            return image.at(path)
        try:
            was, facts = self._kept[_name(place)]
            state = tuple(was) if is_remote else state
            image = FitsImage.of_facts(path, state, facts) if tuple(was) == _lasting(state) else None
        except Exception:  # what a stranger wrote fails in many ways; the file itself is asked then
            return None
        if image is not None:
            self._images[place] = image
        return image

    def _keep(self, images: dict[Place, FitsImage]) -> None:
        """Write all headers, but those that may change without a sign, or are more than their cards."""
        self._images = {place: image for place, image in images.items() if is_settled(image.state)}
        entries = {
            _name(place): [_lasting(image.state), image.facts] for place, image in self._images.items() if image.facts
        }
        text = json.dumps(entries)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._file) as finished:
                finished.write_text(f"{_sha256(text)}\n{text}", encoding="utf-8")
        except OSError as error:
            if not self._complained:
                _log.warning(
                    "Headers cannot be kept in %s, and are read again by the next run: %s", self._file, error
                )
            self._complained = True


_index = lru_cache(maxsize=64)(HeaderIndex)


def _load(file: Path) -> dict[str, list]:
    """What an index says; nothing if there is none, or it is not as it was written."""
    try:
        digest, _, text = file.read_text(encoding="utf-8").partition("\n")
        if digest != _sha256(text):
            raise ValueError("its bytes are not those that were written")
        return dict(json.loads(text))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        _log.warning("%s is damaged, headers are read anew: %s", file, error)
        return {}


def _name(place: Place) -> str:
    return f"{_where(place[0])}[{place[1]!r}]"


def _where(path: File) -> str:
    return str(path) if isinstance(path, RemoteFile) else os.path.abspath(path)  # an address without its secrets


def _lasting(state: tuple[int, ...]) -> tuple[int, ...]:
    """Times and size, which a file has on every machine; version and size of one at an address."""
    return state[:3]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
