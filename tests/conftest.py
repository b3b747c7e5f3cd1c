"""Settings and fixtures of all tests."""

import os

# Before torch, scipy and matplotlib are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks of the tests are too small to share among threads
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its array API checks
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from joblib.externals.loky import get_reusable_executor

from galestim.cutouts.http import _breaker


@pytest.fixture(scope="module", autouse=True)
def _fresh_workers():
    """End workers with their module: joblib replaces one that grew, and says so by a warning in a thread of its own.

    There, as an error, it would end the thread, and the test would wait forever.
    """
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(autouse=True)
def _no_service_is_down(monkeypatch):
    """A server may have the port of one that was down in another test."""
    monkeypatch.setattr(_breaker, "_breakers", {})


def pytest_make_parametrize_id(config, val, argname):
    """Name bytes by their argument: what is packed today may differ from what another worker packed a second ago."""
    return argname if isinstance(val, bytes) else None
