"""Estimators that are trained already and come with galestim."""

from __future__ import annotations

from pathlib import Path

from ._safetensors import load_estimator

FOLDER = Path(__file__).parent / "pretrained"
ENDING = ".safetensors"


def load_pretrained(name="any-camera", *, device="auto"):
    """Read an estimator that is trained already, with a card that says on what, and what it is good for.

    ``"any-camera"`` infers bulge-to-total ratio, half-light radius [arcsec] and flux [units of the images] of a
    galaxy in the middle of `Cutouts` that know their camera: ``psf`` and ``noise`` of each, and ``gain``, ``mask``,
    ``pixel_scale``, ``sky_error`` and ``psf_error`` as far as they are known. It learned from simulations of

    - bulges and disks in images of 64 to 128 pixels, centered to three pixels, with half-light radii from a quarter
      to three times the width of the point-spread function and up to 12 pixels, and signal-to-noise ratios of 10 to
      3000;
    - neighbors three magnitudes brighter to three fainter, masked by `NeighborMasker`, which belongs in front:
      ``make_pipeline(NeighborMasker(), load_pretrained())``; those within 2.5 widths of the point-spread
      function are not masked, and fluxes come out nearly one σ too high beside them;
    - point-spread functions 1.8 to 8 pixels wide: Moffat's, Gaussian, with wings, and of telescopes in space;
    - noise that is independent or correlated, linear fluxes, a sky that is subtracted to 0.03 to 0.4 of the noise.

    Its method ``in_domain`` says which images are unlike these.

    ``"hsc-sim-i"`` knows one camera: the same of galaxies like those of the wide survey of Hyper Suprime-Cam in the i
    band, from 96×96 pixels of 0.168 arcsec, linear in ADU of zero point 27, seen through a Moffat point-spread
    function (β = 3) of FWHM 0.58 arcsec with a sky noise of 0.055 ADU. Only the number of pixels is checked.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    name : {"any-camera", "hsc-sim-i"}, default="any-camera"
        Which one.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is CUDA, else MPS, else the CPU.

    Returns
    -------
    PosteriorRegressor
        Fitted. Its attribute ``card_`` is a dict of what there is to know: ``"data"``, ``"prior"``, ``"cameras"`` or
        ``"band"``, ``"seeds"``, ``"date"``, ``"training"``, ``"numbers"``, ``"limits"`` of its use, ``"license"``.

    Raises
    ------
    ValueError
        If there is none of this name, or the device is unknown or absent.

    See Also
    --------
    galestim.preprocessing.NeighborMasker : Masks the neighbors.
    galestim.datasets.SimulatedGalaxies : What it was trained on.
    load_estimator : Reads files of your own; has the errors of a damaged installation.

    Examples
    --------
    >>> from galestim.checkpoints import load_pretrained
    >>> from galestim.datasets import SimulatedGalaxies
    >>> from galestim.simulation import sim_v2_cameras, sim_v2_prior
    >>> model = load_pretrained()
    >>> galaxies = SimulatedGalaxies(5, npix=64, band=sim_v2_cameras(), prior=sim_v2_prior(), random_state=1)
    >>> model.predict_posterior(galaxies[:])
    MixturePosterior(5 galaxies; targets: bulge_to_total, half_light_radius [arcsec], flux)
    >>> model.card_["license"]
    'BSD-3-Clause'
    >>> load_pretrained("hsc-sim-z")
    Traceback (most recent call last):
        ...
    ValueError: name='hsc-sim-z'; expected one of 'any-camera', 'hsc-sim-i'.
    """
    names = sorted(path.stem for path in FOLDER.glob(f"*{ENDING}"))
    if name not in names:
        raise ValueError(f"name={name!r}; expected one of {', '.join(map(repr, names))}.")
    return load_estimator(FOLDER / f"{name}{ENDING}", device=device)
