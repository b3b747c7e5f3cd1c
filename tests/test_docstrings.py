"""Documented parameters and defaults are those of the code."""

import importlib
import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString

import galestim

NAMES = [
    (package, name)
    for package in galestim._SUBPACKAGES
    for name in importlib.import_module(f"galestim.{package}").__all__
]
PUBLIC = [(package, name) for package, name in NAMES if not name.endswith("Error")]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_says_since_when(package, name):
    lines = getattr(importlib.import_module(f"galestim.{package}"), name).__doc__.split("\n")
    (since,) = [i for i, line in enumerate(lines) if re.fullmatch(r" *\.\. versionadded:: \d+\.\d+\.\d+", line)]
    sections = [i for i, line in enumerate(lines) if re.fullmatch(r" *-{3,}", line)]
    assert since < min(sections, default=len(lines))


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_documented_defaults(package, name):
    thing = getattr(importlib.import_module(f"galestim.{package}"), name)
    documented = {}
    for parameter in NumpyDocString(inspect.getdoc(thing))["Parameters"]:
        for one in parameter.name.split(","):
            documented[one.strip().lstrip("*")] = parameter.type
    signature = inspect.signature(thing)
    assert list(documented) == list(signature.parameters)
    for parameter in signature.parameters.values():
        if parameter.default is inspect.Parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
            continue
        said = re.search(r"default=(.*)$", documented[parameter.name])
        assert said, f"{name}.{parameter.name} does not say its default"
        assert eval(said.group(1)) == parameter.default
