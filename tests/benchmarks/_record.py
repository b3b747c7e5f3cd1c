"""JSON lines, one per measurement, so that a long run can be stopped, resumed and quoted."""

import json
from pathlib import Path


def recorded(path: Path | None) -> list[dict]:
    """Return what earlier runs wrote to `path`."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def record(path: Path | None, **measurement) -> None:
    """Print a measurement, and append it to `path` if there is one."""
    line = json.dumps(measurement)
    print(line, flush=True)
    if path is not None:
        with path.open("a") as file:
            file.write(line + "\n")
