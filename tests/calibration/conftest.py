import pytest

from ._faults import simulate


@pytest.fixture(scope="session", name="simulate")
def _simulate():
    """Factory of `Galaxies`."""
    return simulate
