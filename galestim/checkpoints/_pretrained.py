"""Estimators that are trained already and come with galestim."""

from __future__ import annotations

from pathlib import Path

from ._safetensors import load_estimator

FOLDER = Path(__file__).parent / "pretrained"
ENDING = ".safetensors"


def load_pretrained(name="hsc-sim-i", *, device="auto"):
    """Read an estimator that is trained already, with a card that says on what, and what it is good for.

    ``"hsc-sim-i"`` infers bulge-to-total ratio, half-light radius [arcsec] and flux [ADU, zero point 27] of galaxies
    like those of the wide survey of Hyper Suprime-Cam in the i band. It learned from simulations
    (`SimulatedGalaxies`) and wants what these are:

    - 96×96 pixels of 0.168 arcsec, with one galaxy, centered to half a pixel;
    - linear flux in ADU of zero point 27, sky subtracted: neither stretched nor normalized;
    - a Moffat point-spread function (β = 3) of FWHM 0.58 arcsec;
    - sky noise of σ = 0.055 ADU per pixel, and magnitudes from 17.5 to 23.

    Only the number of pixels is checked. Of images with another pixel scale, zero point, point-spread function or
    noise, or with neighbors, its posteriors are wrong without a warning: train one of your own on such images.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    name : {"hsc-sim-i"}, default="hsc-sim-i"
        Which one.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.

    Returns
    -------
    PosteriorRegressor
        Fitted. Its attribute ``card_`` is a dict of what there is to know: ``"data"``, ``"band"``, ``"prior"``,
        ``"seeds"``, ``"date"``, ``"training"``, ``"numbers"``, ``"limits"`` of its use, ``"license"``.

    Raises
    ------
    ValueError
        If there is none of this name, or the device is unknown or absent.

    See Also
    --------
    galestim.datasets.SimulatedGalaxies : What it was trained on.
    load_estimator : Reads files of your own; has the errors of a damaged installation.

    Examples
    --------
    >>> from galestim.checkpoints import load_pretrained
    >>> from galestim.datasets import SimulatedGalaxies
    >>> model = load_pretrained()
    >>> model.predict_posterior(SimulatedGalaxies(5, random_state=1))
    MixturePosterior(5 galaxies; targets: bulge_to_total, half_light_radius [arcsec], flux)
    >>> model.card_["license"]
    'BSD-3-Clause'
    >>> load_pretrained("hsc-sim-z")
    Traceback (most recent call last):
        ...
    ValueError: name='hsc-sim-z'; expected one of 'hsc-sim-i'.
    """
    names = sorted(path.stem for path in FOLDER.glob(f"*{ENDING}"))
    if name not in names:
        raise ValueError(f"name={name!r}; expected one of {', '.join(map(repr, names))}.")
    return load_estimator(FOLDER / f"{name}{ENDING}", device=device)
