"""Runs of `predict_catalog` in children of this process, which are killed, or have no room on their disk.

Everything is imported once, before the children are made; a line of the input says what the next one does:
``OUT PARTS SECONDS LIMIT``, to kill it so many seconds after there are so many partitions if these are not -1, and to
let it write no files larger than LIMIT bytes if these are not 0. A line of the output says how it ended.
"""

import os
import pickle
import resource
import signal
import sys
import time
from pathlib import Path

from galestim import predict_catalog


def child(model, folder: Path, out: str, chunk_size: int, limit: int) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        predict_catalog(model, folder / "catalog.csv", out, chunk_size=chunk_size)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)
    print("done", flush=True)
    os._exit(0)


def killed(pid: int, out: Path, parts: int, seconds: float) -> int:
    """Status of a child that was killed then, unless it ended before."""
    while len(list(out.glob("part-*"))) < parts:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main(folder: Path, chunk_size: int) -> None:
    model = pickle.loads((folder / "model.pickle").read_bytes())
    print("ready", flush=True)
    for line in sys.stdin:
        out, parts, seconds, limit = line.split()
        pid = os.fork()
        if not pid:
            child(model, folder, out, chunk_size, int(limit))
        status = os.waitpid(pid, 0)[1] if int(parts) < 0 else killed(pid, Path(out), int(parts), float(seconds))
        if os.WIFSIGNALED(status):
            print("killed", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
