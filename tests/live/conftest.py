"""Tests here ask the real services, so they run only when asked for: pytest -m live."""

import pytest


def pytest_collection_modifyitems(config, items):
    if "live" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.skip(reason="asks the real services; run with pytest -m live"))
