"""Table of a run, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

from _metrics import NAMES, Row

MARKS = {True: "met", False: "**missed**", None: ""}


def write(folder: Path, tables: dict[str, list[Row]]) -> str:
    """Write `table.jsonl` and `table.md`, with a table per recipe, and return the latter."""
    lines = [json.dumps({"recipe": name} | row._asdict()) for name, rows in tables.items() for row in rows]
    (folder / "table.jsonl").write_text("\n".join(lines) + "\n")
    text = "\n".join(_table(name, rows) for name, rows in tables.items())
    (folder / "table.md").write_text(text)
    return text


def _table(name: str, rows: list[Row]) -> str:
    judged = [row.met for row in rows if row.met is not None]
    head = f"### {name}: {sum(judged)} of {len(judged)} targets met\n\nThree values are {', '.join(NAMES)}.\n\n"
    head += "| | measure | target | value [95 %] | by chance | galaxies | published | |\n" + "|---" * 8 + "|\n"
    return head + "\n".join(map(_line, rows)) + "\n"


def _line(row: Row) -> str:
    cells = [
        row.section,
        row.measure,
        "" if row.target is None else f"{row.sense} {_number(row.target)}",
        " / ".join(_with_interval(row, i) for i in range(len(row.value))),
        "" if row.chance is None else _number(row.chance),
        "" if row.galaxies is None else str(row.galaxies),
        row.published,
        MARKS[row.met],
    ]
    return "| " + " | ".join(cells) + " |"


def _with_interval(row: Row, i: int) -> str:
    if row.low is None or row.high is None:
        return _number(row.value[i])
    return f"{_number(row.value[i])} [{_number(row.low[i])}, {_number(row.high[i])}]"


def _number(value: float) -> str:
    """Three digits; thousands in full."""
    return f"{value:.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
