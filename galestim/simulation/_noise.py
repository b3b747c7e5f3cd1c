"""Noise of sky and photons."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils import check_random_state

from ._correlation import correlated


def noise_variance(images: torch.Tensor, sky_noise, gain=None) -> torch.Tensor:
    """Variance of the noise in each pixel: sky_noise² + flux / gain.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : Tensor of shape (n, h, w) or (n, h, w, n_bands)
        Noiseless fluxes.
    sky_noise : float or array-like of shape (n,), (n_bands,) or (n, n_bands)
        Standard deviation of the noise of the sky in a pixel: one number, or one per galaxy; of images in bands, one
        per band, or one per galaxy and band.
    gain : float or None, or array-like of such a shape, default=None
        Electrons per image unit; None leaves out the noise of the sources' photons.

    Returns
    -------
    Tensor of the shape of `images`

    Examples
    --------
    >>> import torch
    >>> from galestim.simulation import noise_variance
    >>> noise_variance(torch.tensor([[[0.0, 9.0]]]), sky_noise=0.1, gain=1000.0)
    tensor([[[0.0100, 0.0190]]])
    """
    sky = _per_image(images, "sky_noise", sky_noise).square()
    return sky.expand_as(images) if gain is None else sky + images.clamp(min=0) / _per_image(images, "gain", gain)


def add_noise(images, *, sky_noise, gain=None, photons="gaussian", correlation=None, random_state=None):
    """Add the noise of a camera to noiseless images.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    images : Tensor of shape (n, h, w) or (n, h, w, n_bands)
        Noiseless fluxes.
    sky_noise : float or array-like of shape (n,), (n_bands,) or (n, n_bands)
        Standard deviation of the noise of the sky in a pixel: one number, or one per galaxy; of images in bands, one
        per band, or one per galaxy and band.
    gain : float or None, or array-like of such a shape, default=None
        Electrons per image unit; None leaves out the noise of the sources' photons.
    photons : {"gaussian", "poisson"}, default="gaussian"
        Whether photon noise is Gaussian, with the variance of Poisson's, or Poisson's own, which is slower and
        differs where a pixel has few electrons.
    correlation : float or array-like of shape (n,) or (a, b) or None, default=None
        Kernel (a, b) with which white noise is convolved, such as that of the resampling of a mosaic; its scale does
        not matter, the variance of a pixel stays. It acts on all that is Gaussian. One or n numbers: full widths at
        half maximum [pixels] of Gaussian kernels, to which one percent of independent variance is added; noise of
        width 0 is independent, as all is with None.
    random_state : int, RandomState instance or None, default=None
        Determines the noise; on another device the same number gives other noise.

    Returns
    -------
    Tensor of the shape of `images`

    Raises
    ------
    ValueError
        If there are not as many numbers as galaxies or bands, `photons` is unknown, needs a gain that is not given,
        or `correlation` is not a kernel.

    Examples
    --------
    >>> import torch
    >>> from galestim.simulation import add_noise
    >>> noisy = add_noise(torch.zeros(5, 96, 96), sky_noise=0.055, random_state=0)
    >>> round(noisy.std().item(), 3)
    0.055
    """
    if photons not in ("gaussian", "poisson") or (photons == "poisson" and gain is None):
        raise ValueError(f"photons={photons!r} with gain={gain}; expected 'gaussian', or 'poisson' with a gain.")
    generator = torch.Generator(device=images.device).manual_seed(check_random_state(random_state).randint(2**31))
    if photons == "poisson":
        electrons = images.clamp(min=0) * _per_image(images, "gain", gain)
        images = images + (torch.poisson(electrons, generator) - electrons) / _per_image(images, "gain", gain)
        gain = None
    sigma = noise_variance(images, sky_noise, gain).sqrt()
    if correlation is None:
        return images + sigma * _normal(images, images.shape, generator)
    kernel = np.asarray(correlation, dtype=float)
    if kernel.shape in ((), images.shape[:1]):
        return images + sigma * _of_lengths(images, np.broadcast_to(kernel, len(images)), generator)
    return images + sigma * _correlated(images, kernel, generator)


def _per_image(images: torch.Tensor, name: str, values) -> torch.Tensor:
    """One number, or one for each galaxy or band of `images`, in a shape that multiplies them."""
    tensor = torch.as_tensor(values, dtype=images.dtype, device=images.device)
    n, _, _, *bands = images.shape
    shapes = [(), tuple(bands), (n, *bands)]  # one for all, one per band, one per galaxy (and band)
    if tensor.shape not in shapes:
        expected = "one per band (n_bands,), or (n, n_bands)" if bands else "one per galaxy (n,)"
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)} for images of shape {tuple(images.shape)}; expected one number, "
            f"or {expected}."
        )
    return tensor if tensor.shape in shapes[:2] else tensor.reshape(n, 1, 1, *bands)


def _normal(images: torch.Tensor, shape, generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=images.dtype, device=images.device)


def _of_lengths(images: torch.Tensor, lengths: np.ndarray, generator) -> torch.Tensor:
    """Standard normal noise whose correlation has a length of its own in each image; 0 is none."""
    if not (np.isfinite(lengths) & (lengths >= 0)).all():
        raise ValueError(
            f"correlation={lengths.min():g}; expected widths [pixels] of at least 0, or a kernel (a, b)."
        )
    noise = _normal(images, images.shape, generator)
    rows = np.flatnonzero(lengths)
    if len(rows):
        like = noise[rows].movedim(3, 1).flatten(0, 1) if images.ndim == 4 else noise[rows]
        of_each = torch.as_tensor(lengths[rows]).to(images).repeat_interleave(len(like) // len(rows))
        drawn = correlated(like, of_each, generator)
        noise[rows] = drawn.unflatten(0, (len(rows), -1)).movedim(1, 3) if images.ndim == 4 else drawn
    return noise


def _correlated(images: torch.Tensor, kernel: np.ndarray, generator) -> torch.Tensor:
    """Standard normal noise convolved with `kernel`, standard normal again in each pixel."""
    if kernel.ndim != 2 or not np.isfinite(kernel).all() or not kernel.any():
        raise ValueError(
            f"correlation has shape {kernel.shape}; expected a kernel (a, b) of finite numbers, not all zero."
        )
    weight = torch.as_tensor(kernel / np.sqrt((kernel**2).sum()), dtype=images.dtype, device=images.device)
    n, height, width, *bands = images.shape
    padded = (n, *bands, height + kernel.shape[0] - 1, width + kernel.shape[1] - 1)
    white = _normal(images, padded, generator).reshape(-1, 1, *padded[-2:])
    noise = torch.nn.functional.conv2d(white, weight.flip(0, 1)[None, None]).reshape(n, *bands, height, width)
    return noise.movedim(1, -1) if bands else noise
