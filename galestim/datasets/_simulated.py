"""Simulated galaxies as an array that is redrawn in each epoch of a fit."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches

from .._sklearn import HasMethods, Interval, StrOptions, validate_params
from ._population import (
    TARGET_NAMES,
    Population,
    center,
    checked_band,
    checked_dtype,
    checked_neighbors,
    checked_prior,
    checked_sizes,
    draw_galaxies,
    target_of,
    with_neighbors,
)

# galestim.simulation is imported where it is used: it brings torch, which galestim.datasets does without

CHUNK = 128  # images that are drawn at a time; they stay in a core's cache
CACHE_BYTES = 2 * 2**30  # of noiseless images; rows that do not fit are drawn again at every look


class SimulatedGalaxies:
    """An array of images of galaxies of known structure, drawn when it is read and redrawn in every epoch of a fit.

    To everything but a regressor's `fit` this is an array ``(n_samples, npix, npix)`` of noisy images that never
    change (those of epoch 0). `fit` asks for its training images afresh in each epoch: the same galaxies with
    new noise, or new galaxies of the same prior. Validation images stay as they are.

    With a prior of cameras each galaxy has its own, and rows are `Cutouts`, which know it.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    n_samples : int, default=20000
        Number of galaxies.
    npix : int or sequence of int, default=96
        Height and width of the images in pixels. Of several, all even or all odd, each call of `redrawn` has one,
        cut out of the largest.
    band : Band, CameraPrior or None, default=None
        The camera of all galaxies, or what that of each is drawn from; None means ``hsc_like("i")``.
    prior : GalaxyPrior or None, default=None
        What the galaxies are drawn from, or anything with its ``draw``; None means ``sim_v1_prior()``.
    neighbors : NeighborPrior or None, default=None
        What else is in the images, and redrawn with its galaxy; None: nothing. Targets and cameras stay the same.
    masker : transformer or None, default=None
        What masks the neighbors in each look, as `NeighborMasker()`, so that a network learns from images as they are
        later. It needs a `CameraPrior`, as images without a camera have no mask.
    redraw : {"noise", "galaxies"}, default="noise"
        What is drawn anew in each epoch of a fit: the noise alone, which is quick, or galaxies too, so that a network
        cannot learn them by heart.
    lifetime : int, default=10
        For how many epochs, each with new noise, a redrawn galaxy is kept before another takes its place. Rendering
        takes most of the time if it is 1; then nothing is seen twice.
    replays : int, default=1
        From how many looks at each galaxy a fit learns in an epoch: that of the epoch, and some of those before, at
        random. Looks take most of a fit's time, and a network that digests images (`HarmonicNet`) can learn from each
        several times; others learn from that of the epoch alone.
    noise_factor : float, default=1.0
        Factor on the noise of the band; 0 draws noiseless images.
    dtype : str or dtype, default="float32"
        Of the images, which are computed in float32.
    random_state : int, RandomState instance or None, default=None
        Determines the galaxies and the noise of all epochs.

    Attributes
    ----------
    parameters : dict of str to ndarray of shape (n_samples,)
        The galaxies, as `GalaxyPrior.draw` gives them, and their ``half_light_radius``.
    target : ndarray of shape (n_samples, 3)
        What is to be learned; the columns are `target_names`.
    target_names : list of str
        ``bulge_to_total``; ``half_light_radius`` [arcsec], of bulge and disk together, circularized; ``flux``
        [image units].
    neighbor_parameters : dict of str to ndarray of shape (n_all_neighbors,) or None
        All neighbors, as `NeighborPrior.draw` gives them, with ``galaxy``, the row of theirs, ``distance`` from it
        [pixels] and ``flux_ratio``. ``parameters["n_neighbors"]`` is how many each galaxy has.
    cameras : Band
        That of all galaxies, or with entries one per galaxy; of the galaxies of epoch 0.
    band, prior, neighbors, masker, redraw, lifetime, replays, noise_factor : object
        As passed, or what None stands for.
    shape : tuple of int (n_samples, npix, npix)
    dtype : numpy dtype

    Raises
    ------
    ValueError
        If a parameter is not what is said above.

    See Also
    --------
    make_galaxies : Images that are drawn once, with neighbors.
    galestim.simulation.render : What draws the galaxies.

    Notes
    -----
    Noiseless images are kept once drawn, up to 2 GiB (58 000 of 96 pixels), so that an epoch with new noise
    costs little. Pickles do without them.

    A camera stays with its galaxy. Noise, level of the sky, errors of the stars that are handed out, and bad pixels
    are new in each epoch.

    The images of a row in epoch 0 depend on `random_state` and the row alone; the noise of a later epoch on
    `random_state`, the epoch, and the rows that are asked for together. So the same fit gives the same network. A
    `lifetime`-th of the galaxies is replaced in each epoch.

    scikit-learn's splits (``train_test_split``, ``GridSearchCV``) take rows of epoch 0, as a plain array: what is
    fitted on these sees no new noise. Draw a second sample to test on.

    Examples
    --------
    >>> from galestim.datasets import SimulatedGalaxies
    >>> galaxies = SimulatedGalaxies(100, npix=32, random_state=0)
    >>> galaxies[:5].shape, galaxies.target[:5].shape
    ((5, 32, 32), (5, 3))
    >>> images, target = galaxies.redrawn([0, 1, 2], epoch=1)
    >>> bool((images != galaxies[:3]).all()), bool((target == galaxies.target[:3]).all())
    (True, True)

    Each with a camera of its own:

    >>> from galestim.simulation import sim_v2_cameras, sim_v2_prior
    >>> cameras, prior = sim_v2_cameras(), sim_v2_prior()
    >>> SimulatedGalaxies(100, npix=64, band=cameras, prior=prior, random_state=0)[:5]
    Cutouts(5 images of (64, 64); noise, psf, gain, pixel_scale, zero_point)
    """

    ndim = 3
    _latest: tuple[int, Population]  # the epoch that was last asked for
    _cache: Any
    _kept_birth: NDArray[np.intp]  # the epoch in which the galaxy was born whose image is kept; -1 for none

    @validate_params(
        {
            "n_samples": [Interval(Integral, 1, None, closed="left")],
            "npix": [Interval(Integral, 1, None, closed="left"), "array-like"],
            "band": "no_validation",
            "prior": "no_validation",
            "neighbors": "no_validation",
            "masker": [HasMethods(["transform"], "NeighborMasker()"), None],
            "redraw": [StrOptions({"noise", "galaxies"})],
            "lifetime": [Interval(Integral, 1, None, closed="left")],
            "replays": [Interval(Integral, 1, None, closed="left")],
            "noise_factor": [Interval(Real, 0, None, closed="left")],
            "dtype": "no_validation",
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        n_samples=20000,
        *,
        npix=96,
        band=None,
        prior=None,
        neighbors=None,
        masker=None,
        redraw="noise",
        lifetime=10,
        replays=1,
        noise_factor=1.0,
        dtype="float32",
        random_state=None,
    ):
        self.band, self.prior = checked_band(band, own_cameras=True), checked_prior(prior)
        self.neighbors = checked_neighbors(neighbors)
        self._sizes = checked_sizes(npix)
        self._own_cameras = hasattr(self.band, "observe")
        if masker is not None and not self._own_cameras:
            raise ValueError(f"masker={masker!r} with one camera for all; expected band to be a CameraPrior.")
        self.masker = masker
        self.redraw, self.lifetime, self.replays = redraw, int(lifetime), int(replays)
        self.noise_factor = noise_factor
        self.shape, self.dtype = (int(n_samples), max(self._sizes), max(self._sizes)), checked_dtype(dtype)
        self.target_names = list(TARGET_NAMES)
        self._seed = int(check_random_state(random_state).randint(2**31))
        of_galaxies, of_noise = self._seeds(2, 0)
        self.parameters, self.target, self.cameras, self.neighbor_parameters = self._draw(len(self), of_galaxies)
        self._row_seeds = np.random.default_rng(of_noise).integers(2**31, size=len(self))
        self._forget()

    def __repr__(self):
        n, npix, _ = self.shape
        return f"SimulatedGalaxies({n}, npix={npix}, redraw={self.redraw!r})"

    # ---- an array of images that never change

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        which, *pixels = rows if isinstance(rows, tuple) else (rows,)
        if which is None or which is ...:
            return np.asarray(self)[rows]
        rows = np.arange(len(self))[which]
        each = rows.ravel()
        images = self._looked_at(each, self._first, self._row_seeds[each], per_seed=1, npix=self.shape[1])
        if self._own_cameras and rows.ndim == 1 and all(part is ... or part == slice(None) for part in pixels):
            return images
        images = np.asarray(images)
        return images.reshape(*rows.shape, *self.shape[1:])[(slice(None),) * rows.ndim + tuple(pixels)]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("SimulatedGalaxies has no array in memory to share; expected copy=None or True.")
        return np.asarray(self[:], dtype=dtype)

    # ---- new ones in each epoch

    def redrawn(self, rows, epoch) -> tuple[Any, NDArray]:
        """Draw the images of an epoch.

        Parameters
        ----------
        rows : array-like of int, shape (n,)
            Which galaxies.
        epoch : int
            From 1; the images of epoch 0 are those of ``galaxies[rows]``.

        Returns
        -------
        images : ndarray or Cutouts of shape (n, npix, npix)
            Of one of the sizes, if there are several.
        target : ndarray of shape (n, 3)
            As ``galaxies.target[rows]``, or that of the new galaxies.
        """
        if epoch < 1:
            raise ValueError(f"epoch={epoch}; expected 1 or more, as galaxies[rows] are those of epoch 0.")
        rows = np.arange(len(self))[rows]
        these = zlib.crc32(rows.tobytes())
        seeds, living = self._seeds(-(-len(rows) // CHUNK), epoch, these), self._living(epoch)
        npix = self._sizes[self._seeds(1, epoch, these, 1)[0] % len(self._sizes)]
        return self._looked_at(rows, living, seeds, per_seed=CHUNK, npix=npix), living.target[rows]

    def noiseless(self, rows, *, alone=False) -> NDArray:
        """Draw the light of epoch 0 without noise, level of the sky and bad pixels.

        Parameters
        ----------
        rows : array-like of int, shape (n,)
            Which galaxies.
        alone : bool, default=False
            Whether without their neighbors.

        Returns
        -------
        ndarray of shape (n, npix, npix)
        """
        rows = np.arange(len(self))[rows]
        living = self._first._replace(neighbors=None) if alone else self._first
        parts = gen_batches(len(rows), CHUNK) if len(rows) else [slice(0, 0)]
        images = np.concatenate([self._render(living, rows[part])[0].numpy() for part in parts])
        return images.astype(self.dtype, copy=False)

    # ---- how they are drawn

    def _seeds(self, n: int, *what: int) -> list[int]:
        return np.random.SeedSequence([self._seed, *what]).generate_state(n).tolist()

    def _draw(self, n: int, seed: int) -> tuple[dict[str, NDArray], NDArray, Any, dict[str, NDArray] | None]:
        """Parameters, targets, cameras and neighbors of new galaxies."""
        galaxies = draw_galaxies(self.prior, n, self.band, seed)
        cameras = self.band.draw(n, seed, galaxies) if self._own_cameras else self.band
        target, around = target_of(galaxies), None
        if self.neighbors is not None:
            own = self.band if self._own_cameras else None
            around = self.neighbors.draw(galaxies, cameras, self.prior, seed, cameras=own)
            galaxies["n_neighbors"] = np.bincount(around["galaxy"], minlength=n)
        return galaxies, target, cameras, around

    def _living(self, epoch: int) -> Population:
        """The galaxies of an epoch: every `lifetime`-th row has a new one, each epoch other rows."""
        if self.redraw == "noise" or epoch == 0:
            return self._first
        if self._latest[0] != epoch:
            births = [epoch - (epoch - group) % self.lifetime for group in range(self.lifetime)]
            known = self._latest[1] if self._latest[0] == epoch - 1 else self._first
            self._latest = epoch, self._renewed(known, births)
        return self._latest[1]

    def _renewed(self, known: Population, births: Sequence[int]) -> Population:
        """A population whose groups of rows were born in these epochs."""
        parameters = {name: values.copy() for name, values in known.parameters.items()}
        target, birth, cameras, neighbors = known.target.copy(), known.birth.copy(), known.cameras, known.neighbors
        for group, born in enumerate(births):
            rows = np.arange(group, len(self), self.lifetime)
            if born > 0 and len(rows) and birth[rows[0]] != born:
                drawn, target[rows], new, around = self._draw(len(rows), self._seeds(1, born)[0])
                neighbors = with_neighbors(neighbors, rows, around)
                birth[rows] = born
                cameras = cameras.with_rows(rows, new) if self._own_cameras else new
                for name, values in drawn.items():
                    parameters[name][rows] = values
        return Population(parameters, target, birth, cameras, neighbors)

    def _looked_at(self, rows: NDArray, living: Population, seeds: Sequence[int], *, per_seed: int, npix: int) -> Any:
        """Images of `rows`, or their cutouts; a seed determines the noise of so many."""
        seen = []
        for part in gen_batches(len(rows), CHUNK) if len(rows) else [slice(0, 0)]:
            drawn = self._noiseless(rows[part], living)
            for start in range(part.start, max(part.stop, part.start + 1), per_seed):
                some = slice(start - part.start, min(start + per_seed, part.stop) - part.start)
                images = center(drawn[0][some], npix)
                seed = int(seeds[start // per_seed]) if len(rows) else 0
                seen.append(self._seen(images, [stars[some] for stars in drawn[1:]], rows[part][some], living, seed))
        if not self._own_cameras:
            return np.concatenate(seen)
        from .._cutouts import Cutouts

        looks = seen[0] if len(seen) == 1 else Cutouts.concatenate(seen)
        return looks if self.masker is None else self.masker.transform(looks)

    def _seen(self, images: Any, stars: list, rows: NDArray, living: Population, seed: int) -> Any:
        """What the cameras make of noiseless images: an array, or cutouts."""
        camera = living.cameras.with_noise_factor(self.noise_factor)
        if self._own_cameras:
            cutouts = self.band.observe(images, *stars, camera.of_rows(rows), seed)
            return cutouts if self.dtype == cutouts.dtype else cutouts.replace(cutouts.images.astype(self.dtype))
        if self.noise_factor:
            images = camera.add_noise(images, random_state=seed)
        return images.numpy().astype(self.dtype, copy=False)

    def _noiseless(self, rows: NDArray, living: Population) -> tuple:
        """Noiseless images as a tensor ``(n, npix, npix)``, and stars, from the cache where it has room for them."""
        fits = rows < len(self._kept_birth)
        if fits.all():
            return self._kept(rows, living)
        drawn = self._render(living, rows[~fits])
        if not fits.any():
            return drawn
        both = tuple(part.new_empty((len(rows), *part.shape[1:])) for part in drawn)
        for whole, new, kept in zip(both, drawn, self._kept(rows[fits], living)):
            whole[~fits], whole[fits] = new, kept
        return both

    def _kept(self, rows: NDArray, living: Population) -> tuple:
        """Noiseless images and stars from the cache, drawn at their first look."""
        new = np.unique(rows[self._kept_birth[rows] != living.birth[rows]])
        if len(new) or self._cache is None:
            drawn = self._render(living, new)
            if self._cache is None:
                self._cache = tuple(part.new_empty((len(self._kept_birth), *part.shape[1:])) for part in drawn)
            for kept, part in zip(self._cache, drawn):
                kept[new] = part
            self._kept_birth[new] = living.birth[new]
        return tuple(kept[rows] for kept in self._cache)

    def _render(self, living: Population, rows) -> tuple:
        from ..simulation import neighbors_of, render, render_with_stars

        galaxies = {name: values[rows] for name, values in living.parameters.items()}
        band = living.cameras.of_rows(rows)
        around = None if living.neighbors is None else neighbors_of(living.neighbors, rows)
        camera = {"npix": self.shape[1], "pixel_scale": band.pixel_scale, "psf": band.psf, "neighbors": around}
        if self._own_cameras:
            return render_with_stars(galaxies, stamp_npix=self.band.stamp_npix, **camera)
        return (render(galaxies, **camera),)

    @property
    def _first(self) -> Population:
        birth = np.zeros(len(self), dtype=int)
        return Population(self.parameters, self.target, birth, self.cameras, self.neighbor_parameters)

    # ---- files: what they are drawn from; no images

    def _forget(self) -> None:
        """Start with an empty cache."""
        self._cache = None
        pixels = self.shape[1] ** 2 + (self.band.stamp_npix**2 if self._own_cameras else 0)
        self._kept_birth = np.full(min(len(self), CACHE_BYTES // (4 * pixels)), -1)
        self._latest = 0, self._first

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("_cache", "_kept_birth", "_latest")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._forget()
