"""Measures of a recipe: rows of values with intervals of 95 %, each beside its target.

Errors and widths are those of B/T, ln R_e and ln F, as the limit is. An estimate is the mean of the posterior of
these three (that of ln R_e, not the logarithm of the mean of R_e), which has the least RMSE.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from galestim.calibration import conditional_coverage, coverage, joint_coverage, pit, pit_uniformity, sharpness, tarp
from galestim.posteriors import DrawsPosterior, MixturePosterior, Posterior
from galestim.targets import IdentityTransform

NAMES = ("B/T", "ln R_e", "ln F")
MAGNITUDES = {  # ranges, and the target of RMSE / limit there
    "17.5–19": (17.5, 19, 2.0),
    "19–20": (19, 20, 1.25),
    "20–21": (20, 21, 1.25),
    "21–22": (21, 22, 1.10),
    "22–23": (22, 23, 1.10),
    "> 20": (20, 23, 1.25),
    "> 21": (21, 23, 1.10),
    "all": (17.5, 23, None),
}
LEVELS = np.arange(1, 20) / 20
JUDGED_SHIFTS = ("psf", "neighbor")
N_RESAMPLES = 999
PUBLISHED = {"RMSE": "B/T 0.1, R_e 7 %, F 1 % (low z)", "coverage": "≲ 0.05", "turned": "≲ 5 %", "speed": "0.017"}


class Row(NamedTuple):
    """A measurement, its target, and whether that is met; `chance` is what a perfect posterior stays below (95 %)."""

    section: str
    measure: str
    names: tuple[str, ...]
    value: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    sense: str = "≤"
    target: float | None = None
    met: bool | None = None
    chance: float | None = None
    galaxies: int | None = None
    published: str = ""


def row(section, measure, value, interval=None, *, sense="≤", target=None, names=NAMES, **more) -> Row:
    """A `Row` of plain numbers, which says for itself whether it meets its target."""
    low, high = interval or (None, None)
    values, low, high = (None if v is None else np.atleast_1d(v).tolist() for v in (value, low, high))
    met = None if target is None else all(v <= target if sense == "≤" else v >= target for v in values)
    names = names if len(values) == len(names) else ("",) * len(values)
    return Row(section, measure, names, values, low, high, sense, target, **{"met": met, **more})


def in_logarithms(posterior: Posterior) -> Posterior:
    """The posterior of (B/T, ln R_e, ln F)."""
    if isinstance(posterior, MixturePosterior):
        logarithms = copy.copy(posterior)
        logarithms.transforms = [posterior.transforms[0], IdentityTransform(), IdentityTransform()]
        return logarithms
    assert isinstance(posterior, DrawsPosterior)
    return DrawsPosterior(logarithms_of(posterior.draws), posterior.weights, target_names=posterior.target_names)


def logarithms_of(target: NDArray) -> NDArray:
    """B/T, R_e and F ``(…, 3)`` as (B/T, ln R_e, ln F); draws that left the positive numbers as 1e-3 and 1e-6."""
    return np.concatenate([target[..., :1], np.log(np.maximum(target[..., 1:], [1e-3, 1e-6]))], axis=-1)


def resampled(statistic, n: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Interval of 95 % of `statistic`, which is given how often each of n galaxies was drawn ``(n,)``."""
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(N_RESAMPLES))
    low, high = np.percentile([statistic(weight) for weight in draws], [2.5, 97.5], axis=0)
    return low, high


def accuracy(posterior: Posterior, y: NDArray, magnitude: NDArray, limit: NDArray) -> list[Row]:
    """RMSE over the rms limit of the same galaxies, by magnitude, and the widths over the limit."""
    n = min(len(limit), len(y))
    logarithms = in_logarithms(posterior[:n])
    faint = magnitude[:n] > 20
    width = sharpness(logarithms[faint], limit=limit[:n][faint])
    total = root_ratio(logarithms.var()[faint], limit[:n][faint] ** 2)
    return [
        *errors(posterior, y, magnitude, limit, MAGNITUDES, "mag"),
        row(
            "sharpness", "mean of width / limit, mag > 20", width.width, (width.low, width.high), target=1.1,
            galaxies=int(faint.sum()),
        ),
        row("sharpness", "rms width / rms limit, mag > 20", *total, galaxies=int(faint.sum())),
    ]  # fmt: skip


def errors(posterior: Posterior, y: NDArray, by: NDArray, limit: NDArray, ranges: dict, label: str) -> list[Row]:
    """RMSE over the rms limit of the same galaxies, in `ranges` of `by`, and of all."""
    n = min(len(limit), len(y))
    squares, limits = (in_logarithms(posterior[:n]).mean() - logarithms_of(y[:n])) ** 2, limit[:n] ** 2
    rows = []
    for name, (low, high, target) in ranges.items():
        chosen = (by[:n] >= low) & (by[:n] < high)
        if chosen.sum() > 1:
            ratio = root_ratio(squares[chosen], limits[chosen])
            rms = " / ".join(f"{value:.2g}" for value in np.sqrt(limits[chosen].mean(axis=0)))
            measure, count = f"RMSE / limit, {label} {name} (limit {rms})", int(chosen.sum())
            rows.append(row("accuracy", measure, *ratio, target=target, galaxies=count))
    rmse = root_ratio(squares, np.ones_like(squares))
    return [*rows, row("accuracy", "RMSE", *rmse, galaxies=n, published=PUBLISHED["RMSE"])]


def root_ratio(squares: NDArray, unit: NDArray) -> tuple[NDArray, tuple[NDArray, NDArray]]:
    """Root of the ratio of means ``(3,)``, and its interval."""

    def statistic(weight):
        return np.sqrt(weight @ squares / (weight @ unit))

    return statistic(np.ones(len(squares))), resampled(statistic, len(squares))


def improvement(ours: Posterior, theirs: Posterior, y: NDArray, name: str) -> Row:
    """Relative gain in RMSE over another recipe, on the galaxies that both predicted."""
    n = min(len(ours), len(theirs))
    squares, others = ((in_logarithms(p[:n]).mean() - logarithms_of(y[:n])) ** 2 for p in (ours, theirs))
    ratio, (low, high) = root_ratio(squares, others)
    target = 0.25 if name == "gampen" else None
    measure = f"RMSE lower than that of {name} by"
    return row("accuracy", measure, 1 - ratio, (1 - high, 1 - low), sense="≥", target=target, galaxies=n)


def calibration(posterior: Posterior, y: NDArray) -> list[Row]:
    """Coverage at all levels, by target and jointly."""
    n = len(y)
    distance = abs(2 * pit(posterior, y) - 1)
    counts = np.array([np.histogram(column, np.linspace(0, 1, 21))[0] for column in distance.T])
    chance = _chance(n, 20)
    tail = coverage(posterior, y, levels=[0.9973])
    folded = np.sort([abs(tail.low - 0.9973), abs(tail.high - 0.9973)], axis=0)
    crosses = (tail.low < 0.9973) & (tail.high > 0.9973)
    test = pit_uniformity(posterior, y)
    joint, balls = joint_coverage(posterior, y), tarp(posterior, y)
    return [
        row(
            "calibration", "largest deviation of coverage, 5 … 95 %", _deviation(counts), _deviations(counts),
            target=0.01, chance=chance, galaxies=n, published=PUBLISHED["coverage"],
        ),
        row(
            "calibration", "deviation of coverage at 3 σ", abs(tail.coverage - 0.9973)[0],
            (np.where(crosses, 0, folded[0])[0], folded[1][0]), target=0.002, galaxies=n,
        ),
        row("calibration", "PIT, D of Kolmogorov and Smirnov", test.statistic, target=1.63 / np.sqrt(n), galaxies=n),
        *(
            row("calibration", measure, _deviation(_counts(found.ecdf, n)), _deviations(_counts(found.ecdf, n)),
                target=0.015, chance=_chance(n, 100), galaxies=n)
            for measure, found in (("joint coverage, largest deviation", joint), ("TARP, largest deviation", balls))
        ),
    ]  # fmt: skip


def _counts(ecdf: NDArray, n: int) -> NDArray:
    """Counts of n values between the levels of their cumulative distribution."""
    return np.rint(np.diff(np.r_[0, ecdf, 1]) * n).astype(int)


def _deviation(counts: NDArray) -> NDArray:
    """Largest distance between a cumulative distribution and that of uniform values, of counts ``(…, n_bins)``."""
    shares = np.cumsum(counts, axis=-1) / counts.sum(axis=-1, keepdims=True)
    return abs(shares - np.arange(1, counts.shape[-1] + 1) / counts.shape[-1]).max(axis=-1)


def _deviations(counts: NDArray) -> tuple[NDArray, NDArray]:
    """Interval of what endless galaxies would show: it is no further from the deviation found than `_chance`."""
    found, chance = _deviation(counts), _chance(int(counts.sum(axis=-1).flat[0]), counts.shape[-1])
    return np.maximum(found - chance, 0), found + chance


def _chance(n: int, n_bins: int) -> float:
    """95 % quantile of `_deviation`, for n galaxies with perfect posteriors."""
    uniform = np.random.default_rng(0).multinomial(n, np.full(n_bins, 1 / n_bins), size=4999)
    return float(np.percentile(_deviation(uniform), 95))


def magnitude_and_radius(posterior: Posterior) -> tuple[NDArray, str]:
    """Predicted ln F and ln R_e ``(n, 2)``, and what they are called."""
    return in_logarithms(posterior).mean()[:, :0:-1], "magnitude and radius"


def conditional(posterior: Posterior, y: NDArray, by: NDArray, name: str) -> Row:
    """In how many of 5×5 bins of what is known ``(n, 2)`` the 68 % coverage is right to its 1 % error."""
    found = conditional_coverage(posterior, y, by, levels=[0.6827], bins=5)
    right = ((found.bin_p_value >= 0.01) | np.isnan(found.bin_p_value)).sum(axis=(0, 1))[0]
    measure = f"bins of {name} that cover, of {found.n_galaxies.size}"
    return row("calibration", measure, right, sense="≥", target=found.n_galaxies.size - 1, galaxies=len(y))


def shift(name: str, posterior: Posterior, y: NDArray, scores: dict[str, NDArray] | None) -> list[Row]:
    """Coverage where something is not as in training, and whether such galaxies are flagged; one of both will do."""
    judged = name in JUDGED_SHIFTS
    found = coverage(posterior, y, levels=[0.6827])
    covered = bool((found.coverage >= 0.6).all())
    flags = None if scores is None else _flags(scores["clean"], scores[name])
    met = (covered or (flags is not None and flags.value[0] >= 0.95)) if judged else None
    share = row(
        "shift", f"{name}: 68 % coverage{', if AUROC < 0.95' if judged else ''}", found.coverage[0],
        (found.low[0], found.high[0]), sense="≥", target=0.6 if judged else None, met=met, galaxies=len(y),
    )  # fmt: skip
    return [share] if flags is None else [share, flags._replace(measure=f"{name}: AUROC of the flag")]


def _flags(usual: NDArray, shifted: NDArray) -> Row:
    """Area under the ROC curve of scores that are lower for what is new."""
    rng = np.random.default_rng(0)
    pairs = [(rng.choice(usual, len(usual)), rng.choice(shifted, len(shifted))) for _ in range(199)]
    interval = np.percentile([_area(*pair) for pair in pairs], [2.5, 97.5])
    return row("shift", "", _area(usual, shifted), tuple(interval), sense="≥", galaxies=len(shifted))


def _area(usual: NDArray, shifted: NDArray) -> float:
    """Area under the ROC curve of scores that are lower for what is new, by their ranks."""
    return mannwhitneyu(usual, shifted, method="asymptotic").statistic / (len(usual) * len(shifted))


def rotation(views: NDArray, angles: NDArray) -> list[Row]:
    """Changes under flips and turns of the means ``(n, n_views, 3)`` of B/T, ln R_e and ln F."""
    change = abs(views - views[:, :1]).max(axis=(0, 1))
    variance = angles.var(axis=1, ddof=1)
    scatter = root_ratio(variance, np.ones_like(variance))
    return [
        row("rotation", "flips and quarter turns: largest change", change, target=1e-5, galaxies=len(views)),
        row(
            "rotation", "36 re-rendered angles: rms scatter", *scatter, target=0.005,
            galaxies=len(angles), published=PUBLISHED["turned"],
        ),
        row(
            "rotation", "36 re-rendered angles: largest scatter", np.sqrt(variance.max(axis=0)), galaxies=len(angles)
        ),
    ]  # fmt: skip


def cost(speed: dict, training: dict) -> list[Row]:
    """Galaxies a second, minutes and megabytes."""
    threads = f"{speed['threads']} thread{'s' if speed['threads'] > 1 else ''}"
    return [
        row(
            "speed", f"galaxies / s with 1000 draws each, {threads}", speed["galaxies_per_second"], sense="≥",
            target=1000, galaxies=speed["galaxies"], published=PUBLISHED["speed"],
        ),
        row("speed", "times as fast as 1000 passes of VGG-16 at the same time", speed["times_as_fast_as_vgg16"]),
        row("speed", f"minutes of training, {training['threads']} threads", training["minutes"], target=60),
        row("speed", "weights, MB", training["megabytes"], target=10),
    ]  # fmt: skip
