"""Pages for contributors: the files that they name exist, and they name every part of the package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["architecture", "contributing"]


def named(page):
    """Paths from the root of the repository, in code font."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return set(re.findall(r"`((?:galestim|tests|docs|notebooks)/[^`\s]*)`", text))


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    paths = named(page)
    assert len(paths) > 5
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_folders_are_named_as_such(page):
    assert all(path.endswith("/") == (ROOT / path).is_dir() for path in named(page) if (ROOT / path).exists())


def test_every_part_of_the_package_has_its_floor():
    parts = {path.name for path in (ROOT / "galestim").iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    paths = named("architecture")
    assert not {part for part in parts if not any(path.startswith(f"galestim/{part}") for path in paths)}
