"""Measures of one model on galestim-sim-v2-crowded, besides those of all sets."""

from __future__ import annotations

import numpy as np
from _metrics import Row, conditional, errors, in_logarithms, row
from _sets import Part
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from galestim.calibration import coverage
from galestim.posteriors import Posterior

JUDGED = {"30–1000": (30, 1000, 1.25)}  # of signal to noise, and the target of RMSE / limit
NUMBERS = {"no neighbor": (0, 1), "one neighbor": (1, 2), "more neighbors": (2, np.inf)}
BINS_THAT_COVER = 23  # of 25
FAR_OFF, MOST_FLAGGED, LEAST_AREA = 5, 0.05, 0.9


def measured(posterior: Posterior, parts: list[Part], limit: NDArray, scores: NDArray) -> list[Row]:
    """Errors over the limit, coverage by what is beside the galaxies, and which galaxies are flagged."""
    target = np.concatenate([part.target for part in parts])
    ratio = np.concatenate([part.signal_to_noise for part in parts])
    number = np.concatenate([part.galaxies["n_neighbors"] for part in parts])
    kept = finite(posterior)
    limited = kept[kept < len(limit)]
    rows = errors(posterior[limited], target[limited], ratio[limited], limit[limited], JUDGED, "S/N")[:-1]
    ranges = {name: (*ends, None) for name, ends in NUMBERS.items()}
    rows += errors(posterior[limited], target[limited], number[limited], limit[limited], ranges, "with")[:-1]
    return rows + flags(posterior[kept], target[kept], scores[kept]) + by_neighbors(posterior, parts)


def finite(posterior: Posterior) -> NDArray[np.intp]:
    """Rows of posteriors whose means are."""
    return np.flatnonzero(np.isfinite(in_logarithms(posterior).mean()).all(axis=1))


def by_neighbors(posterior: Posterior, parts: list[Part]) -> list[Row]:
    """Coverage by the number of neighbors, and by distance and flux of the nearest."""
    target = np.concatenate([part.target for part in parts])
    number = np.concatenate([part.galaxies["n_neighbors"] for part in parts])
    beside = np.concatenate([nearest(part) for part in parts])
    kept, rows = finite(posterior), []
    for name, (low, high) in NUMBERS.items():
        chosen = kept[(number[kept] >= low) & (number[kept] < high)]
        if len(chosen) > 1:
            found = coverage(posterior[chosen], target[chosen], levels=[0.6827])
            interval = found.low[0], found.high[0]
            measure = f"68 % intervals hold, {name}"
            rows.append(row("coverage", measure, found.coverage[0], interval, galaxies=len(chosen)))
    crowded = kept[number[kept] > 0]
    return [*rows, bins(posterior[crowded], target[crowded], beside[crowded])]


def flags(posterior: Posterior, target: NDArray, scores: NDArray) -> list[Row]:
    """Share of galaxies that `domain` flags, and how well its score finds errors beyond 5 σ of any target."""
    logarithms = in_logarithms(posterior)
    truth = np.column_stack([target[:, 0], np.log(target[:, 1:])])
    wrong = (abs(truth - logarithms.mean()) > FAR_OFF * np.sqrt(logarithms.var())).any(axis=1)
    flagged = float((scores > 1).mean())
    rows = [
        row("flags", f"share beyond {FAR_OFF} σ", float(wrong.mean()), galaxies=len(scores)),
        row("flags", "share flagged", flagged, target=MOST_FLAGGED, galaxies=len(scores)),
    ]
    if 0 < wrong.sum() < len(wrong):
        area = roc_auc_score(wrong, np.nan_to_num(scores, nan=np.inf, posinf=1e9))
        what = f"AUROC of the score for errors beyond {FAR_OFF} σ ({wrong.sum()} galaxies)"
        rows.append(row("flags", what, area, sense="≥", target=LEAST_AREA, galaxies=len(scores)))
    return rows


def nearest(part: Part) -> NDArray:
    """Distance [pixels] and flux of the nearest neighbor ``(n, 2)``; NaN where there is none."""
    assert part.neighbors is not None
    found = np.full((len(part), 2), np.nan)
    order = np.argsort(-part.neighbors["distance"])  # so that the nearest are written last
    galaxy = part.neighbors["galaxy"][order]
    found[galaxy] = np.column_stack([part.neighbors["distance"], part.neighbors["flux"]])[order]
    return found


def bins(posterior: Posterior, target: NDArray, beside: NDArray) -> Row:
    """In how many of 5×5 bins of distance and flux ratio of the nearest neighbor the 68 % coverage is right.

    The flux of the galaxy is the predicted one: of its true flux, no posterior is right bin by bin.
    """
    flux = np.log(beside[:, 1]) - in_logarithms(posterior).mean()[:, 2]
    features = np.column_stack([np.log(beside[:, 0]), flux])
    found = conditional(posterior, target, features, "neighbor distance × flux ratio")
    return found._replace(target=BINS_THAT_COVER, met=all(value >= BINS_THAT_COVER for value in found.value))
