"""Models as the command line takes them: a file, or the name of one that comes with galestim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib

from .._descend import find
from .._tables import listed
from ..checkpoints import load_estimator, load_pretrained
from ..model_selection import make_pipeline
from .recipe import Recipe

PICKLES = (".joblib", ".pickle", ".pkl")


def load_model(name: str) -> Any:
    """A fitted estimator, from a file or by its name."""
    path = Path(name).expanduser()
    if path.suffix in PICKLES:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file; expected a model that galestim fit wrote.")
        return joblib.load(path)
    if path.suffix == ".safetensors":
        return load_estimator(path)
    if path.suffix or path.exists():
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; expected .safetensors, or one of {listed(PICKLES)}."
        )
    return load_pretrained(name)


def catalog_model(name: str, images: Recipe | None) -> Any:
    """A fitted pipeline that predicts from a catalog: the model with the images of a recipe, or with its own."""
    model = load_model(name)
    if hasattr(model, "steps"):
        if images is None:
            return model
        return make_pipeline(images.fetcher(), *[step for _, step in model.steps[1:]])
    if images is None:
        told = (getattr(model, "card_", None) or {}).get("images")
        if told is None:
            raise ValueError(
                f"{name} does not say where its images come from; pass --images, a recipe with the sections [images] "
                "and [cutouts]."
            )
        images = Recipe(told)
        images.check()
    return make_pipeline(images.fetcher(), model)


def described(name: str) -> dict[str, Any]:
    """What there is to know of a model."""
    model = load_model(name)
    inner = model.steps[-1][1] if hasattr(model, "steps") else model
    units = find(model, "target_units_")[0]
    names = find(model, "target_names_")[0] or []
    domain = find(model, "domain_")[0]
    return {
        "model": name,
        "class": type(model).__name__,
        "steps": [type(step).__name__ for _, step in getattr(model, "steps", [])],
        "regressor": type(inner).__name__,
        "network": repr(inner.network) if getattr(inner, "network", None) is not None else None,
        "weights": find(model, "n_parameters_")[0],
        "image_shape": list(find(model, "image_shape_")[0] or []),
        "targets": {target: (units[j] if units else None) for j, target in enumerate(names)},
        "knows_camera": bool(getattr(inner, "camera_", False)),
        "knows_domain": domain is not None,
        "epochs": len(find(model, "history_")[0] or []),
        "card": find(model, "card_")[0],
    }
