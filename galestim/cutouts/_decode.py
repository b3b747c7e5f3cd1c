"""Decoders of JPEG and FITS replies; a header that is not as asked for is refused before pixels are decoded."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .._io.bounds import check_fits, check_scans
from .._tangent import ARCSEC, local_frame
from ._errors import BadReplyError
from ._fits_image import numbers
from ._sky_to_pixel import SkyToPixel
from ._source import CutoutRequest

MAX_PIXELS = 2**26  # of an image whose size nobody asked for; refused before it is decoded
CENTERING = 0.05  # an image may lie this far from where it was asked for [pixels]

_JPEG_END = b"\xff\xd9"  # before it, decoders fill up with gray what is missing
_MORE = bytes(range(255))


def decode_jpeg(body: bytes, npix: int) -> NDArray[np.uint8]:
    """Decode a JPEG of `npix` × `npix` pixels.

    For the `decode` of a :class:`RemoteSource` of your own.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    body : bytes
        What the service sent.
    npix : int
        Pixels along each side, which the header must state before anything is decoded.

    Returns
    -------
    ndarray of uint8, shape (npix, npix, 3)
        Red, green and blue, row 0 at the top; gray images have three equal channels.

    Raises
    ------
    BadReplyError
        If `body` is not a complete JPEG, gray or color, of that size.

    See Also
    --------
    decode_fits : Checks the position of the image, too.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> from galestim.cutouts import decode_jpeg
    >>> file = BytesIO()
    >>> Image.new("RGB", (64, 64)).save(file, "JPEG")
    >>> decode_jpeg(file.getvalue(), 64).shape
    (64, 64, 3)
    >>> decode_jpeg(file.getvalue(), 32)
    Traceback (most recent call last):
    ...
    galestim.cutouts._errors.BadReplyError: the service sent 64×64 pixels; expected 32×32.
    """
    try:
        # Only the decoder that is needed: whatever the bytes are, they are not handed to any other.
        with Image.open(BytesIO(body), formats=("JPEG",)) as image:
            _check_size(image.size, npix)
            if image.mode not in ("L", "RGB"):
                raise BadReplyError(f"the service sent a JPEG in mode {image.mode}; expected 8-bit gray or color.")
            _within_bounds(check_scans, body, npix**2)
            pixels = np.array(image.convert("RGB"))
        if not _is_whole(body, pixels):
            raise BadReplyError(f"the service sent a JPEG that is cut off after {len(body)} bytes.")
        return pixels
    except BadReplyError:
        raise
    except Exception as error:  # damaged files make Pillow raise a dozen kinds
        raise not_an_image(body, "JPEG", error) from error


def _is_whole(body: bytes, pixels: NDArray[np.uint8]) -> bool:
    """True if a JPEG has all its pixels: where data are missing, and only there, decoders make use of more."""
    end = body.rstrip(b"\0\r\n ")
    if not end.endswith(_JPEG_END):
        return False
    with Image.open(BytesIO(end[:-2] + _MORE + _JPEG_END), formats=("JPEG",)) as image:
        return np.array_equal(np.array(image.convert("RGB")), pixels)


def decode_fits(body: bytes, request: CutoutRequest, n_planes: int = 1) -> NDArray[np.float32]:
    """Decode a FITS image that covers the request's own grid: its size, center, scale and axes are checked.

    For the `decode` of a :class:`RemoteSource` of your own.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    body : bytes
        What the service sent.
    request : CutoutRequest
        What was asked for: position [deg], ``pixel_scale`` [arcsec] and ``npix``.
    n_planes : int, default=1
        Planes of the image, which become channels.

    Returns
    -------
    ndarray of float32, shape (npix, npix, n_planes)
        Row 0 is the northernmost, column 0 the easternmost, whichever way the file has them. Values are the file's.

    Raises
    ------
    BadReplyError
        If `body` is not a complete FITS image with so many pixels and planes, or its WCS says that it lies
        elsewhere than the request: services clamp sizes and scales without saying so.

    See Also
    --------
    decode_jpeg : For pictures.

    Examples
    --------
    A service on this machine stands for one on the internet:

    >>> from galestim.cutouts import CutoutRequest, decode_fits
    >>> from galestim.testing import GaussianSky, LoopbackSky
    >>> server = LoopbackSky(GaussianSky([150.0], [2.0], [100.0], sigma=2.0))
    >>> query = {"ra": ["150"], "dec": ["2"], "pixscale": ["0.5"], "size": ["64"], "bands": ["gr"]}
    >>> body = server.answer("/viewer/fits-cutout", query).body
    >>> decode_fits(body, CutoutRequest(150.0, 2.0, 0.5, 64, "a"), n_planes=2).shape
    (64, 64, 2)

    Pixels of another scale than asked for:

    >>> decode_fits(body, CutoutRequest(150.0, 2.0, 0.4, 64, "a"), n_planes=2)
    Traceback (most recent call last):
    ...
    galestim.cutouts._errors.BadReplyError: the service sent an image whose center is 0.00 pixels east and 0.00
    pixels north of the position asked for, with axes (-1.250, 0.000) and (0.000, 1.250); expected it centered, with
    axes along east and north and pixels of 0.4″.
    """
    return decode_image(body, request, n_planes, _any_image)


def decode_image(body: bytes, request: CutoutRequest, n_planes: int, is_wanted: Callable[[fits.Header], bool]):
    """As `decode_fits`, of the first image of a file that `is_wanted`."""

    def check(shape: tuple[int, ...]) -> None:
        _check_size(shape[:-3:-1], request.npix)
        if int(np.prod(shape[:-2])) != n_planes:
            raise BadReplyError(f"the service sent {int(np.prod(shape[:-2]))} bands; expected {n_planes}.")

    values, header = read_fits(body, check, is_wanted)
    rows, columns = _steps_to_north_up(header, request)
    planes = values.reshape(n_planes, request.npix, request.npix)[:, ::rows, ::columns]
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1), dtype=np.float32)


def _any_image(header: fits.Header) -> bool:
    return True


def read_fits(
    body: bytes, check: Callable[[tuple[int, ...]], None], is_wanted: Callable[[fits.Header], bool] = _any_image
) -> tuple[NDArray, fits.Header]:
    """Pixels and header of the first image `is_wanted`; `check` sees its shape before the pixels are decoded.

    It is a BadReplyError if `body` is not a complete FITS file, or holds no such image of two dimensions or more.
    """
    if not body.startswith(b"SIMPLE  ="):
        raise not_an_image(body, "FITS", None)
    try:
        _within_bounds(check_fits, body)
        with fits.open(BytesIO(body), memmap=False, do_not_scale_image_data=True) as hdus:
            for hdu in hdus:
                if hdu.is_image and len(hdu.shape) >= 2 and min(hdu.shape) > 0 and is_wanted(hdu.header):
                    check(hdu.shape)
                    return numbers(hdu.data, hdu.header), hdu.header
    except BadReplyError:
        raise
    except Exception as error:  # damaged files make astropy raise a dozen kinds, warnings among them
        raise not_an_image(body, "FITS", error) from error
    raise BadReplyError("the service sent a FITS file without an image.")


def _within_bounds(check: Callable, *arguments) -> None:
    try:
        check(*arguments, "what the service sent")
    except ValueError as error:
        raise BadReplyError(str(error)) from error


def _check_size(size: tuple[int, ...], npix: int) -> None:
    if tuple(size) != (npix, npix):
        raise BadReplyError(f"the service sent {'×'.join(map(str, size))} pixels; expected {npix}×{npix}.")


def _steps_to_north_up(header: fits.Header, request: CutoutRequest) -> tuple[int, int]:
    """Steps (1 or -1) along the file's rows and columns that go south and west; the WCS must be the request's."""
    try:
        sky = SkyToPixel(WCS(header, naxis=2)).inverse(*(request.npix - 1) / 2 + np.array([[0, 1, 0], [0, 0, 1]]))
        east, north, depth = local_frame(np.array([request.ra]), np.array([request.dec]))[0] @ sky
    except Exception as error:
        raise BadReplyError(f"the service sent a FITS image whose WCS cannot be read: {error}") from error
    pixel = ARCSEC * request.pixel_scale
    east, north = (np.round(side / depth / pixel, 6) + 0.0 for side in (east, north))  # 0.0, not -0.0
    columns, rows = (1 if east[1] < east[0] else -1), (1 if north[2] < north[0] else -1)
    expected = np.array([[0, -columns, 0], [0, 0, -rows]])
    if not np.abs(np.array([east, north]) - expected).max() < CENTERING:  # NaN is caught, too
        raise BadReplyError(
            f"the service sent an image whose center is {east[0]:.2f} pixels east and {north[0]:.2f} pixels north of "
            f"the position asked for, with axes ({east[1] - east[0]:.3f}, {north[1] - north[0]:.3f}) and "
            f"({east[2] - east[0]:.3f}, {north[2] - north[0]:.3f}); expected it centered, with axes along east and "
            f"north and pixels of {request.pixel_scale:g}″."
        )
    return rows, columns


def is_uniform(image: NDArray[np.uint8], tolerance: int = 2) -> bool:
    """True if all pixels of a JPEG have one color; compression may move it by `tolerance`.

    No piece of sky is, because of its noise: this is how services draw what they have not observed.

    Examples
    --------
    >>> is_uniform(np.full((4, 4, 3), 32, np.uint8))
    True
    """
    return bool((np.ptp(image, axis=(0, 1)) <= tolerance).all())


def not_an_image(body: bytes, kind: str, error: Exception | None) -> BadReplyError:
    """The error for bytes that are something else; it shows how they begin, which often says why."""
    unknown = error is None or isinstance(error, UnidentifiedImageError)  # which says where in memory it is
    why = "" if unknown else f" ({type(error).__name__}: {error})"
    return BadReplyError(f"the service sent no {kind} image but {len(body)} bytes that begin {body[:80]!r}{why}.")
