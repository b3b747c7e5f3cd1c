"""Batches of galaxies: their cameras, starts and priors as tensors, refined together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .._device import resolve_device
from ..simulation import Profiles, alike
from ._beside import light_beside
from ._broad_prior import broad_prior
from ._coordinates import Coordinates
from ._likelihood import Likelihood
from ._observed import Observed
from ._parameters import factor_of
from ._prior import LogPrior
from ._refine import N_CANDIDATES, Refined, refine
from ._starts import starts
from ._tempering import temper

BATCH = {"cpu": 8 * 96**2, "cuda": 256 * 96**2}  # pixels of galaxies that are refined at a time


def batches(seen: Observed, rows: NDArray, device):
    """Rows that are refined at a time: of cameras that share wave numbers."""
    if not len(rows):
        return
    size = max(1, BATCH.get(torch.device(resolve_device(device)).type, BATCH["cpu"]) // seen.images[0].size)
    with_width = seen.psf_error[rows] > 0
    for uncertain in (False, True):
        some = rows[with_width == uncertain]
        groups = alike([seen.psf[i] for i in some], seen.pixel_scale[some]) if len(some) else []
        for members in groups:
            for begin in range(0, len(members), size):
                yield some[members[begin : begin + size]]


@torch.no_grad()
def refine_batch(
    posterior, seen: Observed, rows: NDArray, rng, *, neighbors, prior, model_error, sampler, n_samples, device
) -> Refined:
    """Refine some rows, from the posteriors that an estimator has of them."""
    device = resolve_device(device)
    generator = torch.Generator(device=device).manual_seed(int(rng.randint(2**31)))
    prior = broad_prior(seen.pixel_scale, seen.images.shape[1]) if prior is None else prior
    psfs, scale, width = [seen.psf[i] for i in rows], seen.pixel_scale[rows], seen.psf_error[rows]
    uncertain = bool(width.max() > 0)
    coordinates = Coordinates(prior, uncertain)
    profiles = Profiles(psfs, scale, seen.images.shape[1], device, width if uncertain else None)
    images, variance = (torch.as_tensor(a[rows], device=device).flatten(1) for a in (seen.images, seen.variance))
    gain, level = (torch.as_tensor(a[rows], device=device).float() for a in (seen.gain, seen.level_error))
    beside = light_beside(neighbors, seen, rows)
    likelihood = Likelihood(
        profiles, coordinates, images, variance, gain, level,
        model_error=model_error, beside=None if beside is None else beside.to(device),
    )  # fmt: skip
    told = posterior.sample(2 * N_CANDIDATES, random_state=rng)
    drawn = {
        name: torch.as_tensor(told[..., j] / factor_of(name, posterior.units[j]), device=device)
        for j, name in enumerate(posterior.target_names)
    }
    fwhm = torch.as_tensor(np.array([psf.fwhm for psf in psfs]) / scale, device=device)
    candidates = starts(likelihood, drawn, 2 * N_CANDIDATES, fwhm, generator)
    log_prior = LogPrior(prior, coordinates, torch.as_tensor(seen.zero_point[rows], device=device))
    sample = {"importance": refine, "tempering": temper}[sampler]
    return sample(likelihood, log_prior, candidates, n_samples=n_samples, generator=generator)
