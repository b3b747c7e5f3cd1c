"""Images of a catalog's galaxies, from surveys' own services, from mosaics on disk, or from a source of your own."""

from .._cutouts import Cutouts
from .._stars import PSFEstimate
from ._decode import decode_fits, decode_jpeg
from ._errors import BadReplyError, CutoutError, CutoutFetchError, MissingCutoutError, TransientCutoutError
from ._estimate_psf import estimate_psf
from ._fetcher import CutoutFetcher
from ._hips import Hips2Fits
from ._legacy import LegacySurvey
from ._mosaic import FitsMosaic
from ._psf_models import PSFColumns, PSFEx, PSFStamps
from ._remote import RemoteSource
from ._reported import fetch_reported
from ._skyserver import SkyServer
from ._soda import Soda
from ._source import CutoutRequest, CutoutSource
from ._stack import ArrayStack
from ._store import CutoutStore
from ._stored import ImageDirectory
from .http import Transport

__all__ = [
    "ArrayStack",
    "BadReplyError",
    "CutoutError",
    "CutoutFetchError",
    "CutoutFetcher",
    "CutoutRequest",
    "CutoutSource",
    "CutoutStore",
    "Cutouts",
    "FitsMosaic",
    "Hips2Fits",
    "ImageDirectory",
    "LegacySurvey",
    "MissingCutoutError",
    "PSFColumns",
    "PSFEstimate",
    "PSFEx",
    "PSFStamps",
    "RemoteSource",
    "SkyServer",
    "Soda",
    "TransientCutoutError",
    "Transport",
    "decode_fits",
    "decode_jpeg",
    "estimate_psf",
]
