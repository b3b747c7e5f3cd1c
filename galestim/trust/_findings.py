"""Findings of a trust report: its tables and verdicts, which a page can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astropy.table import Table
from numpy.typing import NDArray

_TABLES = (
    *("checks", "accuracy", "scores", "calibration", "coverage", "conditional"),
    *("stability", "crops", "shifts", "novelty"),
)


@dataclass(repr=False)
class Findings:
    """Tables, and what was left out; each of them is described in `TrustReport`."""

    checks: Table
    accuracy: Table
    scores: Table
    coverage: Table
    calibration: Table
    conditional: Table
    stability: Table | None
    crops: Table | None
    novelty: Table | None
    shifts: Table | None
    left_out: dict[str, str]
    n_missing: int
    judged: Any
    decisions: dict[str, NDArray]

    @property
    def passed(self) -> bool:
        """True if everything that is asked is met."""
        return bool(self.checks["met"].all())

    @property
    def n_galaxies(self) -> int:
        """Number of galaxies that were judged."""
        return len(self.judged.y)

    def tables(self):
        """Give the tables that there are.

        Returns
        -------
        dict of str to astropy.table.Table
        """
        return {name: getattr(self, name) for name in _TABLES if getattr(self, name) is not None}
