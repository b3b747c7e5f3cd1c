"""A transport that waits for less than a user's, and the errors it ends with."""

import pytest

from galestim.cutouts._errors import TransientCutoutError
from galestim.cutouts.http import Transport

TOKEN = "Bearer 5ecret70ken"


def quick(**parameters):
    """A transport that waits for less than a user's."""
    fast = {"requests_per_second": 500, "backoff": 0.01, "timeouts": (2, 2, 20), "max_retries": 2}
    return Transport(**{**fast, **parameters})


def error_of(transport, url, kind=TransientCutoutError, **options):
    with pytest.raises(kind) as caught:
        transport.get(url, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # which might show secrets
    return str(caught.value)
