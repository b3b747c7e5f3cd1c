"""Recipes: TOML files that say where the galaxies are, where their images come from, and what is to be learned.

Nothing in a recipe is executed: objects are ``{ class = "HarmonicNet", hidden = 64 }``, of a few classes of galestim,
and every key is compared with the parameters that there are.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .. import cutouts, networks, preprocessing, regression, simulation
from .._tables import listed
from ..catalogs import Catalog
from ..cutouts import CutoutFetcher
from ..model_selection import make_pipeline

SECTIONS = {
    "catalog": {"file", "names"},
    "images": {"class"},
    "cutouts": set(inspect.signature(CutoutFetcher).parameters) - {"source", "reducer"},
    "steps": set(),
    "model": {"class"},
    "targets": {"columns", "cv"},
}
"""Sections of a recipe, and their keys; those with a class have its parameters, too."""

SOURCES = ("FitsMosaic", "Hips2Fits", "ImageDirectory", "LegacySurvey", "SkyServer", "Soda")
MODELS = ("CNNRegressor", "PosteriorRegressor", "STNPosteriorRegressor")
STEPS = ("CenterCrop", "Downsampler", "Normalizer")
PARTS = {
    cutouts: ("PSFColumns", "PSFEx", "PSFStamps", "Transport"),
    simulation: ("AiryPSF", "DoubleMoffatPSF", "GaussianPSF", "MoffatPSF"),
    networks: ("Augmentation", "CompactCNN", "GaussianHead", "HarmonicNet", "SpatialTransformer", "SpinCNN", "VGG16"),
}
_FILES = ("cache", "checkpoint", "file", "folder", "path")  # parameters that name files
_MAY_BE_FILES = ("mask", "noise", "paths", "psf", "variance", "weight")  # or extensions of one


@dataclass(frozen=True)
class Recipe:
    """A recipe that was checked.

    Parameters
    ----------
    sections : dict
        As in the file; paths are those from the folder of the file.
    """

    sections: dict[str, Any]

    @classmethod
    def read(cls, path: Path, needed: Iterable[str]) -> Recipe:
        """Read a file, in which the sections `needed` must be.

        Raises
        ------
        ValueError
            If it is no TOML, or a section or key is unknown or absent.
        """
        try:
            sections = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML: {error}. Expected a recipe; see galestim fit --help.") from error
        try:
            check_keys(sections, SECTIONS, "sections")
            if lacking := [name for name in needed if name not in sections]:
                raise ValueError(f"there is no section {listed(lacking)}; expected all of {listed(needed)}.")
            recipe = cls({name: _located(section, path.parent) for name, section in sections.items()})
            recipe.check()
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return recipe

    def check(self) -> None:
        """Make everything that needs no image, which checks every key and value."""
        for name in ("catalog", "cutouts", "targets"):
            if name in self.sections:
                check_keys(self.sections[name], SECTIONS[name], f"keys of [{name}]")
        if "images" in self.sections:
            self.fetcher()
        if "model" in self.sections:
            self.model()._validate_params()
            self.steps()

    def catalog(self, file: Path | None = None) -> Catalog:
        """The galaxies, of another `file` if there is one."""
        told = self.sections.get("catalog", {})
        file = told.get("file") if file is None else file
        if file is None:
            raise ValueError("[catalog] has no file; expected file = 'catalog.parquet', say.")
        return Catalog(file, **told.get("names", {}))

    def fetcher(self) -> CutoutFetcher:
        """What makes images of the catalog."""
        source = made(self.sections["images"], {cutouts: SOURCES}, "[images]")
        told = self.sections.get("cutouts", {})
        if "npix" not in told:
            raise ValueError("[cutouts] has no npix; expected the side of the images in pixels.")
        fetcher = CutoutFetcher(source, **{"verbose": 1, **told})
        fetcher._validate_params()
        return fetcher

    def steps(self) -> list:
        """What changes images before the model gets them."""
        return [made(step, {preprocessing: STEPS}, "[[steps]]") for step in self.sections.get("steps", [])]

    def model(self):
        """The regressor, not fitted."""
        return made({"verbose": 1, **self.sections["model"]}, {regression: MODELS}, "[model]")

    def pipeline(self):
        """All of these."""
        return make_pipeline(self.fetcher(), *self.steps(), self.model())

    def targets(self, catalog: Catalog) -> Catalog:
        """What is to be learned, as the catalog has it."""
        columns = self.sections["targets"].get("columns")
        if not columns:
            raise ValueError("[targets] has no columns; expected columns = ['half_light_radius', 'flux'], say.")
        if unknown := [name for name in columns if name not in catalog.colnames]:
            raise ValueError(
                f"[targets] has the columns {listed(unknown)}; the catalog has {listed(catalog.colnames)}."
            )
        return catalog[columns]


def check_keys(given: Any, known: Iterable[str], what: str) -> None:
    """Refuse keys that are unknown, with the one that may have been meant."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{what}: got {given!r}; expected a table, [{{name}}] and then key = value.")
    known = sorted(known)
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{key!r} is unknown among the {what};{meant} expected some of {listed(known, 40)}.")


def made(told: Any, allowed: Mapping[Any, Iterable[str]], where: str) -> Any:
    """An object of one of the `allowed` classes, by module, with its parameters."""
    classes = {name: getattr(module, name) for module, names in allowed.items() for name in names}
    name = told.get("class") if isinstance(told, Mapping) else None
    if name not in classes:
        near = get_close_matches(str(name), classes, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where} has class = {name!r};{meant} expected one of {listed(sorted(classes), 20)}.")
    parameters = {key: value for key, value in told.items() if key != "class"}
    check_keys(parameters, inspect.signature(classes[name]).parameters, f"parameters of {name} in {where}")
    return classes[name](**{key: _part(value, f"{where} {key}") for key, value in parameters.items()})


def _part(value: Any, where: str) -> Any:
    """`value`, in which tables that name a class are objects."""
    if isinstance(value, list):
        return [_part(item, where) for item in value]
    if not isinstance(value, Mapping):
        return value
    return made(value, PARTS, where) if "class" in value else {key: _part(item, where) for key, item in value.items()}


def _located(section: Any, folder: Path) -> Any:
    """A section in which relative paths are from `folder`, so that it may be read from anywhere."""
    if isinstance(section, list):
        return [_located(item, folder) for item in section]
    if not isinstance(section, Mapping):
        return section
    return {
        key: _path(value, folder, key in _FILES) if key in _FILES + _MAY_BE_FILES else _located(value, folder)
        for key, value in section.items()
    }


def _path(value: Any, folder: Path, is_file: bool) -> Any:
    if isinstance(value, list):
        return [_path(item, folder, is_file) for item in value]
    if isinstance(value, Mapping):
        bands = {key: _path(one, folder, is_file) for key, one in value.items()}
        return _located(value, folder) if "class" in value else bands
    if not isinstance(value, str) or "://" in value:
        return value
    is_file = is_file or "/" in value or "." in value or (folder / value).exists()
    return str((folder / Path(value).expanduser()).absolute()) if is_file else value
