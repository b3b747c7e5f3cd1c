"""Tables of a trust report that need images: stability, crops and novelty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state, gen_batches

from .._cutouts import Cutouts
from .._masked import without_mask
from ..calibration import coverage
from ..posteriors import Posterior
from ._measures import N_BOOTSTRAP, ONE_SIGMA, Judged, _table
from ._novelty import NoveltyDetector
from ._stage import Stage
from ._variants import (
    NOISIER,
    WIDER,
    blurred,
    flips_and_quarter_turns,
    noisier,
    sharpest,
    shifted,
    turned,
    with_neighbor,
)

N_REDRAWS = 8
MOST_REFERENCE = 5000  # images that a detector learns from
AT_ONCE = 1000  # images that a detector looks at
KEPT, REMOVED = "galaxy's light kept", "neighbors' light removed"
LEAST_NEIGHBOR = 0.01  # of the galaxy's light; less is not worth removing
FARTHEST = 1e9  # below a threshold: of what is no image at all


class Sample(NamedTuple):
    """Some of the galaxies, with their images ``(m, H, W, C)`` and the posteriors of these."""

    stage: Stage
    rows: NDArray[np.intp]
    images: NDArray
    posterior: Posterior
    y: NDArray[np.float64]


# ---- stability


def stability_table(sample: Sample, judged: Judged, simulator: Callable | None, n_angles: int) -> Table:
    """Changes of the posteriors' means, per kind of change and target, in the target and in its own σ."""
    rows = []
    for kind, views in _changes(sample, simulator, n_angles, check_random_state(judged.random_state)):
        means, sigma = _means(sample, views)
        base = means.mean(axis=0)  # of galaxies that the simulator knows
        if kind != "simulated angles":
            base, sigma = sample.posterior.mean(), sample.posterior.std()
        for j, (name, unit) in enumerate(zip(judged.names, judged.units)):
            scale = np.abs(base[:, j]) if judged.relative[j] else np.ones(len(base))
            rows.append((kind, name, unit, len(means), *_spread(means[:, :, j], base[:, j], scale, sigma[:, j])))
    numbers = ["std", "largest", "std_in_sigma", "largest_in_sigma"]
    return _table(rows, ["change", "target", "unit", "n_views", "n_galaxies", *numbers])


def _changes(sample: Sample, simulator, n_angles: int, rng) -> Iterator[tuple[str, Iterator[Any]]]:
    """Each kind of change, and what it makes of images, which know of it if they know their camera."""
    images, rows, changed = sample.images, sample.rows, sample.stage.changed
    stars, bad = sample.stage.stars(rows), sample.stage.bad(rows)
    angles = np.arange(n_angles) * 360 / n_angles

    def views(change: Callable, turns: bool) -> Iterator[Any]:
        parts = [images, stars if turns else None, bad]
        each = zip(*(repeat(None) if part is None else change(part) for part in parts))
        return (changed(image, rows, star, mask) for image, star, mask in each)

    yield "nothing", iter([changed(images, rows)])
    yield "flips and quarter turns", views(flips_and_quarter_turns, True)
    if simulator is None:
        yield "resampled angles", views(lambda one: (turned(one, angle) for angle in angles + 180 / n_angles), True)
    else:
        yield "simulated angles", (_simulated(simulator, angle, sample) for angle in angles)
    yield "shifts by half a pixel", views(lambda one: shifted(one, 0.5), False)
    yield "shifts by a pixel", views(lambda one: shifted(one, 1.0), False)
    yield "noise added", (changed(noisier(images, 1.0, rng), rows, noise=np.sqrt(2)) for _ in range(N_REDRAWS))


def _simulated(simulator: Callable, angle: float, sample: Sample):
    given, like = simulator(float(angle)), sample.images
    images = np.asarray(without_mask(given))
    images = images if images.ndim == 4 else images[..., None]
    if images.ndim != 4 or images.shape[1:] != like.shape[1:]:
        raise ValueError(
            f"simulator({angle:g}) returned images of shape {images.shape}; expected (n, H, W[, C]) of (H, W, C) = "
            f"{like.shape[1:]}, the same galaxies at every angle."
        )
    if isinstance(given, Cutouts):
        return given
    return sample.stage.changed(images, sample.rows[: len(images)])


def _means(sample: Sample, views: Iterator[NDArray]) -> tuple[NDArray, NDArray]:
    """Means ``(v, m, k)`` of the posteriors of each view, and standard deviations ``(m, k)`` of the last."""
    means = []
    for view in views:
        posterior = sample.stage.predict(view)
        means.append(posterior.mean())
    if len({len(mean) for mean in means}) > 1:
        raise ValueError("simulator returned another number of images at another angle; expected the same galaxies.")
    return np.stack(means), posterior.std()


def _spread(means: NDArray, base: NDArray, scale: NDArray, sigma: NDArray) -> tuple[float, ...]:
    """Number of galaxies; rms over them of the std over views ``(v, m)`` and largest change, by `scale` and in σ."""
    std = means.std(axis=0) if len(means) > 1 else np.abs(means[0] - base)
    largest = np.abs(means - base).max(axis=0)
    numbers = [(np.sqrt(((std / unit) ** 2).mean()), (largest / unit).max()) for unit in (scale, sigma)]
    return len(base), *(float(number) for pair in numbers for number in pair)


# ---- crops


def crops_table(sample: Sample, galaxy_light, neighbor_light) -> Table:
    """Percentiles of side, center and angle of the crops over galaxies, and of the light that they keep and leave."""
    needed = "crop_parameters" if galaxy_light is None and neighbor_light is None else "light_inside"
    inner, X = sample.stage.innermost(sample.stage.X[sample.rows], needed)
    crops = inner.crop_parameters(X)
    middle = (np.array(np.shape(X)[1:3]) - 1) / 2 if np.ndim(X) > 2 else (0.0, 0.0)
    values = {
        "side [of the image's]": crops["scale"],
        "x from the middle [pixels]": crops["x"] - middle[1],
        "y from the middle [pixels]": crops["y"] - middle[0],
        "angle [deg]": crops["angle"],
    }
    own, others = (
        None if light is None else np.asarray(light)[sample.rows] for light in (galaxy_light, neighbor_light)
    )
    values |= _light_shares(inner, X, own, others)
    percents = (0, 16, 50, 84, 100)
    rows = [
        (name, *np.nanpercentile(value, percents), float(np.nanstd(value)))
        for name, value in values.items()
        if np.isfinite(value).any()
    ]
    return _table(rows, ["crop", "least", "p16", "median", "p84", "most", "std"])


def _light_shares(inner, X, own: NDArray | None, others: NDArray | None) -> dict[str, NDArray[np.float64]]:
    """Share of a galaxy's own light that is kept and of the others' that is not, where either is known."""
    shares = {}
    if own is not None:
        shares[KEPT] = _share_inside(inner, X, own)
    if others is not None:
        shares[REMOVED] = 1 - _share_inside(inner, X, others)
    if own is not None and others is not None:
        shares[REMOVED][_total(others) < LEAST_NEIGHBOR * _total(own)] = np.nan
    return shares


def _share_inside(inner, X, light: NDArray) -> NDArray[np.float64]:
    """Share of light that lies within the crops; NaN where there is none."""
    total = _total(light)
    return np.divide(inner.light_inside(X, light), total, out=np.full(len(total), np.nan), where=total > 0)


def _total(light: NDArray) -> NDArray[np.float64]:
    return light.reshape(len(light), -1).sum(axis=1, dtype=np.float64)


# ---- novelty


class _Detectors(NamedTuple):
    """Detectors, and which of the galaxies each may score: those that it has not learned from."""

    stage: Stage
    rows: list[NDArray[np.intp]]
    detectors: list[NoveltyDetector]

    def unchanged(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores above the threshold of the galaxies as they are."""
        return self.decide(self.stage.images(rows), rows)

    def decide(self, images: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores above the threshold of images of the galaxies `rows`."""
        out = np.empty(len(rows))
        for own, detector in zip(self.rows, self.detectors):
            chosen = np.isin(rows, own)
            if chosen.any():
                out[chosen] = detector.decision_function(self.stage.changed(images[chosen], rows[chosen]))
        return out


class _OwnDomain(NamedTuple):
    """The domain that the estimator itself knows."""

    stage: Stage

    def decide(self, images: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """How far within it images of the galaxies `rows` are."""
        return self._of(self.stage.changed(images, rows))

    def unchanged(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The same of the galaxies as they are, with what is masked in them."""
        return self._of(self.stage.X[rows])

    def _of(self, cutouts) -> NDArray[np.float64]:
        return np.nan_to_num(self.stage.domain_decision(cutouts), nan=-FARTHEST, neginf=-FARTHEST)


def novelty_tables(
    sample: Sample, judged: Judged, known: NDArray[np.intp], reference, psf_fwhm: float | None
) -> tuple[Table, Table, dict[str, NDArray]]:
    """Score and flag of each galaxy; what is seen of changed copies, and how they are covered; and the scores."""
    detectors: Any = _detectors(sample.stage, known, reference, judged.random_state)
    decision = np.concatenate([detectors.unchanged(known[rows]) for rows in gen_batches(len(known), AT_ONCE)])
    novelty = _table(list(zip(known.tolist(), decision, decision < 0)), ["row", "decision", "flagged"])
    unchanged = decision[np.searchsorted(known, sample.rows)]
    scores, rows = {"unchanged": unchanged}, [_covered("unchanged", sample.posterior, sample.y, unchanged, None)]
    for variant, images in _shifts(sample, psf_fwhm, check_random_state(judged.random_state)):
        scores[variant] = detectors.decide(images, sample.rows)
        posterior = sample.stage.predict(sample.stage.changed(images, sample.rows))
        rows.append(_covered(variant, posterior, sample.y, scores[variant], unchanged))
    covered = [f"coverage_{name}" for name in judged.names]
    return novelty, _table(rows, ["variant", "auroc", "low", "high", "flagged", *covered]), scores


def _detectors(stage: Stage, known: NDArray, reference, seed: int) -> _Detectors | _OwnDomain:
    """What the estimator knows itself; else one that knows the reference; else two, each of half of the galaxies."""
    if reference is None and stage.knows_domain:
        return _OwnDomain(stage)
    detector = NoveltyDetector(random_state=seed)
    if reference is not None:
        return _Detectors(stage, [known], [detector.fit(without_mask(reference[:MOST_REFERENCE]))])
    halves = [(known[a], known[b]) for a, b in KFold(2, shuffle=True, random_state=seed).split(known)]
    fitted = [NoveltyDetector(random_state=seed).fit(without_mask(stage.X[a[:MOST_REFERENCE]])) for a, _ in halves]
    return _Detectors(stage, [b for _, b in halves], fitted)


def _shifts(sample: Sample, psf_fwhm: float | None, rng) -> Iterator[tuple[str, NDArray]]:
    """Changed copies whose truth is that of the galaxy."""
    fwhm = sharpest(sample.images) if psf_fwhm is None else psf_fwhm
    yield f"PSF +{100 * (WIDER - 1):.0f} %", blurred(sample.images, fwhm, rng)
    yield "a neighbor", with_neighbor(sample.images, rng)
    yield f"noise +{100 * (NOISIER - 1):.0f} %", noisier(sample.images, np.sqrt(NOISIER**2 - 1), rng)


def _covered(variant: str, posterior: Posterior, y: NDArray, decision: NDArray, unchanged: NDArray | None) -> tuple:
    """A row: how well the variant is told from unchanged images, the share flagged, and the coverage at 1σ."""
    found = coverage(posterior, y, [ONE_SIGMA]).coverage[0]
    auroc = (np.nan,) * 3 if unchanged is None else _auroc(unchanged, decision)
    return (variant, *auroc, float((decision < 0).mean()), *found)


def _auroc(unchanged: NDArray, changed: NDArray) -> tuple[float, float, float]:
    """Area under the ROC curve, with its 95 % interval from resampled galaxies."""
    n = len(unchanged)
    rows = np.vstack([np.arange(n), np.random.RandomState(0).randint(n, size=(N_BOOTSTRAP, n))])
    areas = mannwhitneyu(unchanged[rows], changed[rows], axis=1, method="asymptotic").statistic / n**2
    low, high = np.quantile(areas[1:], [0.025, 0.975])
    return float(areas[0]), float(low), float(high)
