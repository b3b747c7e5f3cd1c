"""Errors of cutouts: those that do not exist, and those that could not be had this time."""

from __future__ import annotations


class CutoutError(RuntimeError):
    """A cutout could not be made; the message says why and what to do.

    .. versionadded:: 0.1.0
    """

    permanent: bool


class MissingCutoutError(CutoutError):
    """There is no such image: outside the survey, not covered enough, or beyond what the service can give.

    Asking again gives the same answer, so it may be remembered.

    .. versionadded:: 0.1.0
    """

    permanent = True


class TransientCutoutError(CutoutError):
    """The service or the network failed; asking again later may help. Never remembered.

    .. versionadded:: 0.1.0
    """

    permanent = False


class BadReplyError(TransientCutoutError):
    """The reply is not the image asked for: truncated, of another type or size, or no image at all.

    .. versionadded:: 0.1.0
    """


class CutoutFetchError(RuntimeError):
    """Cutouts are missing or could not be fetched; raised after all others were tried.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    message : str
        Number of cutouts without an image, their rows, the reasons, and the cure.
    report : QTable or None, default=None
        One row per row of the catalog, with the columns of :attr:`CutoutFetcher.report_`; an attribute, too.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report
