"""What images and cameras an estimator was trained on, and how far outside of that others are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from ..networks import Camera, Inputs, as_images, n_told, oddities
from ._redraw import RedrawnImages
from ._rows import TrainingRows

MOST_LOOKS, AT_ONCE = 4096, 256  # training images that are looked at
BEYOND = 0.001  # share of them that may lie beyond a limit
FAINTEST = 0.014  # share that may be too faint: noise looks like galaxies that are lost in it
FEW = 30.0  # images that tell nothing of a range: limits are wider by this over their number
FAR = 1e9  # a limit that is none; files hold finite numbers only
NONE = np.inf
# How far beyond those of the training measures may lie, below and above
SLACK = {
    "masked": (NONE, 0.3),
    "signal_to_noise": (0.0, NONE),
    "offset": (NONE, 1.5),
    "noise": (0.06, 0.08),
    "roughness": (0.05, NONE),
    "sky": (0.1, 0.1),
    "size": (0.0, NONE),
    "core": (0.006, NONE),
    "asymmetry": (NONE, 0.05),
    "neighbor": (NONE, 0.05),
    "sharpness": (NONE, 0.05),
}
CAMERA_SLACK = (0.1, 0.1)  # of numbers of the camera, and this share of their range besides
LEAST_HIGH = {"asymmetry": 1.0, "neighbor": 1.0, "sharpness": 1.0}  # what real galaxies have is modest
REASONS = {
    "masked": "masked",
    "signal_to_noise": "no galaxy",
    "offset": "off center",
    "noise": "noise",
    "roughness": "noise",
    "sky": "sky",
    "size": "point source",
    "core": "not smooth",
    "asymmetry": "not smooth",
    "neighbor": "neighbor",
    "sharpness": "not smooth",
}


class Domain:
    """Methods of an estimator that is told the camera, and knows what it was trained on.

    Attributes
    ----------
    domain_ : ndarray of shape (3, n_measures)
        Lower limit, middle and upper limit of each measure, as training images have it.
    """

    domain_: NDArray[np.float64]
    image_shape_: tuple[int, int, int]
    history_: list[dict]
    camera_: bool
    _each_batch: Any
    _fitted_images: Any
    target_names_: list[str]

    def in_domain(self, X):
        """Say of each galaxy whether its image and camera are like those of the training.

        Where they are not, do not trust the posterior, however narrow it is.

        .. versionadded:: 0.1.0

        Parameters
        ----------
        X : Cutouts of n images
            With `psf` and `noise`, like those of `fit`.

        Returns
        -------
        ndarray of bool, shape (n,)
            False for missing cutouts too.

        Raises
        ------
        ValueError
            If the estimator was fitted on images alone.

        See Also
        --------
        domain : Says why.
        """
        return self._domain_scores(X)[0] <= 1

    def domain(self, X):
        """Say how far each galaxy's image and camera are from those of the training, and why.

        .. versionadded:: 0.1.0

        Parameters
        ----------
        X : Cutouts of n images
            With `psf` and `noise`, like those of `fit`.

        Returns
        -------
        astropy.table.Table of n rows
            ``score``: 0 for what is as usual, 1 at the limit, growing beyond; NaN for missing cutouts.
            ``reason``: empty within the domain; else that of the largest score, unless the camera is told outside of
            it, the core is masked, or the galaxy is off the center: ``"camera"``, ``"masked"``, ``"no galaxy"``,
            ``"off center"``, ``"noise"``, ``"sky"``, ``"point source"``, ``"not smooth"``, ``"neighbor"``, or
            ``"missing"``. Then what was measured:

            - ``camera``: score of point-spread function (width, profile, ellipticity), size of the image, photons of
              the galaxy, `sky_error` and `psf_error`;
            - ``masked``: share of the galaxy's core that is masked;
            - ``signal_to_noise``: flux over its error in a Gaussian aperture, in noise that correlates as it does;
            - ``offset`` [pix]: larger coordinate of the galaxy's center from that of the image, at most 3; 0 of what
              is faint;
            - ``noise``: noise that is measured over that which is told;
            - ``roughness`` [noise]: mean difference of neighboring pixels of the sky, small where noise correlates;
            - ``sky``: level of the rim, in units of what `sky_error` and the galaxy's own wings make probable;
            - ``size``: size over that of a star, as large as its error lets it be;
            - ``core``: light within half of the galaxy's scale, less that of a Gaussian;
            - ``asymmetry`` and ``neighbor``: largest difference, within the galaxy and outside of it, of the image
              from itself turned by 180° about the galaxy's center, over what noise (5σ), galaxies by themselves (a
              tenth of the light there) and specks of 0.3 % of the flux make;
            - ``sharpness``: how far a pixel stands out of its neighbors, over what noise and a star do. At least 2 if
              the brightest pixels are equal, as those of a full detector.

        Raises
        ------
        ValueError
            If the estimator was fitted on images alone.

        Notes
        -----
        A measure has the score (value − middle) / (limit − middle), of the median and the 0.1 % quantiles of 4096
        training images, which besides get some margin; the score of a galaxy is the largest. Galaxies are no models:
        light that differs by a tenth is let through, and so is the light of a neighbor that adds less. A star with
        another profile than the one that is told shows only where a galaxy is seen to be smaller than it.

        Differences of images from themselves turned by 180° are the asymmetry of Conselice 2003, ApJS 147, 1, taken
        spot by spot.

        Examples
        --------
        >>> from galestim import HarmonicNet, PosteriorRegressor
        >>> from galestim.datasets import SimulatedGalaxies
        >>> from galestim.simulation import sim_v2_cameras, sim_v2_prior
        >>> galaxies = SimulatedGalaxies(
        ...     300, npix=48, band=sim_v2_cameras(), prior=sim_v2_prior(), random_state=0
        ... )
        >>> model = PosteriorRegressor(HarmonicNet(hidden=8, blocks=1), max_epochs=1, random_state=0)
        >>> model = model.fit(galaxies, galaxies.target)
        >>> cutouts = galaxies[:4]
        >>> print(model.domain(cutouts.replace(noise=2 * cutouts.noise))["reason"][0])
        noise
        """
        score, which, measures, camera = self._domain_scores(X)
        reasons = np.array(["camera"] + [REASONS[name] for name in SLACK])[which]
        reasons[np.isinf(score)] = "not smooth"  # pixels beyond all arithmetic
        reasons = np.where(score <= 1, "", np.where(np.isnan(score), "missing", reasons))
        table = Table({"score": score, "reason": reasons, "camera": camera})
        for name, values in zip(SLACK, measures.T):
            table[name] = np.exp(values) if name in ("signal_to_noise", "noise", "size") else values
        table["offset"].unit = u.pix
        for column in table.itercols():
            if column.dtype.kind == "f":
                column.info.format = ".3g"
        return table

    def _domain_scores(self, X) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Score ``(n,)``, which measure has it (0: the camera), measures ``(n, p)``, and score of the camera."""
        check_is_fitted(self)
        if not self.camera_:
            raise ValueError(
                f"this {type(self).__name__} was fitted on images that know no camera; fit it on Cutouts with psf "
                "and noise, or use NoveltyDetector."
            )
        if not hasattr(self, "domain_"):
            raise ValueError(f"this {type(self).__name__} was fitted before domains were learned; fit it again.")
        images = self._fitted_images(X)
        found, n = self._measured(images), len(SLACK)
        scores = scores_of(found, self.domain_)
        camera = scores[:, n:].max(axis=1)
        each = np.column_stack([camera, scores[:, :n]])
        missing = images.missing()
        each[missing] = np.nan
        told = scores[:, n : -self.image_shape_[2]].max(axis=1) > 1  # else measures of images mean little
        which, names = np.nan_to_num(each, posinf=np.finfo(float).max).argmax(axis=1), ["camera", *SLACK]
        for cause in ("offset", "masked"):  # then what else is seen means little, too
            which = np.where(each[:, names.index(cause)] > 1, names.index(cause), which)
        which = np.where(missing | told, 0, which)
        score = np.maximum(each.max(axis=1), 0.0)
        return score, which, np.where(missing[:, None], np.nan, found[:, :n]), each[:, 0]

    def _measured(self, images) -> NDArray[np.float64]:
        """Measures of images ``(n, p)``, those of the camera last; NaN for missing ones."""
        return self._each_batch(images, _measures, (len(SLACK) + n_told(self.image_shape_[2]),))

    def _learn_domain(self, images, training: TrainingRows) -> None:
        """Measure some of the training images, as they were in the last epoch."""
        n = len(training.rows)
        rows, found = training.rows[np.linspace(0, n - 1, min(n, MOST_LOOKS)).astype(int)], []
        last = self.history_[-1]["epoch"]
        for batch in gen_batches(len(rows), AT_ONCE):
            some = rows[batch]
            if isinstance(images, RedrawnImages):
                looks = images.redrawn(some, last, self.target_names_)[0]
            else:
                looks = images[some]
            found.append(self._measured(looks))
        self.domain_ = limits_of(np.concatenate(found))


def _measures(inputs: Inputs) -> torch.Tensor:
    pixels = inputs["pixels"]
    told = {name: tensor for name, tensor in inputs.items() if name != "pixels"}
    with torch.autocast(pixels.device.type, enabled=False):
        found = oddities(as_images(pixels, torch.float32), Camera(**told))
    return torch.cat([torch.stack([getattr(found, name) for name in SLACK], dim=1), found.camera], dim=1)


def limits_of(measures: NDArray) -> NDArray[np.float64]:
    """Lower limits, middles and upper limits ``(3, p)`` of measures ``(n, p)`` of training images."""
    measures = measures[np.isfinite(measures).all(axis=1)]
    names = list(SLACK)
    low, middle, high = np.quantile(measures, [BEYOND, 0.5, 1 - BEYOND], axis=0)
    faint = names.index("signal_to_noise")
    low[faint] = np.quantile(measures[:, faint], FAINTEST)
    wider = min(1.0, FEW / len(measures))
    below, above = np.transpose([*SLACK.values(), *[CAMERA_SLACK] * (measures.shape[1] - len(names))])
    share = np.where(np.arange(measures.shape[1]) < len(names), 0.0, 0.1)
    width = share * (high - low)
    low, high = low - below - wider * (middle - low) - width, high + above + wider * (high - middle) + width
    for name, least in LEAST_HIGH.items():
        high[names.index(name)] = max(high[names.index(name)], least)
    return np.clip([np.minimum(low, middle - 1e-3), middle, np.maximum(high, middle + 1e-3)], -FAR, FAR)


def scores_of(measures: NDArray, limits: NDArray) -> NDArray[np.float64]:
    """Distances from the middle, 1 at the limit on that side; infinite of what is not finite."""
    low, middle, high = limits
    with np.errstate(invalid="ignore", over="ignore"):
        scores = np.where(
            measures > middle, (measures - middle) / (high - middle), (middle - measures) / (middle - low)
        )
    return np.where(np.isfinite(scores), scores, np.inf)
