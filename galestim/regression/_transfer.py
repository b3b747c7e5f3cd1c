"""Transfer: a fit that starts from the weights of another, for other targets or bands."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._descend import find
from .._sklearn import Interval
from ..networks import CroppedNetwork, ImageNetwork
from ._targets import Targets

UNLIKE = 10.0  # times as bright, or as faint, as the images that the weights were learned from
OF_CAMERAS = ("numbers_mean", "numbers_scale")  # buffers of an `ImageNetwork`


class Transfer(BaseEstimator):
    """What a fit starts from: the weights of an estimator that is fitted already, for other targets or bands.

    It is the `warm_start_from` of an estimator. The network of the fit takes over all weights but those of its last
    layer, which starts afresh, as it belongs to the targets; if these are the same ones by name, unit and transform,
    it is taken over too. What was learned from hundreds of thousands of galaxies so serves a few hundred labels.

    .. versionadded:: 0.1.0

    Parameters
    ----------
    estimator : CNNRegressor, PosteriorRegressor or STNPosteriorRegressor
        Fitted: by you, or one of :func:`~galestim.checkpoints.load_pretrained`,
        :func:`~galestim.checkpoints.load_estimator` or :func:`~galestim.checkpoints.load_published_stn`; or a
        pipeline or search that ends in one. It stays as it is.
    lr_factor : float, default=0.1
        Learning rate of the weights that are taken over, relative to the last layer and to what else starts afresh.
        0 freezes them.

    See Also
    --------
    galestim.networks.VGG16 : Has ``weights``, a file with those of ImageNet.

    Notes
    -----
    A clone has the same estimator, which stays fitted, so that it may be cross-validated and searched:
    ``{"warm_start_from__lr_factor": [0, 0.1, 1]}``.

    The network must be that of `estimator`, which it is if ``network`` is None, and be told of cameras as that was.
    Images of as many channels as before are standardized by the pixels of the first fit. Of other bands, filters of
    convolutions start from the mean over the old ones. Members of ensembles take over one member each, in turn.

    Statistics of batch normalization are frozen with their layer. After ``warm_start``, rates are those of the
    `lr_factor` that is set then, so that a second fit can thaw what the first one froze.

    Examples
    --------
    The spin of galaxies from their structure: 100 labels, and a network that has learned from 2000 simulated ones.

    >>> from galestim import CNNRegressor, CompactCNN
    >>> from galestim.datasets import make_spin_galaxies
    >>> from galestim.regression import Transfer
    >>> many = make_spin_galaxies(200, npix=24, random_state=0)
    >>> structure = CNNRegressor(CompactCNN(widths=(2, 4)), max_epochs=3, random_state=0)
    >>> structure = structure.fit(many.images, many.parameters["bulge_to_total"])
    >>> few = make_spin_galaxies(40, npix=24, random_state=1)
    >>> spin = CNNRegressor(warm_start_from=Transfer(structure, lr_factor=0), max_epochs=3, random_state=0)
    >>> spin.fit(few.images, few.lambda_r).predict(few.images[:2]).shape
    (2,)
    """

    _parameter_constraints: dict = {"lr_factor": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, estimator, *, lr_factor=0.1):
        self.estimator = estimator
        self.lr_factor = lr_factor

    def __sklearn_clone__(self):
        return type(self)(self.estimator, lr_factor=self.lr_factor)

    def get_params(self, deep=True):
        """Get the parameters; those of `estimator`, which is fitted, are none of this.

        Parameters
        ----------
        deep : bool, default=True
            Makes no difference.

        Returns
        -------
        dict
        """
        return super().get_params(deep=False)

    @property
    def source(self) -> Any:
        """The fitted regressor itself, out of its pipeline or search.

        Raises
        ------
        ValueError
            If `estimator` is none, or is not fitted.
        """
        regressor = find(self.estimator, "network_")[1]
        if not hasattr(regressor, "_members") or not hasattr(regressor, "network_"):
            raise ValueError(
                f"Transfer got {type(regressor).__name__}, which is not fitted or has no network; expected a fitted "
                "CNNRegressor, PosteriorRegressor or STNPosteriorRegressor, or a pipeline that ends in one."
            )
        return regressor


def lend_scales(transfer: Transfer, regressor, targets: Targets) -> None:
    """Scales of pixels, and of the targets if they are the same, as the weights know them."""
    transfer._validate_params()
    source = transfer.source
    _check_camera(source, regressor)
    if source.image_shape_[2] == regressor.image_shape_[2] and not regressor.camera_:
        _warn_of_other_brightness(source, regressor)
        regressor.pixel_mean_, regressor.pixel_scale_ = source.pixel_mean_.copy(), source.pixel_scale_.copy()
    if targets.named and _same_targets(source, regressor):
        regressor.target_mean_, regressor.target_scale_ = source.target_mean_.copy(), source.target_scale_.copy()


def lend_weights(transfer: Transfer, regressor, targets: Targets) -> None:
    """Weights of a network that was just started."""
    spared = not (targets.named and _same_targets(transfer.source, regressor))
    fresh: list[str] = []
    for member, lender in _pairs(transfer, regressor):
        taken = _named_taken(member, lender, spared)
        for own, theirs in taken.values():
            _copy(own, theirs)
        fresh = [name for name in member.state_dict() if name.startswith("network.") and name not in taken]
        for name in OF_CAMERAS:
            if hasattr(member, name) and getattr(member, name).shape == getattr(lender, name).shape:
                getattr(member, name).copy_(getattr(lender, name))
    output = _output(regressor._members()[0])
    if unexpected := [name for name in fresh if name not in output]:
        warnings.warn(
            f"{len(unexpected)} weights besides the last layer start afresh, as the estimator of warm_start_from has "
            f"others: {', '.join(unexpected[:4])}{', …' * (len(unexpected) > 4)}. Give images of the size and bands "
            "that it learned from, and leave network=None, to take over more.",
            stacklevel=7,
        )


def set_rates(transfer: Transfer | None, regressor) -> None:
    """Learning rates of what was taken over, in this fit; all the same without a transfer."""
    if transfer is None:
        for member in regressor._members():
            member.set_lr_factors({})
        return
    for member, lender in _pairs(transfer, regressor):
        member.set_lr_factors(dict.fromkeys(_named_taken(member, lender, True), float(transfer.lr_factor)))


def _pairs(transfer: Transfer, regressor) -> Iterator[tuple[ImageNetwork, ImageNetwork]]:
    """Each network with the one that it takes over."""
    lenders = transfer.source._members()
    for number, member in enumerate(regressor._members()):
        yield member, lenders[number % len(lenders)]


def _named_taken(member: ImageNetwork, lender: ImageNetwork, spared: bool) -> dict[str, tuple]:
    """What fits, by its name in `member`: a tensor of its own and that of the other; without the last layer if so."""
    names = {tensor.data_ptr(): name for name, tensor in member.state_dict().items() if tensor.numel()}
    taken: dict[str, tuple] = {}
    for part, other in zip(_parts(member), _parts(lender)):
        own, theirs = part.state_dict(), other.state_dict()
        if part is member.core and own.keys() != theirs.keys():
            raise ValueError(
                f"the network has {_listed(own.keys() - theirs.keys())} and that of warm_start_from has "
                f"{_listed(theirs.keys() - own.keys())}; expected one network. Leave network=None, which takes that "
                "of warm_start_from."
            )
        fitting = {
            name: (own[name], theirs[name]) for name in own if name in theirs and _fits(own[name], theirs[name])
        }
        taken |= {names[pair[0].data_ptr()]: pair for pair in fitting.values() if pair[0].numel()}
    output = _output(member) if spared else set()
    return {name: pair for name, pair in taken.items() if name not in output}


def _parts(member: ImageNetwork) -> list[nn.Module]:
    """The network proper, and the localization of its crop if it has one."""
    cropped = isinstance(member.network, CroppedNetwork)
    return [member.core, *([member.network.transformer] if cropped else [])]


def _output(member: ImageNetwork) -> set[str]:
    """Names of the weights of the last layer."""
    last = list(dict(member.named_parameters()))[-1].rpartition(".")[0]
    return {name for name, _ in member.named_parameters() if name.rpartition(".")[0] == last}


def _fits(own: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal shapes, or filters of an image of other channels."""
    return own.shape == theirs.shape or (
        own.ndim == theirs.ndim == 4 and (own.shape[0], *own.shape[2:]) == (theirs.shape[0], *theirs.shape[2:])
    )


@torch.no_grad()
def _copy(own: torch.Tensor, theirs: torch.Tensor) -> None:
    if own.shape != theirs.shape:  # a picture that is the same in all channels gives the same map
        theirs = theirs.mean(dim=1, keepdim=True).expand_as(own) * (theirs.shape[1] / own.shape[1])
    own.copy_(theirs)


def _same_targets(source, regressor) -> bool:
    """Whether outputs mean the same: names, units, transforms, head, and whether radii are in arcsec."""

    def meaning(fitted):
        head = repr(fitted._specs().get("head"))
        return fitted.target_names_, fitted.target_units_, repr(fitted.target_transforms_), head, fitted._on_sky

    return meaning(source) == meaning(regressor)


def _check_camera(source, regressor) -> None:
    if source._camera_told() != regressor._camera_told():
        cure = "Cutouts with psf and noise" if source.camera_ else "images as an array, np.asarray(X),"
        raise ValueError(
            f"warm_start_from was {'' if source.camera_ else 'not '}told the camera of its images, and this fit is "
            f"{'' if regressor.camera_ else 'not'}; expected {cure} and the same spatial_transformer as it has."
        )


def _warn_of_other_brightness(source, regressor) -> None:
    ratio = regressor.pixel_scale_ / source.pixel_scale_
    offset = np.abs(regressor.pixel_mean_ - source.pixel_mean_) / source.pixel_scale_
    if (ratio > UNLIKE).any() or (ratio < 1 / UNLIKE).any() or (offset > UNLIKE).any():
        warnings.warn(
            f"pixels have a mean of {regressor.pixel_mean_[0]:.3g} and a spread of {regressor.pixel_scale_[0]:.3g}, "
            f"but the weights of warm_start_from were learned from {source.pixel_mean_[0]:.3g} and "
            f"{source.pixel_scale_[0]:.3g}; expected images that are scaled and stretched alike.",
            stacklevel=7,
        )


def _listed(names) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + ", …" * (len(names) > 3) if names else "no other weights"
