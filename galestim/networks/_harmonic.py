"""`HarmonicNet`: sums of the light with Gaussians times circular harmonics, and a dense network behind them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from .._light import circular_harmonics, log_scales
from ._camera import N_PSF, Camera, n_camera_numbers
from ._camera_harmonics import ORDERS, CameraHarmonics
from ._dropout import Dropout, TrainingDropout
from ._spec import NetworkSpec
from ._split import SplitNetwork, with_context

SOFTENING = 2.0  # noise sigmas below which a phase is not believed
MAX_STANDARDIZED = 8.0  # no feature is further from its mean, however odd the image


class HarmonicNet(NetworkSpec):
    """Circular harmonics of the light in Gaussian apertures of all sizes, and a small dense network that reads them.

    An image becomes its sums with Gaussians of `n_scales` sizes times the circular harmonics of order 0 (fluxes),
    1 (dipoles), 2 (quadrupoles) and 4, as in moment-based shape measurement [1]_ and harmonic networks [2]_. For
    well-sampled galaxies of bulge and disk this loses next to nothing: the Fisher information of these sums bounds
    B/T, half-light radius and flux to within 1.2 percent of what all pixels do. Turning the galaxy only changes
    their phases, so all are taken relative to that of the quadrupole. A dense residual network reads the rest.

    It wants images whose pixels are proportional to flux (no ``Normalizer("asinh")`` in front), of a galaxy near the
    center, as large on the sky as those it was trained on. It takes no notice of what is far from round, such as
    neighbors: flag these (`galestim.trust.NoveltyDetector`), or use `CompactCNN`. Of a few thousand stored images it
    learns the noise by heart: redraw them (`galestim.datasets.SimulatedGalaxies`), or train a smaller one for fewer
    epochs, with a dropout rate of 0.2 and an eye on the validation loss.

    Of images that know their camera (`galestim.cutouts.Cutouts` with ``psf`` and ``noise``) it sees these sums in
    units of the noise, about the galaxy's own center, with Gaussians that are as many times wider than the
    point-spread function for all galaxies, and sees the point-spread function through the same. Besides it is told
    the noise of photons, how well sky and point-spread function are known, and where pixels are bad. So one network
    serves all cameras and images of all sizes.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_scales : int, default=12
        Number of sizes of the Gaussians, evenly spaced in the logarithm from 0.9 pixels to 23 percent of the image's
        side; if the camera is told, from 0.8 to 16 times the point-spread function's σ.
    hidden : int, default=256
        Units of the dense layers.
    blocks : int, default=3
        Residual blocks of two dense layers.
    dropout : float, default=0.0
        Dropout rate in front of the first and the last dense layer.
    block_dropout : float, default=0.0
        Dropout rate within the residual blocks, in training only. With a rate of 0.1 a network that learns from a
        million images learns fewer of them by heart.

    Notes
    -----
    The output is the same for the eight flips and quarter turns of an image, to rounding, and for other angles as far
    as pixels sample the point-spread function well. What scales features have, and the noise, is learned from the
    first training images before training begins, without gradients.

    With a camera, σ of the point-spread function is that of the round Gaussian whose weighted second moment is its
    own, and so is the galaxy's rough size [1]_: σ² = Σ I w r² / Σ I w with w = exp(-r²/2σ²). Flux and radius are
    predicted relative to those of that Gaussian, 2 Σ I w and 1.1774 times its σ without the point-spread function's.
    Sums with harmonics of order m overlap as (2 s t / (s² + t²))^(m+1) for Gaussians of sizes s and t, by which white
    noise is made white again; an error e of the sky's level adds e² k kᵀ to their covariance, with k the sums of a
    sky of 1, and is whitened too. Bad pixels hold the opposite pixel of the galaxy, or the mean at its distance from
    the center.

    References
    ----------
    .. [1] Bernstein & Jarvis 2002, AJ 123, 583, section 6.
    .. [2] Worrall et al. 2017, *Harmonic networks*, CVPR.

    Examples
    --------
    >>> import torch
    >>> network = HarmonicNet().build((64, 64, 1), n_outputs=9).double()
    >>> images = torch.rand(5, 1, 64, 64, dtype=torch.float64)
    >>> torch.allclose(network(images), network(images.rot90(1, (2, 3)).flip(3)))
    True
    """

    takes_context = True
    takes_camera = True
    sees_directions = False

    def __init__(self, n_scales=12, hidden=256, blocks=3, dropout=0.0, block_dropout=0.0):
        self.n_scales = n_scales
        self.hidden = hidden
        self.blocks = blocks
        self.dropout = dropout
        self.block_dropout = block_dropout

    def build(self, image_shape, n_outputs, n_context=0, camera=False):
        if self.n_scales < 2 or self.hidden < 1 or self.blocks < 0:
            raise ValueError(
                f"{self}; expected n_scales of at least 2, hidden of at least 1, and no negative blocks."
            )
        return _HarmonicNetwork(self, image_shape, n_outputs, n_context, camera)


class _HarmonicNetwork(SplitNetwork):
    wants_examples = True
    standardizes = True
    mean: torch.Tensor
    scale: torch.Tensor
    harmonics: Any

    def __init__(self, spec: HarmonicNet, image_shape, n_outputs: int, n_context: int, camera: bool):
        super().__init__()
        n_scales, n_channels = spec.n_scales, image_shape[2]
        self.harmonics = CameraHarmonics(n_scales) if camera else _Harmonics(n_scales, image_shape)
        n, n_psf = n_scales * n_channels, min(n_scales, N_PSF) * n_channels * camera
        n_numbers = n_camera_numbers(n_channels) * camera
        self.invariants = _Invariants(n, n_scales, n_psf)
        self.sizes = [n, 2 * n, 2 * n, 2 * n, *([2 * n_psf] if camera else []), n_numbers]
        n_features = self.invariants.n_features + n_numbers
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.dropout = Dropout(spec.dropout)
        self.entry = nn.Linear(n_features + n_context, spec.hidden)
        self.body = nn.Sequential(*(_ResidualBlock(spec.hidden, spec.block_dropout) for _ in range(spec.blocks)))
        self.exit = nn.Sequential(nn.SiLU(), Dropout(spec.dropout), nn.Linear(spec.hidden, n_outputs))

    def trunk(self, x, *camera):
        return self.read(self.digest(x, *camera))

    @torch.no_grad()
    def digest(self, x, *camera, **pixels):
        with torch.autocast(x.device.type, enabled=False):  # complex numbers have no bfloat16
            parts = self.harmonics(x.to(self.mean.dtype), *camera, **pixels)
        real = (torch.view_as_real(part) if part.is_complex() else part for part in parts)
        return torch.cat([part.flatten(1) for part in real], dim=1)

    def read(self, digest):
        with torch.autocast(digest.device.type, enabled=False):
            features = self._features(digest)
        return ((features - self.mean) / self.scale).clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)

    def rest(self, features, context=None):
        return self.exit(self.body(self.entry(with_context(self.dropout(features), context))))

    def _features(self, digest):
        flux, *others = digest.split(self.sizes, dim=1)
        complex_parts = (torch.view_as_complex(part.unflatten(1, (-1, 2)).contiguous()) for part in others[:-1])
        return torch.cat([self.invariants(flux, *complex_parts), others[-1]], dim=1)

    @torch.no_grad()
    def examine(self, images: torch.Tensor, *camera: Camera) -> None:
        """Set noise, mean and scale of the features to those of `images`."""
        if not camera:
            self.harmonics.noise.copy_(_noise(images))
        features = self._features(self.digest(images, *camera))
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(features.std(dim=0, correction=0).clamp(min=1e-6))


class _Harmonics(nn.Module):
    """Images ``(n, C, H, W)`` → for each order its sums, in units of the noise, ``(n, C, n_scales)``.

    The images are standardized after they are summed, so pixels are read once. Filters are even or odd in y, and so
    see but one half of the sum or the difference of an image's upper and lower half.
    """

    noise: torch.Tensor
    filters: torch.Tensor

    def __init__(self, n_scales: int, image_shape):
        super().__init__()
        self.n_scales = n_scales
        self.register_buffer("noise", torch.ones(image_shape[2]))
        self.register_buffer("filters", _filters(*image_shape[:2], n_scales), persistent=False)
        self.sides = tuple(image_shape[:2])

    def forward(self, x, mean=0.0, scale=1.0):
        filters = self.filters if x.shape[2:] == self.sides else _filters(*x.shape[2:], self.n_scales)
        filters = filters.to(x)
        sums = _folded(x, filters) if x.shape[2] % 2 == 0 else nn.functional.linear(x.flatten(2), filters)
        sums = (sums - mean * filters.sum(dim=1)) / (scale * self.noise[:, None])
        real, *parts = sums.split(self.n_scales, dim=2)
        return real, *(torch.complex(a, b) for a, b in zip(parts[:3], parts[3:]))


def _folded(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Sums ``(n, C, n_filters)`` with filters of which the first four sevenths are even in y, the others odd."""
    half, n_even = x.shape[2] // 2, 4 * len(filters) // 7
    upper, lower = x[:, :, :half], x[:, :, half:].flip(2)
    even, odd = filters[:, : filters.shape[1] // 2].split([n_even, len(filters) - n_even])
    parts = [
        nn.functional.linear((upper + lower).flatten(2), even),
        nn.functional.linear((upper - lower).flatten(2), odd),
    ]
    return torch.cat(parts, dim=2)


@lru_cache(maxsize=8)
def _filters(height: int, width: int, n_scales: int) -> torch.Tensor:
    """Filters as rows: order 0 and real parts of the others, which are even in y, then imaginary ones, which are odd.

    Those of one order are made orthogonal, from the smallest Gaussian on, which keeps how they turn; so white noise
    stays white, and each ring tells what those within it did not.
    """
    real, imaginary = [], []
    for order in ORDERS:
        filters = circular_harmonics(height, width, log_scales(height, width, n_scales), order).reshape(n_scales, -1)
        gram = (filters.conj() @ filters.T).real
        orthogonal = np.linalg.solve(np.linalg.cholesky(gram + 1e-8 * np.eye(n_scales)), filters)
        real.append(orthogonal.real)
        imaginary += [orthogonal.imag] if order else []
    return torch.from_numpy(np.concatenate(real + imaginary))


class _Invariants(nn.Module):
    """Harmonics → features ``(n, n_features)`` that a flip or turn of the image leaves as they are.

    There are `n` harmonics of each order, over scales and channels, and `n_psf` quadrupoles of point-spread
    functions.
    """

    def __init__(self, n: int, n_scales: int, n_psf: int = 0):
        super().__init__()
        self.n_scales = n_scales
        self.quadrupole = nn.Parameter(torch.ones(n))
        self.handedness = nn.Parameter(torch.ones(2 * n + n_psf))
        self.n_features = 1 + 7 * n + 1 + 3 * n_psf

    def forward(self, flux, dipole, quadrupole, octupole, psf=None):
        flux, dipole, quadrupole, octupole = (part.flatten(1) for part in (flux, dipole, quadrupole, octupole))
        signal = (flux.square().sum(1, keepdim=True) + self.n_scales).sqrt()  # close to the signal-to-noise ratio
        phase = _soft_phase((quadrupole * self.quadrupole).sum(1, keepdim=True))
        second, fourth = quadrupole * phase.conj() / signal, octupole * phase.conj() ** 2 / signal
        # a flip changes the sign of all imaginary parts, so they count relative to that of their sum
        of_psf = None if psf is None else psf.flatten(1) * phase.conj()
        odd = torch.cat([second.imag, fourth.imag, *([] if of_psf is None else [of_psf.imag])], dim=1)
        odd = odd * _soft_phase((odd * self.handedness).sum(1, keepdim=True) * signal)
        offset = dipole[:, :1] / signal
        return torch.cat(
            [
                signal.log(),
                flux / signal,
                torch.asinh(flux / (2 * SOFTENING)),
                second.real,
                fourth.real,
                odd,
                (dipole * offset.conj()).real / signal,
                (offset**2 * phase.conj()).real,
                *([] if of_psf is None else [of_psf.real, of_psf.abs()]),
            ],
            dim=1,
        )


def _soft_phase(x: torch.Tensor) -> torch.Tensor:
    """Phase (or sign) of `x`, fading out where noise determines it."""
    return x / (x.abs().square() + SOFTENING**2).sqrt()


class _ResidualBlock(nn.Module):
    """Two dense layers beside the identity; starts as the identity."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        behind = nn.Sequential(nn.SiLU(), TrainingDropout(dropout))
        self.branch = nn.Sequential(nn.SiLU(), nn.Linear(width, width), behind, last)

    def forward(self, x):
        return x + self.branch(x)


def _noise(images: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the noise of each channel, from differences that smooth light hardly has.

    Source: Immerkær 1996, *Fast noise variance estimation*, CVIU 64, 300, with medians for means.
    """
    spread = images.std(dim=(0, 2, 3), correction=0).clamp(min=torch.finfo(images.dtype).tiny)
    if min(images.shape[2:]) < 3:
        return spread
    # In torch, where the images are, and of whole batches; `galestim._light.sky_noise` is the same of each image.
    rough = images.diff(n=2, dim=2).diff(n=2, dim=3).abs().flatten(2)
    return (rough.median(dim=2).values.median(dim=0).values / (0.6745 * 6)).maximum(1e-3 * spread)
