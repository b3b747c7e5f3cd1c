"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".galestim-"  # of the hidden folders
_OWN = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")  # as tempfile names them
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff%s]" % (":" if os.name == "nt" else ""))
_LONGEST = 255  # bytes of a file name, on most systems
_swept: set[tuple[int, Path]] = set()  # folders that this process has looked through


@contextmanager
def written_whole(
    path: str | os.PathLike, *, overwrite: bool = True, sync: bool = False, folder: Path | None = None
) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` once it is written.

    Until then, and for good if writing fails, `path` is as it was. The file is written under its own name, from whose
    ending some writers tell the format, in a hidden folder of its own, made in `folder` on the same disk, or beside
    `path`. What a process that was killed left of these is removed when the next one writes there. With `sync` it
    waits until the bytes are on the disk, so that a power failure leaves no empty file.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_whole(folder / "numbers.txt") as path:
    ...     _ = path.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    path = Path(path)
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} exists; pass overwrite=True to replace it, or another name.")
    folder = folder or path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; make it first, or write elsewhere.")
    _sweep(folder)
    with _own_folder(folder) as own:
        finished = Path(own, path.name)
        yield finished
        if sync:
            with finished.open("rb") as stream:
                os.fsync(stream.fileno())
        os.replace(finished, path)


@contextmanager
def read_whole(path: str | os.PathLike, expected: str, passed_on: tuple = (ImportError,)) -> Iterator[None]:
    """Whatever fails within is a ValueError that `path` cannot be read, with its first line, and what was `expected`.

    Errors that name the file already are left as they are, and so are those of the types `passed_on`.
    """
    try:
        yield
    except passed_on:
        raise
    except Exception as error:  # damage shows in as many types as there are ways to read
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        said = str(error).strip().partition("\n")[0].rstrip(".:") or type(error).__name__
        raise ValueError(f"{path} cannot be read: {said}. {expected}") from error


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Have `folder` for oneself, until the end of the block or of the process, in whatever way it ends.

    Raises
    ------
    BlockingIOError
        If somebody else has it. File systems without locks lock nothing.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise BlockingIOError(f"{folder} is in use by another run; wait for it, or take another folder.") from error
    except OSError:  # this file system knows no locks
        pass
    try:
        yield
    finally:
        os.close(handle)


def file_names(names: Sequence[str], ending: str) -> list[str]:
    """Names of files, made of names from outside, which could lead out of their folder or be of one file.

    Names that no file may have, and equal ones, are a ValueError.

    Examples
    --------
    >>> file_names(["M 31", "NGC-224"], ".fits")
    ['M 31.fits', 'NGC-224.fits']
    """
    files = [f"{name}{ending}" for name in names]
    for name, file in zip(names, files):
        if not name or _FORBIDDEN.search(file) or len(file.encode(errors="replace")) > _LONGEST:
            raise ValueError(
                f"the name {str(name)[:80]!r} cannot be that of a file; expected 1 to {_LONGEST - len(ending)} bytes "
                "without slashes or control characters."
            )
    doubles = [file for file, count in Counter(map(os.path.normcase, files)).items() if count > 1]
    if doubles:
        raise ValueError(f"{len(doubles)} names occur more than once, such as {doubles[0]!r}; expected unique ones.")
    return files


@contextmanager
def _own_folder(folder: Path) -> Iterator[str]:
    """Make a hidden folder, locked while it is used."""
    while True:
        own = tempfile.mkdtemp(prefix=PREFIX, dir=folder)
        handle = _locked(own, wait=True)
        if os.path.isdir(own):  # nobody took it for abandoned before it was locked
            break
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _locked(folder: str | os.PathLike, wait: bool) -> int | None:
    """Handle of a folder, locked until it is closed or the process ends, in whatever way; None if that cannot be."""
    if fcntl is None:
        return None
    with suppress(OSError):  # it is gone, somebody has it, or the file system knows no locks
        handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return handle
        except OSError:
            os.close(handle)
            raise
    return None


def _sweep(folder: Path) -> None:
    """Remove, once, what writers that were killed left in `folder`: hidden folders that nobody has locked."""
    key = os.getpid(), folder.absolute()
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError):
        for own in [folder / name for name in os.listdir(folder) if _OWN.fullmatch(name)]:
            handle = _locked(own, wait=False)
            if handle is not None:
                with suppress(OSError):
                    for file in own.iterdir():
                        file.unlink()
                    own.rmdir()
                os.close(handle)
