"""What importing galestim costs, and that its public names are where they are said to be."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import galestim


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
    package = Path(galestim.__file__).parent
    private = re.compile(r"^\s*from sklearn[\w.]*\._|^\s*from sklearn[\w.]* import .*\b_\w", re.MULTILINE)
    found = [str(file) for file in package.rglob("*.py") if private.search(file.read_text(encoding="utf-8"))]
    assert found == [str(package / "_sklearn.py")]
