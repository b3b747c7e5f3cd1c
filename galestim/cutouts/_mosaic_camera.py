"""Cutouts of mosaics with the camera of the pixels that come out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from .._cutouts import Cutouts
from ._errors import CutoutError, MissingCutoutError
from ._placement import Placement
from ._propagate import Propagated, drawn_stamp, jacobian, n_samples_of, propagate, resampled_stamp
from ._psf_models import Place
from ._resample import resample_all
from ._source import CutoutRequest
from ._tile_camera import OpenedPlane, TileCamera, WrongPlaneError
from ._tiles import jobs_of

STAMP_NPIX = 65  # of point-spread functions, unless the cutouts are smaller
_CUT = 0.01  # share of a star's light that a stamp may lose without a word


@dataclass
class Chunk:
    """Arrays of some cutouts, of all their channels."""

    images: NDArray[np.float32]
    noise: NDArray[np.float32]
    bad: NDArray[np.bool_]
    psf: NDArray[np.float32]
    gain: NDArray[np.float64]
    zero_point: NDArray[np.float64]
    lost: float = 0.0  # the largest share of a star's light that is outside of its stamp

    @classmethod
    def empty(cls, n: int, npix: int, n_channels: int, stamp_npix: int) -> Chunk:
        """Of which nothing is known."""
        shape = (n, npix, npix, n_channels)
        return cls(
            np.full(shape, np.nan, dtype=np.float32),
            np.full(shape, np.nan, dtype=np.float32),
            np.ones(shape, dtype=bool),
            np.full((n, stamp_npix, stamp_npix, n_channels), np.nan, dtype=np.float32),
            np.full((n, n_channels), np.nan),
            np.full((n, n_channels), np.nan),
        )


def stamp_npix_of(npix: int, wanted: int | None) -> int:
    """Side of the stamps, which is odd: so the star is in the middle of a pixel."""
    return wanted if wanted is not None else max(1, min(npix, STAMP_NPIX) - (min(npix, STAMP_NPIX) + 1) % 2)


def fill(
    bands: Sequence[Sequence[TileCamera]], requests: Sequence[CutoutRequest], chunk: Chunk, surface_brightness: bool
) -> dict[int, CutoutError]:
    """Cut all bands; the errors of the requests that failed."""
    errors: dict[int, CutoutError] = {}
    first = 0
    for tiles in bands:
        n_planes = tiles[0].image.n_planes
        placements, jobs = jobs_of([tile.image for tile in tiles], requests)
        for (rank, t), of_tile in groupby(jobs, key=lambda job: job[:2]):
            wanted = {block: i for _, _, block, i in of_tile}
            if rank > 0:
                wanted = {
                    b: i for b, i in wanted.items() if np.isnan(chunk.images[i, ..., first : first + n_planes]).any()
                }
            if wanted:
                cut = _TileCut(tiles[t], placements[t], wanted, slice(first, first + n_planes), surface_brightness)
                try:
                    errors |= cut.into(chunk, is_first=rank == 0)
                except CutoutError as error:  # of images at an address
                    errors |= dict.fromkeys(wanted.values(), error)
        first += n_planes
    return errors


@dataclass
class _TileCut:
    """What one tile has of some cutouts: `wanted` are their blocks and rows, `channels` the band's."""

    tile: TileCamera
    placement: Placement
    wanted: dict[int, int]
    channels: slice
    surface_brightness: bool

    def into(self, chunk: Chunk, is_first: bool) -> dict[int, CutoutError]:
        """Fill in what is not known yet; the first tile tells point-spread function, gain and zero point."""
        errors: dict[int, CutoutError] = {}
        if is_first:
            for block, i in self.wanted.items():
                self._tell(chunk, block, i)
        with self.tile.opened() as planes:
            for channel, plane in zip(range(self.channels.start, self.channels.stop), planes):
                known = {block: self._propagated(plane, block) for block in self.wanted}  # before: tells wrong files
                found = {block: np.empty(chunk.images.shape[1:3], dtype=np.float32) for block in self.wanted}
                failed = resample_all(plane, self.placement, found, self.surface_brightness)
                failed |= {block: one for block, one in known.items() if isinstance(one, CutoutError)}
                for block, i in self.wanted.items():
                    if block in failed:
                        errors[i] = failed[block]
                    else:
                        self._take(chunk, block, i, channel, found[block], known[block])
        return errors

    def _propagated(self, plane: OpenedPlane, block: int) -> Propagated | CutoutError:
        try:
            return propagate(plane, self.placement, block)
        except WrongPlaneError:
            raise
        except CutoutError as error:
            return error
        except ValueError as error:
            return MissingCutoutError(str(error).rstrip("."))

    def _take(self, chunk: Chunk, block: int, i: int, channel: int, image, known) -> None:
        scale = self._to_first_tile(chunk, block, i, channel)
        new = np.isnan(chunk.images[i, ..., channel]) & np.isfinite(image)
        area = 1.0 if self.surface_brightness else self.placement.areas(block)
        chunk.images[i, ..., channel][new] = (image * scale)[new]
        chunk.bad[i, ..., channel][new] = known.bad[new]
        if known.variance is not None:
            chunk.noise[i, ..., channel][new] = (np.sqrt(known.variance) * area * scale)[new]

    def _to_first_tile(self, chunk: Chunk, block: int, i: int, channel: int) -> float:
        """Factor to the flux unit of the tile that was first."""
        apart = chunk.zero_point[i, channel] - self._zero_point(block)
        return 1.0 if np.isnan(apart) else 10 ** (0.4 * apart)

    def _zero_point(self, block: int) -> float:
        """Magnitude of one unit in a pixel of the cutout."""
        area = float(self.placement.area[block, 1, 1])
        zero_point = self.tile.zero_point(self.placement.requests[block].pixel_scale ** 2 / area)
        return zero_point - 2.5 * np.log10(area) if self.surface_brightness else zero_point

    def _tell(self, chunk: Chunk, block: int, i: int) -> None:
        area = float(self.placement.area[block, 1, 1])
        chunk.zero_point[i, self.channels] = self._zero_point(block)
        if self.tile.gain is not None:
            chunk.gain[i, self.channels] = self.tile.gain * (area if self.surface_brightness else 1.0)
        if self.tile.psf is not None:
            stamp, lost = self._stamp(block, chunk.psf.shape[1])
            chunk.psf[i, ..., self.channels] = stamp[..., None]
            chunk.lost = max(chunk.lost, lost)

    def _stamp(self, block: int, npix: int) -> tuple[NDArray, float]:
        """The star at the galaxy's place, with the sum 1, and the share of its light that is outside."""
        request, (x, y) = self.placement.requests[block], self.placement.nodes[block, :, 1, 1]
        steps, n_samples = jacobian(self.placement, block), n_samples_of(float(self.placement.step[block]))
        star = self.tile.psf._at(Place(x, y, request))
        if star.psf is None or not np.isfinite(steps).all():
            return np.full((npix, npix), np.nan), 0.0
        if hasattr(star.psf, "transform"):
            scale, key = float(request.pixel_scale), tuple(np.round(steps, 4).ravel().tolist())
            stamp, whole = _drawn(star.psf, scale, key, npix, n_samples), 1 / 9
        else:
            stamp = resampled_stamp(star.psf, steps, npix, n_samples, star.sampling)
            whole = star.psf.sum() * star.sampling**2 / abs(np.linalg.det(steps))
        total = stamp.sum()
        if not total > 0:
            raise WrongPlaneError(f"the point-spread function of {request.object_id!r} has the sum {total:.3g}.")
        return stamp / total, 1 - total / whole


_drawn = lru_cache(maxsize=64)(drawn_stamp)


# --- cutouts of what was filled -----------------------------------------------------------------------------


def as_cutouts(chunk: Chunk, pixel_scales: Sequence[float], known: set[str], **errors: float) -> Iterator[Cutouts]:
    """One by one, in the flux unit of their first channel; `errors` are those of the sky and of the stamps."""
    if chunk.lost > _CUT:
        warnings.warn(
            f"up to {chunk.lost:.1%} of the light of point-spread functions lies outside of their stamps of "
            f"{chunk.psf.shape[1]} pixels, which sum to 1 all the same; pass a larger psf_npix=.",
            stacklevel=3,
        )
    scale = _to_first_channel(chunk.zero_point)
    gain = chunk.gain / scale
    if (np.abs(gain / gain[:, :1] - 1) > 1e-6).any():
        raise ValueError("the bands have different gains, and Cutouts have one for each galaxy; leave gain= out.")
    for i, pixel_scale in enumerate(pixel_scales):
        rows, factor = slice(i, i + 1), scale[i].astype(np.float32)
        yield Cutouts(
            chunk.images[rows] * factor,
            noise=chunk.noise[rows] * factor if "noise" in known else None,
            mask=chunk.bad[rows].copy() if chunk.bad[rows].any() else None,
            psf=chunk.psf[rows].copy() if "psf" in known else None,
            gain=gain[i, 0] if "gain" in known else None,
            pixel_scale=pixel_scale,
            zero_point=chunk.zero_point[i, 0],
            **errors,
        )


def _to_first_channel(zero_point: NDArray) -> NDArray:
    """Factors that bring the fluxes of all channels to the zero point of the first."""
    unknown = np.isnan(zero_point)
    if (unknown.any(axis=1) & ~unknown.all(axis=1)).any():
        raise ValueError(
            "some of the bands have a zero point, others have none; pass zero_point= of all, as a dict or a list, or "
            "one that they share."
        )
    return np.where(unknown, 1.0, 10 ** (0.4 * (zero_point[:, :1] - zero_point)))
