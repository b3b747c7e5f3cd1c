import pytest

from galestim.cutouts.http import _breaker


@pytest.fixture
def own_world(monkeypatch, tmp_path):
    """No proxy; politeness and services that are down are not those of other tests."""
    monkeypatch.setenv("GALESTIM_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(_breaker, "_breakers", {})
