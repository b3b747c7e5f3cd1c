"""Images of a catalog's galaxies: from surveys' own services, from mosaics on disk, or from a source of your own."""

from galestim.cutouts._errors import BadReplyError, CutoutError, MissingCutoutError, TransientCutoutError
from galestim.cutouts._fetcher import CutoutFetcher
from galestim.cutouts._files import ImageDirectory
from galestim.cutouts._hips import Hips2Fits
from galestim.cutouts._http import Transport
from galestim.cutouts._legacy import LegacySurvey
from galestim.cutouts._mosaic import FitsMosaic
from galestim.cutouts._remote import RemoteSource
from galestim.cutouts._report import CutoutFetchError
from galestim.cutouts._skyserver import SkyServer
from galestim.cutouts._soda import Soda
from galestim.cutouts._source import CutoutRequest, CutoutSource
from galestim.cutouts._stack import ArrayStack
from galestim.cutouts._store import CutoutStore

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
