"""Spins, shapes and types of simulated galaxies as those of a table of real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from .._tables import column_names, listed, named_columns

COLUMNS = ("lambda_r", "ellipticity", "visual_type")
FEWEST = 50
TYPES, SHARES = (0.0, 1.0, 2.0, 3.0), (0.9, 0.55, 0.25, 0.08)  # E, S0, early and late spirals; bulge-to-total ratios
SHARE_SCATTER = 0.08
SPHEROID = 1.0  # types below it are as flat as their bulge


@dataclass(frozen=True)
class RealSpins:
    """Galaxies of a table: λ_R, and what of them an image shows.

    Attributes
    ----------
    lambda_r, ellipticity, visual_type : ndarray of shape (n,)
    row : ndarray of int, shape (n,)
        Number of each in the table.
    """

    lambda_r: NDArray[np.float64]
    ellipticity: NDArray[np.float64]
    visual_type: NDArray[np.float64]
    row: NDArray[np.intp]

    @classmethod
    def of(cls, table) -> RealSpins:
        """The rows of a table that have all three.

        Raises
        ------
        ValueError
            If a column is missing, or fewer than 50 rows have all.
        """
        names = column_names(table) or []
        if missing := [name for name in COLUMNS if name not in names]:
            raise ValueError(
                f"like has no {listed(missing)}; expected a table with the columns {', '.join(COLUMNS)}, such as the "
                "catalog of fetch_sami_spin."
            )
        values = named_columns(table, select=COLUMNS, what="like").values
        rows = np.flatnonzero(np.isfinite(values).all(axis=1))
        if len(rows) < FEWEST:
            raise ValueError(f"{len(rows)} of {len(values)} rows of like are finite; expected at least {FEWEST}.")
        lambda_r, ellipticity, visual_type = values[rows].T
        return cls(lambda_r, ellipticity, visual_type, rows)

    def shape(self, rows: NDArray, thickness: float, rng: np.random.RandomState) -> dict[str, NDArray]:
        """Bulge-to-total ratio, cosine of the inclination and, of spheroids, axis ratio of the bulge."""
        kind, axis_ratio = self.visual_type[rows], 1 - self.ellipticity[rows]
        share = np.interp(kind, TYPES, SHARES) + SHARE_SCATTER * rng.standard_normal(len(rows))
        squared = (axis_ratio**2 - thickness**2) / (1 - thickness**2)
        return {
            "bulge_to_total": share.clip(0, 1),
            "cos_inclination": np.sqrt(squared.clip(0, 1)),
            "bulge_axis_ratio": np.where(kind < SPHEROID, axis_ratio.clip(0.15, 1), np.nan),
        }

    def expected(self) -> NDArray[np.float64]:
        """Mean λ_R of galaxies of a row's ellipticity and type, by a forest that has not learned from that row."""
        forest = RandomForestRegressor(300, min_samples_leaf=5, oob_score=True, random_state=0)
        return forest.fit(np.column_stack([self.ellipticity, self.visual_type]), self.lambda_r).oob_prediction_
