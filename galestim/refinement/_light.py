"""The light of bulge and disk: draws of their fluxes, and the radius that holds half of both."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch.special import ndtri

from ..simulation import enclosed_light

INDICES, RADII = (0.5, 6.2, 192), (-7.0, 4.5, 1536)  # least and largest, nodes: of the index, of ln radius
FARTHEST = 6.0  # standard deviations of the whole flux
N_STEPS = 14  # of the search for the radius


def drawn_fluxes(fit, n: int, generator: torch.Generator):
    """Fluxes ``(G, K, n)`` of the whole and of its bulge, and the logarithm of their weight.

    They are normal, with what the image says of them given shapes, and cut off at 0: the bulge is drawn first, then
    the disk, and the probabilities of what is left of both are the weight.
    """
    covariance = torch.cholesky_inverse(fit.factor)
    bulge, disk = fit.best[..., :1], fit.best[..., 1:2]
    of_bulge, of_disk, of_both = (covariance[..., i, j, None] for i, j in ((0, 0), (1, 1), (0, 1)))
    most = bulge + disk + FARTHEST * (of_bulge + of_disk + 2 * of_both).clamp(min=0).sqrt()
    uniform = torch.rand(2, *bulge.shape[:2], n, generator=generator, dtype=torch.float64, device=bulge.device)
    bulge, log_bulge = _cut_off(bulge, of_bulge.sqrt(), most.clamp(min=1e-30), uniform[0])
    mean = disk + of_both / of_bulge * (bulge - fit.best[..., :1])
    width = (of_disk - of_both.square() / of_bulge).clamp(min=1e-300).sqrt()
    disk, log_disk = _cut_off(mean, width, torch.full_like(mean, torch.inf), uniform[1])
    return (bulge + disk).clamp(min=1e-30), bulge, log_bulge + log_disk


def _cut_off(mean, width, most, uniform) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal values between 0 and `most`, from even ones, and the logarithm of their share of all."""
    low, high = -mean / width, (most - mean) / width
    turned = low > 0  # so that both ends are where the distribution is accurate
    low, high = torch.where(turned, -high, low), torch.where(turned, -low, high)
    share = (_below(high) - _below(low)).clamp(min=1e-300)
    score = ndtri((_below(low) + uniform * share).clamp(min=1e-300, max=1 - 1e-16))
    return (mean + width * torch.where(turned, -score, score)).clamp(min=0), share.log().expand_as(uniform)


def _below(score: torch.Tensor) -> torch.Tensor:
    """Normal cumulative distribution, accurate in the lower tail, where that of torch is 0."""
    return 0.5 * torch.erfc(score / -math.sqrt(2))


def log_half_light_radius(bulge_to_total, bulge_ln_radius, disk_ln_radius, bulge_index, disk_index) -> torch.Tensor:
    """Logarithm of the radius that holds half of the light, from a table of Sérsic profiles; right to 1e-5."""
    bulge, disk = (_Light(index) for index in (bulge_index, disk_index))
    low, high = torch.minimum(bulge_ln_radius, disk_ln_radius), torch.maximum(bulge_ln_radius, disk_ln_radius)

    def excess(ln_radius):
        within_bulge = bulge(ln_radius - bulge_ln_radius)
        within_disk = disk(ln_radius - disk_ln_radius)
        return bulge_to_total * within_bulge + (1 - bulge_to_total) * within_disk - 0.5

    low, high = (one.expand_as(bulge_to_total).clone() for one in (low, high))
    at_low, at_high = excess(low), excess(high)
    for _ in range(N_STEPS):  # the Illinois variant of regula falsi
        slope = (at_high - at_low).clamp(min=1e-12)
        middle = torch.where(at_high > at_low, high - at_high * (high - low) / slope, low)
        middle = torch.maximum(torch.minimum(middle, high), low)
        found = excess(middle)
        below = found < 0
        at_low, at_high = torch.where(below, found, 0.5 * at_low), torch.where(below, 0.5 * at_high, found)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return middle


class _Light:
    """Share of the light of Sérsic profiles within a radius, by interpolation."""

    def __init__(self, index: torch.Tensor):
        low, high, n = INDICES
        place = ((index / low).log() / math.log(high / low) * (n - 1)).clamp(0, n - 1 - 1e-9)
        self.row, self.table = place.long(), _table(index.device)
        self.beyond = place - self.row

    def __call__(self, ln_radius: torch.Tensor) -> torch.Tensor:
        low, high, n = RADII
        place = ((ln_radius - low) / (high - low) * (n - 1)).clamp(0, n - 1 - 1e-9)
        column = place.long()
        right = place - column
        at = self.row * n + column
        first, second = (torch.lerp(self.table[start], self.table[start + 1], right) for start in (at, at + n))
        return torch.lerp(first, second, self.beyond.expand_as(first))


@lru_cache(maxsize=4)
def _table(device) -> torch.Tensor:
    indices = np.geomspace(*INDICES[:2], INDICES[2])[:, None]
    light = enclosed_light(np.exp(np.linspace(*RADII)), indices)
    return torch.as_tensor(light.ravel(), device=device)
