"""The point-spread function of a mosaic, measured from its stars."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from .._sky import require_photutils
from .._stars import MIN_STARS, Tile, measure_psf
from ..catalogs import Catalog
from ._mosaic import FitsMosaic


def estimate_psf(mosaic, stars=None, *, npix=41, mask=None, saturation=None, min_stars=MIN_STARS):
    """Measure the point-spread function of a mosaic from its stars.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    mosaic : FitsMosaic or array-like of shape (h, w)
        Of one band. It is read whole; the level of its sky does not matter. NaN is bad, and so is what the `mask`
        and the noise of a `FitsMosaic` say.
    stars : Catalog, table, or array-like of shape (n, 2), default=None
        Where stars are: a table with columns ra and dec, as `Catalog` finds them, or x and y, or rows of x and y
        [pixels from 0, of the only tile]. None finds them.
    npix : int, default=41
        Side of the stamp [pixels of the mosaic]: odd, 8 times the full width at half maximum or more.
    mask : array-like of bool of shape (h, w), default=None
        True is bad; of a mosaic that is an array.
    saturation : float, default=None
        Pixels with so much [image units] are saturated. None: what the header's ``SATURATE`` says, if it does.
    min_stars : int, default=3
        As many stars are needed.

    Returns
    -------
    PSFEstimate
        The stamp, in the mosaic's own orientation, as ``FitsMosaic(…, psf=…)`` takes it, and what it is made of. For
        ``Cutouts(…, psf=…)`` the mosaic's rows should be those of the cutouts, north up.

    Raises
    ------
    ValueError
        If there are too few stars, `mosaic` has several bands, or `npix` is even or less than 15.
    ImportError
        If photutils is not installed.

    Warns
    -----
    UserWarning
        If there are sources that are smaller than what was taken for stars.

    Notes
    -----
    Stars are bright (S/N > 50), not saturated, whole and alone. Where they are not given, they are the smallest of
    these sources of which three and more are alike, in size to 2.5 % and in ellipticity to 0.03. In a field with less
    than about five stars galaxies can be alike by chance and be taken for them. Look at the table `stars`: widths
    that rise with flux tell of a detector that is not linear, residuals of galaxies and neighbors.

    The point-spread function is the empirical one of Anderson & King (2000, PASP 112, 1360), by photutils, on the
    pixels of the mosaic; stars that it does not fit are left out, and it is built anew. Where the stars are lost in
    the noise, it is the wing of an elliptical Moffat profile fitted to it. It is one for the whole mosaic; where the
    point-spread function varies, divide the mosaic, or use PSFEx.

    Of simulated stars in noise its width is right to 1 % down to a full width at half maximum of 2 pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from galestim.cutouts import estimate_psf
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.indices((300, 300))
    >>> places = np.array([[60 + 60 * i + 0.3 * j, 60 + 60 * j] for i in range(4) for j in range(4)])
    >>> image = sum(1000 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 1.6**2)) for a, b in places)
    >>> psf = estimate_psf(image + rng.normal(size=image.shape), npix=31)
    >>> len(psf.stars), round(psf.fwhm / 1.6, 1)
    (16, 2.4)
    """
    require_photutils("estimate_psf")
    if not isinstance(npix, Integral) or npix < 15 or npix % 2 == 0:
        raise ValueError(f"npix={npix!r}; expected an odd number of pixels, at least 15.")
    tiles, projections = _tiles(mosaic, mask, saturation)
    positions = None if stars is None else _positions(stars, projections)
    return measure_psf(tiles, positions, int(npix), min_stars)


def _tiles(mosaic, mask, saturation) -> tuple[list[Tile], list]:
    """All pixels, and where each tile lies on the sky."""
    if isinstance(mosaic, FitsMosaic):
        if mask is not None:
            raise ValueError("mask is given beside a FitsMosaic; expected FitsMosaic(…, mask=…).")
        tiles = mosaic.tiles()
        if saturation is not None:
            tiles = [tile._replace(saturation=float(saturation)) for tile in tiles]
        return tiles, [image.sky for image in mosaic._bands()[0]]
    return [Tile.of_array(mosaic, mask, saturation)], [None]


def _positions(stars, projections) -> list[NDArray]:
    """Pixels (x, y) of the stars, for each tile."""
    names = getattr(stars, "colnames", getattr(stars, "columns", None))
    if names is None and not isinstance(stars, dict):
        places = np.asarray(stars, dtype=float)
        if places.ndim != 2 or places.shape[1] != 2:
            raise ValueError(f"stars has shape {places.shape}; expected a table, or rows of x and y: (n, 2).")
        return _of_the_tile(places, projections)
    if {"x", "y"} <= set(names if names is not None else stars):
        return _of_the_tile(np.column_stack([np.asarray(stars[name], dtype=float) for name in "xy"]), projections)
    if projections[0] is None:
        raise ValueError("stars has no columns x and y; expected them, as an array has no positions on the sky.")
    catalog = Catalog(stars)
    ra, dec = (np.asarray(catalog[name].to_value("deg")) for name in ("ra", "dec"))
    return [_finite(to_pixel(ra, dec).T) for to_pixel in projections]


def _of_the_tile(places: NDArray, projections) -> list[NDArray]:
    if len(projections) != 1:
        raise ValueError(f"stars are given by x and y for {len(projections)} tiles; expected ra and dec.")
    return [_finite(places)]


def _finite(places: NDArray) -> NDArray:
    return places[np.isfinite(places).all(axis=1)]
