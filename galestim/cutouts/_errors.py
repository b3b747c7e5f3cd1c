"""What can go wrong with a cutout: it does not exist, or it could not be had this time."""

from __future__ import annotations


class CutoutError(RuntimeError):
    """A cutout could not be made; the message says why and what to do."""

    permanent: bool


class MissingCutoutError(CutoutError):
    """There is no such image: outside the survey, not covered enough, or beyond what the service can give.

    Asking again gives the same answer, so it may be remembered.
    """

    permanent = True


class TransientCutoutError(CutoutError):
    """The service or the network failed; asking again later may help. Never remembered."""

    permanent = False


class BadReplyError(TransientCutoutError):
    """What came back is not what was asked for: truncated, another type, another size, not an image."""
