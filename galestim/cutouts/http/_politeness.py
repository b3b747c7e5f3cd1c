"""Rate limits per host, shared by all threads and processes of a user.

A host has a folder with a file per place and a clock. Who wants to send takes a place, then waits for the clock. Both
are locked by `flock`, which the kernel undoes however a process ends. The folder is the user's own, on this machine:
``$GALESTIM_RUNTIME_DIR`` if set, else ``/tmp/galestim-<uid>``, else the same where temporary files go. Where there is
no `flock` (Windows), or none of these can be written, only the threads of one process know of each other.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LONGEST_PAUSE = 24 * 3600.0  # [s] a host that asks for more is asked again after that
_LONGEST_NAP = 0.02  # [s] between two looks for a free place
_MARGIN = 1.01  # of the spacing, for the first request takes longer to arrive: it opens the connection


class HostClosed(Exception):
    """No request can be sent to the host within the time there is; says why, and what to do."""

    def __init__(self, what: str, advice: str):
        super().__init__(what, advice)
        self.what, self.advice = what, advice


class Deadline:
    """A number of seconds, from which time spent in the queue is not taken."""

    def __init__(self, total: float):
        self.total = total
        self._start = time.monotonic()
        self._end = self._start + total

    def remaining(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the start, those in the queue included."""
        return time.monotonic() - self._start

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Give back what happens within."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - start


class HostGate:
    """Lets requests to one host start, at most `max_in_flight` at a time and `spacing` seconds after each other."""

    def __init__(self, host: str, requests_per_second: float, max_in_flight: int):
        self.host = host
        self.spacing = _MARGIN / requests_per_second
        self.max_in_flight = max_in_flight
        self._queue = threading.Lock()
        self._ledger = _ledger(host)

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Hold a place, from a start that keeps its distance to the last; pauses are sat out without one."""
        while True:
            with deadline.stopped():
                place = self._place(deadline.total)
            try:
                with deadline.stopped():
                    pause = self._start()
                if not pause:
                    yield
                    return
            finally:
                self._ledger.unlock(place)
            if pause > deadline.remaining():
                raise self._paused(pause)
            time.sleep(pause)

    def pause(self, seconds: float) -> None:
        """Let nothing start for that long; a longer pause that is already known stays."""
        with self._clock():
            last, until = self._ledger.read()
            now = time.time()
            seconds = max(min(seconds, LONGEST_PAUSE), _pause_left(until, now))
            self._ledger.write(last, now + seconds)

    def _place(self, patience: float) -> Any:
        """Wait for a place, as long as requests keep starting; the longest of them ends, so one becomes free."""
        known, since = self._ledger.read(), time.monotonic()
        with self._queue:  # one of our threads looks for a place, the others sleep
            while True:
                for i in range(self.max_in_flight):
                    if (place := self._ledger.lock(f"place-{i}")) is not None:
                        return place
                time.sleep(min(_LONGEST_NAP, self.spacing / 2))
                if (seen := self._ledger.read()) != known:
                    known, since = seen, time.monotonic()
                elif time.monotonic() - since > patience:
                    raise self._stuck(patience)

    def _start(self) -> float:
        """Wait for the distance to the last start, and be the last; or say for how long the host is paused [s]."""
        while True:
            with self._clock():
                last, until = self._ledger.read()
                now = time.time()
                if pause := _pause_left(until, now):
                    return pause
                wait = last + self.spacing - now
                if not 0 < wait <= self.spacing:  # more: someone has set the machine's clock back
                    self._ledger.write(now, until)
                    return 0.0
            time.sleep(wait)  # without the clock: a process that is suspended here stops no other

    @contextmanager
    def _clock(self) -> Iterator[None]:
        """Read and write the times alone."""
        lock = self._ledger.lock("clock", wait=True)
        try:
            yield
        finally:
            self._ledger.unlock(lock)

    def _paused(self, seconds: float) -> HostClosed:
        back = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + seconds + 1))
        return HostClosed(
            f"{self.host} asks to be left alone for {seconds:.0f} s more",
            f"Fetch again after {back}; nothing is lost.",
        )

    def _stuck(self, seconds: float) -> HostClosed:
        return HostClosed(
            f"all {self.max_in_flight} places at {self.host} are taken by your own processes, and no request has "
            f"started for {seconds:g} s",
            "Look for a suspended process (Ctrl-Z), and continue or end it.",
        )


def _pause_left(until: float, now: float) -> float:
    """Seconds to `until`; none if this is too far away to have been meant."""
    return until - now if 0 < until - now <= LONGEST_PAUSE else 0.0


# --- records shared by threads or processes -----------------------------------------------------------------


class _Ledger(Protocol):
    """Named locks, and two numbers: when the last request started, and until when the host is paused."""

    def lock(self, name: str, wait: bool = False) -> Any:
        """Take a lock; None if it is taken and we do not wait."""

    def unlock(self, lock: Any) -> None:
        """Give it back."""

    def read(self) -> tuple[float, float]:
        """The two times [s since 1970]."""

    def write(self, last: float, until: float) -> None:
        """Note the two times."""


class _Files:
    """The ledger of one user's processes: a folder of files."""

    def __init__(self, folder: Path):
        self._folder = folder

    def lock(self, name: str, wait: bool = False) -> int | None:
        # Opened each time: a lock belongs to an open file, so threads exclude each other as processes do.
        file = self._open(name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        return file

    def unlock(self, lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough if a fork has the file too
        os.close(lock)

    def read(self) -> tuple[float, float]:
        file = self._open("clock")
        try:
            times = os.read(file, 16)
        finally:
            os.close(file)
        return struct.unpack("<dd", times) if len(times) == 16 else (0.0, 0.0)

    def write(self, last: float, until: float) -> None:
        file = self._open("clock")
        try:
            os.write(file, struct.pack("<dd", last, until))
        finally:
            os.close(file)

    def _open(self, name: str) -> int:
        try:
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # new, or swept away with other temporary files
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)


class _Memory:
    """The ledger of one process's threads."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._times = (0.0, 0.0)

    def lock(self, name: str, wait: bool = False) -> threading.Lock | None:
        lock = self._locks.setdefault(name, threading.Lock())
        return lock if lock.acquire(blocking=wait) else None

    def unlock(self, lock: threading.Lock) -> None:
        lock.release()

    def read(self) -> tuple[float, float]:
        return self._times

    def write(self, last: float, until: float) -> None:
        self._times = (last, until)


_MEMORIES: dict[str, _Memory] = {}


def _ledger(host: str) -> _Ledger:
    if fcntl is not None:
        for parent in _runtime_folders():
            try:
                ledger: _Ledger = _Files(_private(parent) / quote(host, safe=""))
                ledger.unlock(ledger.lock("clock", wait=True))
                return ledger
            except OSError:  # not there, not writable, or on a file system without locks
                continue
    return _MEMORIES.setdefault(host, _Memory())


def _runtime_folders() -> Iterator[Path]:
    if folder := os.environ.get("GALESTIM_RUNTIME_DIR"):
        yield Path(folder)
    # Not $XDG_RUNTIME_DIR, which a cron job lacks and a logout removes, nor $TMPDIR, which batch systems set per job.
    yield Path(f"/tmp/galestim-{os.getuid()}")
    yield Path(tempfile.gettempdir(), f"galestim-{os.getuid()}")


def _private(folder: Path) -> Path:
    """`folder`, made if its parent is there; an OSError if it belongs to someone else, as it might in /tmp."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user.")
    return folder
