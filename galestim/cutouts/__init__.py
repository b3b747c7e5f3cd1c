"""Images of a catalog's galaxies: from surveys' own services, from mosaics on disk, or from a source of your own."""

from ._errors import BadReplyError, CutoutError, MissingCutoutError, TransientCutoutError
from ._fetcher import CutoutFetcher
from ._files import ImageDirectory
from ._hips import Hips2Fits
from ._http import Transport
from ._legacy import LegacySurvey
from ._mosaic import FitsMosaic
from ._remote import RemoteSource
from ._report import CutoutFetchError
from ._skyserver import SkyServer
from ._soda import Soda
from ._source import CutoutRequest, CutoutSource
from ._stack import ArrayStack
from ._store import CutoutStore

__all__ = [
    "ArrayStack",
    "BadReplyError",
    "CutoutError",
    "CutoutFetchError",
    "CutoutFetcher",
    "CutoutRequest",
    "CutoutSource",
    "CutoutStore",
    "FitsMosaic",
    "Hips2Fits",
    "ImageDirectory",
    "LegacySurvey",
    "MissingCutoutError",
    "RemoteSource",
    "SkyServer",
    "Soda",
    "TransientCutoutError",
    "Transport",
]
