"""Imports: what they cost, where public names are found, and what may import what."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import galestim

PACKAGE = Path(galestim.__file__).parent


def in_a_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_import_is_light():
    loaded = in_a_fresh_process("import galestim, sys; print(*sys.modules)")
    assert not {"torch", "sklearn", "skorch", "numpy", "astropy"} & set(loaded)


def test_torch_comes_with_the_estimators_only():
    modules = "preprocessing, datasets, displays, model_selection, targets, posteriors, calibration"
    assert in_a_fresh_process(f"from galestim import {modules}; import sys; print('torch' in sys.modules)") == [
        "False"
    ]
    assert in_a_fresh_process("from galestim import CNNRegressor; import sys; print('torch' in sys.modules)") == [
        "True"
    ]


@pytest.mark.parametrize("name", galestim.__all__)
def test_public_names_exist(name):
    assert name in dir(galestim)
    assert getattr(galestim, name) is not None


@pytest.mark.parametrize("name", galestim._HOME)
def test_one_public_path(name):
    home = getattr(galestim, galestim._HOME[name])
    assert name in home.__all__
    assert getattr(home, name) is getattr(galestim, name)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'galestim' has no attribute 'Spin'; it has CNNRegressor"):
        galestim.Spin  # noqa: B018


def test_private_names_of_scikit_learn_are_imported_in_one_file():
    private = re.compile(r"^\s*from sklearn[\w.]*\._|^\s*from sklearn[\w.]* import .*\b_\w", re.MULTILINE)
    found = [str(file) for file in PACKAGE.rglob("*.py") if private.search(file.read_text(encoding="utf-8"))]
    assert found == [str(PACKAGE / "_sklearn.py")]


def imported(file):
    """Absolute paths of what a file of galestim imports from galestim, inside of functions too."""
    here = ("galestim", *file.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            yield from ([*filter(None, module), name.name] for name in node.names)


def test_other_packages_are_used_by_their_public_face():
    """``from ..networks import name``; private modules are shared on the ground floor, ``galestim/_x.py``, only."""
    private = [
        f"{file.relative_to(PACKAGE)}: {'.'.join(path)}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for path in imported(file)
        if path[1] != file.relative_to(PACKAGE).parts[0] and not path[1].startswith("_")
        if any(part.startswith("_") for part in path[2:])
    ]
    assert not private, "\n".join(private)


def test_imports_within_galestim_are_relative():
    absolute = re.compile(r"^\s*(from|import) galestim\b", re.MULTILINE)
    assert [str(file) for file in PACKAGE.rglob("*.py") if absolute.search(file.read_text(encoding="utf-8"))] == []
