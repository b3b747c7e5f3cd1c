"""Shapes that go from what is known before to the posterior by small steps, and so find modes that are far apart.

Sequential Monte Carlo (Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411): the likelihood counts ever more,
shapes that fit it are repeated, and all move at random. On the way it is emulated between shapes that are rendered;
at the end every shape is rendered.
"""

from __future__ import annotations

import math

import torch

from ._importance import effective, resampled
from ._posterior import Posterior, with_radius
from ._refine import Refined
from ._rendered import Rendered

N_SHAPES, N_STEPS = 512, 40
KEPT = 0.7  # share of the shapes that stay effective in a step
EVERY, N_RENDERED = 2, 32  # steps after which shapes are rendered for the emulator; how many
WIDTH = 2.0  # of what is known of coordinates without a prior, in their units
MOVES = 0.6, 0.3, 0.6, 0.15, 0.6, 0.3  # lengths over the best for a normal posterior: along differences, and normal
JUMPS = 0.3  # share of the moves along differences that are whole ones, from mode to mode
JITTER = 0.01  # beside these, in widths of what is known before
LAST = 2  # rounds of moves of which every shape is rendered


class Known:
    """A normal density of coordinates: their prior; or, of those without, about shapes ``(G, d)``."""

    def __init__(self, coordinates, about: torch.Tensor):
        known = coordinates.known.to(about.device)
        self.middle = torch.where(known, 0, about)[:, None]
        self.width = torch.where(known, 1, WIDTH).to(about)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draws ``(G, n, d)``."""
        middle = self.middle.expand(-1, n, -1)
        return middle + self.width * _normal(middle, generator)

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """At ``(G, K, d)``, without a constant."""
        return -0.5 * ((u - self.middle) / self.width).square().sum(-1)


class Exact:
    """In place of an `Emulator`: shapes are rendered."""

    def __init__(self, likelihood):
        self.likelihood, self.coordinates = likelihood, likelihood.coordinates

    def fit(self, u: torch.Tensor):
        """Compare shapes ``(G, K, d)`` with the images."""
        return self.likelihood.fit(self.likelihood.draw(u))


def temper(likelihood, prior, candidates: torch.Tensor, *, n_samples: int, generator) -> Refined:
    """Refine the galaxies of a `Likelihood`, as `refine` does, by shapes that move from prior to posterior."""
    candidates = candidates.chunk(2, 1)[0]
    rendered, about = Rendered(likelihood, candidates), candidates.mean(1)

    def posterior_by(emulator):
        return Posterior(emulator, prior, about, generator)

    u, power = _tempered(rendered, posterior_by, about, generator)
    rendered.refer(rendered.add(_some(u)), infer=likelihood.infers)
    if likelihood.infers:  # with more noise than before
        u, power = _tempered(rendered, posterior_by, about, generator)
    exact, known = posterior_by(Exact(likelihood)), Known(likelihood.coordinates, about)
    value = exact.of_shapes(u)[0]
    for _ in range(LAST):
        u, value = _moved(u, value, torch.ones_like(value[:, :1]), known, exact, generator)
    draws = exact.of_shapes(u)[1]
    return _drawn(u, draws, power[:, 0] == 1, rendered, n_samples, generator)


def _drawn(u: torch.Tensor, draws, arrived: torch.Tensor, rendered: Rendered, n: int, generator) -> Refined:
    """Draws of equal weight, of which as many are effective as shapes differ, or none of galaxies on the way."""
    chosen = resampled(torch.zeros_like(u[..., 0]), n, generator)
    draws = with_radius({name: values.gather(1, chosen) for name, values in draws.items()})
    distinct = torch.tensor([len(one.unique(dim=0)) for one in u]).to(u) * arrived
    none, likelihood = torch.zeros_like(distinct), rendered.likelihood
    return Refined(
        draws, distinct, none, none, likelihood.chi2(rendered.best, likelihood.fluxes), likelihood.noise_factor
    )


def _tempered(rendered: Rendered, posterior_by, about: torch.Tensor, generator):
    """Shapes ``(G, K, d)`` of equal weight, and the power ``(G, 1)`` of the emulated likelihood that they reached."""
    coordinates = rendered.likelihood.coordinates
    known = Known(coordinates, about)
    u = coordinates.inside(known.draw(N_SHAPES, generator))
    power = torch.zeros_like(u[:, :1, 0])
    for step in range(N_STEPS):
        if step % EVERY == 0:
            rendered.add(_some(u))
            posterior = posterior_by(rendered.emulator())
        value = posterior.of_shapes(u)[0]
        power, log_weights = _next(power, value - known.log_density(u))
        rows = resampled(log_weights, N_SHAPES, generator)
        u, value = u.gather(1, rows[..., None].expand_as(u)), value.gather(1, rows)
        u, value = _moved(u, value, power, known, posterior, generator)
        if (power == 1).all():
            break
    return u, power


def _some(u: torch.Tensor) -> torch.Tensor:
    return u[:, :: N_SHAPES // N_RENDERED]


def _next(power: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest powers ``(G, 1)`` with which enough shapes count, and the log weights ``(G, K)`` that they give."""
    gain, enough = gain.clamp(min=-1e8), KEPT * gain.shape[1]
    high = torch.ones_like(power)
    low = torch.where(effective((high - power) * gain)[:, None] >= enough, high, power)
    for _ in range(30):
        middle = (low + high) / 2
        counts = effective((middle - power) * gain)[:, None] >= enough
        low, high = torch.where(counts, middle, low), torch.where(counts, high, middle)
    return low, (low - power) * gain


def _moved(u, value, power, known: Known, posterior, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Shapes after random moves, and their values (Metropolis et al. 1953, J. Chem. Phys. 21, 1087)."""
    inside = posterior.emulator.coordinates.inside
    for i, length in enumerate(MOVES):
        step = (_differences if i % 2 == 0 else _normals)(u, length, generator)
        tried = u + step + JITTER * known.width * _normal(u, generator)
        found = torch.where((tried == inside(tried)).all(-1), posterior.of_shapes(inside(tried))[0], -torch.inf)
        gain = power * (found - value) + (1 - power) * (known.log_density(tried) - known.log_density(u))
        moves = torch.rand(gain.shape, generator=generator, device=gain.device).log() < gain
        u, value = torch.where(moves[..., None], tried, u), torch.where(moves, found, value)
    return u, value


def _differences(u: torch.Tensor, length: float, generator) -> torch.Tensor:
    """Steps along differences of two shapes (ter Braak 2006, Stat. Comput. 16, 239)."""
    whole = torch.rand(u[..., :1].shape, generator=generator, device=u.device) < JUMPS
    one, other = (
        u.gather(1, torch.randint(u.shape[1], u[..., :1].shape, generator=generator, device=u.device).expand_as(u))
        for _ in range(2)
    )
    return torch.where(whole, 1, length * 2.38 / math.sqrt(2 * u.shape[-1])) * (one - other)


def _normals(u: torch.Tensor, length: float, generator) -> torch.Tensor:
    """Normal steps with the covariance of the shapes."""
    off = u - u.mean(1, keepdim=True)
    covariance = off.mT @ off / u.shape[1] + 1e-8 * torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
    return length * 2.38 / math.sqrt(u.shape[-1]) * _normal(u, generator) @ torch.linalg.cholesky(covariance).mT


def _normal(like: torch.Tensor, generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
