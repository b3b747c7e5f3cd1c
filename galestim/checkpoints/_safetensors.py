"""Fitted estimators in safetensors files: weights as arrays, and JSON that says what they belong to.

A pickle is a program, which whoever loads it runs; a file of this format cannot hold one. Its tensors are the
weights, ``weights.<name>``, and the fitted arrays, ``fitted.<name>``. Its metadata has one entry, ``galestim``: the
JSON ``{"format", "galestim", "class", "parameters", "fitted", "card", "sha256"}``, with values as `_plain` describes
them, and a digest of all that and of the tensors.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._device import resolve_device
from .._io.files import written_whole
from ..regression import CNNRegressor, PosteriorRegressor, STNPosteriorRegressor
from ._fitting import check_counts, check_finite, check_fitted, no_more_than
from ._plain import Tensors, described_each, made, named, restored

FORMAT = 2
ESTIMATORS = {kind.__name__: kind for kind in (CNNRegressor, PosteriorRegressor, STNPosteriorRegressor)}
# Of the parameters: code, what is a matter of the machine, and what a fit began with
LEFT_OUT = ("callbacks", "checkpoint", "checkpoint_minutes", "device", "warm_start_from")
OF_NETWORKS = ("network", "spatial_transformer", "head", "n_estimators")  # parameters that say how large they are
MAX_PASSES = 10**5  # of each image through the network
WEIGHTS = "weights."
FITTED = {
    "_one_dimensional_y",
    "_seed",
    "history_",
    "image_shape_",
    "n_features_in_",
    "n_outputs_",
    "n_parameters_",
    "pixel_mean_",
    "pixel_scale_",
    "target_mean_",
    "target_names_",
    "target_scale_",
    "target_transforms_",
    "target_units_",
}
WIDTHS = {"width_factors_", "width_spreads_"}  # of posteriors
OF_CAMERAS = {"camera_", "domain_", "_learned_in", "_on_sky"}  # of fits to images that know their camera
OF_SOME = {"feature_names_in_", "n_passes_"} | OF_CAMERAS  # of fits to data frames, and with n_passes="auto"


class _Content(NamedTuple):
    """Content of a file."""

    description: dict[str, Any]
    tensors: Tensors


def save_estimator(estimator, path, card=None) -> None:
    """Write a fitted estimator to a safetensors file, which holds weights and no code.

    The file has all that prediction and further fits need: constructor parameters, weights, and what else was fitted,
    with the history of the training. Whoever opens it runs nothing, so that it can be given to strangers.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : CNNRegressor, PosteriorRegressor or STNPosteriorRegressor
        Fitted; with a network, spatial transformer, augmentation and target transforms of galestim.
    path : str or Path
        The file, ``.safetensors`` by custom. If it exists, it is replaced.
    card : dict, default=None
        What there is to know of the estimator: what it was trained on, what it wants, how good it is. Anything that
        JSON can hold, with text as keys.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is of another class, such as a pipeline or a `RecalibratedRegressor`, a parameter is an
        object or class of your own, or JSON cannot hold the card.
    FileNotFoundError
        If the folder does not exist.

    Warns
    -----
    UserWarning
        If the estimator has callbacks, which are code and are left out.

    See Also
    --------
    load_estimator : Reads the file.

    Notes
    -----
    The device is not written, nor `warm_start_from` (the network that it gave is), nor the requests of metadata
    routing (``set_fit_request``), nor the card of a file that the estimator was read from: a fit may have changed
    what it says, so pass ``card=estimator.card_``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from galestim import HarmonicNet, PosteriorRegressor
    >>> from galestim.checkpoints import load_estimator, save_estimator
    >>> rng = np.random.default_rng(0)
    >>> images, flux = rng.normal(size=(50, 16, 16)), rng.uniform(1, 2, 50)
    >>> model = PosteriorRegressor(HarmonicNet(hidden=8, blocks=1), target_transforms="log", max_epochs=1)
    >>> model = model.fit(images, flux)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flux.safetensors"
    ...     save_estimator(model, path, card={"data": "noise, 16×16 px"})
    ...     again = load_estimator(path)
    >>> again.card_["data"]
    'noise, 16×16 px'
    >>> bool(np.all(again.predict(images) == model.predict(images)))
    True
    """
    path = Path(path).expanduser()
    if type(estimator) not in ESTIMATORS.values():
        raise TypeError(
            f"got a {type(estimator).__name__}; expected a fitted {_listed(ESTIMATORS)}. Of a pipeline, search "
            "or recalibration, save the regressor inside, or pickle the whole."
        )
    check_is_fitted(estimator)
    if estimator.callbacks:
        warnings.warn(
            "callbacks are code, so the file does without them; set them again after loading.", stacklevel=2
        )
    content = _content(estimator, _checked_card(card))
    metadata = {"galestim": json.dumps({**content.description, "sha256": _digest(content)}, ensure_ascii=False)}
    with written_whole(path) as finished:
        finished.write_bytes(save(content.tensors, metadata))


def load_estimator(path, device="auto") -> CNNRegressor | PosteriorRegressor:
    """Read a fitted estimator from a safetensors file; nothing in the file is executed.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    path : str or Path
        A file that `save_estimator` wrote.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.

    Returns
    -------
    CNNRegressor, PosteriorRegressor or STNPosteriorRegressor
        Fitted. It predicts what the one that was written did, to the last bit on the same device with the same
        number of threads, and with ``warm_start=True`` its `fit` goes on. Its attribute ``card_`` is the card, a
        dict, if one was written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of another program or of a newer format, names anything that is not galestim's, or the
        device is unknown or absent.

    See Also
    --------
    save_estimator : Writes the file; with an example.
    load_pretrained : An estimator that comes with galestim.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is not a file; expected one that save_estimator wrote.")
    resolve_device(device)  # here it must be present; a state falls back to what there is
    content = _read(path)
    try:
        return _estimator(content, device)
    except Exception as error:  # what was forged can fail in any way
        raise ValueError(f"{str(path)!r} holds no estimator that this galestim can read: {error}") from error


def _listed(names) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


# ---- estimators as JSON and arrays


def _content(estimator, card: dict | None) -> _Content:
    kind, state = type(estimator).__name__, estimator.__getstate__()
    tensors = {WEIGHTS + name: np.array(value, order="C") for name, value in state["_weights"].items()}
    parameters = {key: value for key, value in estimator.get_params(deep=False).items() if key not in LEFT_OUT}
    if estimator.warm_start_from is not None:
        parameters["network"] = estimator._spec()
    fitted = {name: state[name] for name in sorted(state.keys() & (_fitted(kind) | OF_SOME))}
    description = {
        "format": FORMAT,
        "galestim": __version__,
        "class": kind,
        "parameters": described_each(parameters, "parameters", tensors),
        "fitted": described_each(fitted, "fitted", tensors),
        "card": card,
    }
    return _Content(description, tensors)


def _fitted(kind: str) -> set[str]:
    """The attributes that a fitted estimator of this class has."""
    return FITTED if kind == "CNNRegressor" else FITTED | WIDTHS


def _checked_card(card) -> dict | None:
    """As it will be read."""
    try:
        checked = json.loads(json.dumps(card, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the card cannot be written as JSON ({error}); use dicts, lists, text, numbers.") from error
    if not isinstance(checked, dict | None):
        raise TypeError(f"the card is a {type(card).__name__}; expected a dict, or None.")
    return checked


def _estimator(content: _Content, device):
    description, tensors = content
    kind = named(ESTIMATORS, description["class"], "estimator")
    fitted = {name: restored(value, tensors) for name, value in description["fitted"].items()}
    if missing := _fitted(kind.__name__) - fitted.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}.")
    if unknown := fitted.keys() - _fitted(kind.__name__) - OF_SOME:
        raise ValueError(f"it has {', '.join(sorted(unknown))}, unknown to a {kind.__name__}.")
    check_finite(tensors)
    check_fitted(fitted)
    weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    sizes = {name: description["parameters"].get(name) for name in OF_NETWORKS}
    check_counts(sizes, weights, fitted["image_shape_"])
    estimator = made(kind, description["parameters"], tensors).set_params(device=device)
    estimator._validate_params()
    passes = getattr(estimator, "n_passes", 1)
    passes = fitted.get("n_passes_", 1) if passes == "auto" else passes
    if passes > MAX_PASSES:
        raise ValueError(f"n_passes is {passes}; expected at most {MAX_PASSES}.")
    versions = {"_galestim_version": description["galestim"]}
    with no_more_than(weights):
        estimator.__setstate__({**vars(estimator), **fitted, **versions, "_weights": weights})
    if description["card"] is not None:
        estimator.card_ = description["card"]
    return estimator


# ---- JSON and arrays as a file


def _read(path: Path) -> _Content:
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if "galestim" not in metadata:
                raise ValueError("its metadata has no entry 'galestim', so it is of another program")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata["galestim"])
        sha256 = description.pop("sha256")
        if description["format"] != FORMAT:
            raise ValueError(f"its format is {description['format']}, expected {FORMAT}; update galestim")
        content = _Content(description, tensors)
        if sha256 != _digest(content):
            raise ValueError("it is not as it was written")
        return content
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise ValueError(
            f"{str(path)!r} cannot be read: {error}. Expected a complete file of save_estimator; nothing in it was "
            "executed."
        ) from error


def _digest(content: _Content) -> str:
    """SHA-256 of all that a file holds."""
    digest = hashlib.sha256(json.dumps(content.description).encode())
    for name, array in sorted(content.tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
