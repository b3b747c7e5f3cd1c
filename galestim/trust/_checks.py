"""Limits of a trust report, and the verdicts against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from astropy.table import Table

from ._measures import _table
from ._robustness import KEPT, REMOVED

LIMITS = {
    "coverage": 0.01,
    "coverage_3sigma": 0.002,
    "pit": 1.63,
    "joint": 0.015,
    "conditional": 0.96,
    "flips": 0.01,
    "angles": 0.5,
    "shifts": 0.5,
    "noise": 1.2,
    "flagged": 0.05,
    "auroc": 0.95,
    "shifted_coverage": 0.6,
    "kept": 0.98,
    "removed": 0.8,
}
_CALIBRATION = {  # test: name of the limit
    "coverage": "coverage",
    "coverage at 3σ": "coverage_3sigma",
    "joint HDI": "joint",
    "TARP": "joint",
}
_STABILITY = {
    "nothing": "flips",
    "flips and quarter turns": "flips",
    "resampled angles": "angles",
    "simulated angles": "angles",
    "shifts by half a pixel": "shifts",
    "shifts by a pixel": "shifts",
    "noise added": "noise",
}


def checked_limits(limits: Mapping[str, float] | None) -> dict[str, float]:
    """`limits` over the defaults; an error for names that there are not."""
    unknown = set(limits or ()) - set(LIMITS)
    if unknown:
        raise ValueError(f"limits has {', '.join(sorted(unknown))}; expected names among {', '.join(LIMITS)}.")
    return LIMITS | dict(limits or {})


def checks_table(tables: Mapping[str, Table | None], limits: Mapping[str, float]) -> Table:
    """One row for each thing that is asked: what was found, the limit, and whether it is met."""
    rows = list(_calibration(tables["calibration"], limits)) + list(_conditional(tables["conditional"], limits))
    for name, judge in (("stability", _stability), ("crops", _crops), ("novelty", _novelty), ("shifts", _shifts)):
        if tables[name] is not None:
            rows += judge(tables[name], limits)
    return _table(rows, ["section", "check", "found", "rule", "limit", "met", "note"])


def sentences(checks: Table) -> list[str]:
    """A line per row: what was asked, what was found, and whether that is met."""
    width = max(len(row["check"]) for row in checks)
    return [
        f"{'met   ' if row['met'] else 'MISSED'} {row['check']:<{width}} {row['found']:#8.3g} {row['rule']} "
        f"{row['limit']:.3g}{'  ' + row['note'] if row['note'] else ''}"
        for row in checks
    ]


def _row(section: str, check: str, found: float, rule: str, limit: float, note: str = "") -> tuple:
    met = found <= limit if rule == "≤" else found >= limit
    return section, check, float(found), rule, float(limit), bool(met), note


def _calibration(table: Table, limits) -> Iterator[tuple]:
    for row in table:
        check = f"{row['test']}, {row['target']}"
        if row["test"] == "PIT":  # asked in units of 1/√n; 1.63 is what chance leaves 1 % above
            limit = row["chance"] * limits["pit"] / LIMITS["pit"]
            yield _row("calibration", check, row["statistic"], "≤", limit, "from uniform")
            continue
        asked = limits[_CALIBRATION[row["test"]]]
        note = "from nominal"
        if row["chance"] > asked:
            note += f"; {asked:g} is asked, chance reaches {row['chance']:.2g}"
        yield _row("calibration", check, row["statistic"], "≤", max(asked, row["chance"]), note)


def _conditional(table: Table, limits) -> Iterator[tuple]:
    for name in dict.fromkeys(table["target"]):
        agrees = table["agrees"][table["target"] == name]
        limit = np.floor(limits["conditional"] * len(agrees) + 1e-9)
        note = f"of {len(agrees)} bins agree at 1σ, within the 1 % binomial error"
        yield _row("conditional", f"conditional coverage, {name}", agrees.sum(), "≥", limit, note)


def _stability(table: Table, limits) -> Iterator[tuple]:
    for row in table:
        limit, note = limits[_STABILITY[row["change"]]], "rms of the mean over views, in posterior σ"
        yield _row("stability", f"{row['change']}, {row['target']}", row["std_in_sigma"], "≤", limit, note)


def _crops(table: Table, limits) -> Iterator[tuple]:
    for name, limit in ((KEPT, "kept"), (REMOVED, "removed")):
        for row in table[table["crop"] == name]:
            yield _row("crops", name, row["median"], "≥", limits[limit], "median share")


def _novelty(table: Table, limits) -> Iterator[tuple]:
    yield _row("novelty", "images flagged", table["flagged"].mean(), "≤", limits["flagged"], "share of all")


def _shifts(table: Table, limits) -> Iterator[tuple]:
    """A shift is harmless if the posteriors still cover, or if it is seen."""
    covered = [name for name in table.colnames if name.startswith("coverage_")]
    for row in table[1:]:
        least = min(row[name] for name in covered)
        seen = f"AUROC {row['auroc']:.3f}"
        if least >= limits["shifted_coverage"] or row["auroc"] < limits["auroc"]:
            note = f"coverage at 1σ, least of the targets; {seen}"
            yield _row("novelty", row["variant"], least, "≥", limits["shifted_coverage"], note)
        else:
            note = f"{seen.split()[0]}, as coverage at 1σ falls to {least:.2f}"
            yield _row("novelty", row["variant"], row["auroc"], "≥", limits["auroc"], note)
