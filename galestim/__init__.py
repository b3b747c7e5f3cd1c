"""galestim: scikit-learn-compatible estimators for galaxy images.

Names are imported when they are first used, so ``import galestim`` costs milliseconds and does not load torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "CNNRegressor": "regression",
    "Catalog": "catalogs",
    "CenterCrop": "preprocessing",
    "CompactCNN": "networks",
    "CutoutFetcher": "cutouts",
    "Cutouts": "cutouts",
    "Downsampler": "preprocessing",
    "HarmonicNet": "networks",
    "MaskFiller": "preprocessing",
    "NeighborMasker": "preprocessing",
    "Normalizer": "preprocessing",
    "PosteriorPipeline": "model_selection",
    "PosteriorRegressor": "regression",
    "STNPosteriorRegressor": "regression",
    "SpatialTransformer": "networks",
    "SpinCNN": "networks",
    "VGG16": "networks",
    "make_pipeline": "model_selection",
    "predict_catalog": "production",
    "trust_report": "trust",
}
_SUBPACKAGES = [
    "calibration",
    "catalogs",
    "checkpoints",
    "cutouts",
    "datasets",
    "displays",
    "model_selection",
    "networks",
    "posteriors",
    "preprocessing",
    "production",
    "refinement",
    "regression",
    "simulation",
    "targets",
    "testing",
    "trust",
]

__all__ = sorted([*_HOME, *_SUBPACKAGES])


def __getattr__(name):
    if name in _SUBPACKAGES:
        return import_module(f"galestim.{name}")
    if name in _HOME:
        return getattr(import_module(f"galestim.{_HOME[name]}"), name)
    raise AttributeError(f"module 'galestim' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return [*__all__, "__version__"]
