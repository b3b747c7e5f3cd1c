"""Counts of the outcomes of all fuzz tests, printed behind the tests."""

from collections import Counter

import pytest

_OUTCOMES: dict[str, Counter] = {}


@pytest.fixture(scope="module")
def outcomes(request) -> Counter:
    """How many cases of the module ended in which way."""
    return _OUTCOMES.setdefault(request.module.__name__.rpartition(".")[2], Counter())


def pytest_terminal_summary(terminalreporter):
    for module, counts in _OUTCOMES.items():
        found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        terminalreporter.write_line(f"{module}: {counts.total()} cases: {found}")
