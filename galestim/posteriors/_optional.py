"""Import of packages that only an extra of galestim installs."""

from __future__ import annotations

import warnings
from importlib import import_module


def optional_import(module: str, what: str, extra: str = "export"):
    """An optional package, or an ImportError that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
            return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed; run: pip install 'galestim[{extra}]'"
        ) from error
