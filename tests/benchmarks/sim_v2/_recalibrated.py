"""Posteriors of galestim-sim-v2, recalibrated on other galaxies; each size of image by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _crowded import by_neighbors
from _measures import BINS, by_range, tails, told
from _metrics import Row, calibration, conditional
from _sets import SIDES, Part, masked, part

from galestim import Cutouts
from galestim.calibration import RecalibratedRegressor
from galestim.posteriors import Posterior, concatenate

OTHERS = 999  # number of parts from which on none is judged


def posterior(model, folder: Path, parts: list[Part], n: int) -> Posterior:
    """Posteriors of all galaxies of the parts, by a model that is recalibrated on `n` others of each size."""
    of_size = {side: recalibrated(model, folder, parts[0], i, n) for i, side in enumerate(SIDES)}
    return concatenate([of_size[one.cutouts.shape[1]].predict_posterior(masked(one).cutouts) for one in parts])


def recalibrated(model, folder: Path, like: Part, size: int, n: int) -> RecalibratedRegressor:
    """The model, recalibrated on others of the size of that number."""
    numbers = range(OTHERS + size, OTHERS + len(SIDES) * -(-n // len(like)), len(SIDES))
    crowded = like.neighbors is not None
    others = [masked(part(folder, "renderer", number, len(like), crowded)) for number in numbers]
    images = Cutouts.concatenate([one.cutouts for one in others])
    target = np.concatenate([one.target for one in others])
    return RecalibratedRegressor(model, method="local", cv="prefit").fit(images, target)


def measured(posterior: Posterior, parts: list[Part]) -> list[Row]:
    """Rows of calibration, which alone changes."""
    target = np.concatenate([one.target for one in parts])
    ratio = np.concatenate([one.signal_to_noise for one in parts])
    rows = calibration(posterior, target) + tails(posterior, target) + by_range(posterior, target, ratio)
    known = [told(of_part, one) for of_part, one in zip(_split(posterior, parts), parts)]
    for names in BINS:
        features = np.column_stack([np.concatenate([of[name] for of in known]) for name in names])
        rows.append(conditional(posterior, target, features, " × ".join(names)))
    return rows if parts[0].neighbors is None else rows + by_neighbors(posterior, parts)


def _split(posterior: Posterior, parts: list[Part]) -> list[Posterior]:
    """Posteriors of each part."""
    ends = np.cumsum([len(one) for one in parts])
    return [posterior[end - len(one) : end] for end, one in zip(ends, parts)]
