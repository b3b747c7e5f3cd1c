"""scikit-learn's whole battery, on flat rows and on images; nothing skipped, nothing expected to fail."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before scipy is imported, or the array API checks skip themselves

import numpy as np
import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from galestim.preprocessing import CenterCrop, Downsampler, MaskFiller, NeighborMasker, Normalizer


def as_images(X):
    """Rows ``(n, p)`` as images ``(n, 1, p, 1)``, so that the same battery drives the other path."""
    return X[:, None, :, None] if isinstance(X, np.ndarray) and X.ndim == 2 else X


class Lift:
    def fit(self, X, y=None):
        return super().fit(as_images(X), y)

    def transform(self, X):
        return super().transform(as_images(X))


class LiftedDownsampler(Lift, Downsampler):
    pass


class LiftedCenterCrop(Lift, CenterCrop):
    pass


class LiftedMaskFiller(Lift, MaskFiller):
    pass


class LiftedNormalizer(Lift, Normalizer):
    pass


class LiftedNeighborMasker(Lift, NeighborMasker):
    def transform(self, X):
        return np.asarray(super().transform(X))  # of images it makes Cutouts, which array libraries do not know


FLAT = [
    Downsampler(),
    Downsampler(npix=2),  # the battery's strips are wider, so here pixels are merged
    Downsampler(npix=(1, 2), method="pil-bicubic"),
    CenterCrop(),
    CenterCrop(npix=2),
    MaskFiller(),
    NeighborMasker(),
    Normalizer(),
    Normalizer(per_channel=True),
    Normalizer(kind="scale"),
    Normalizer(kind="asinh"),
    Normalizer(kind="asinh", softening=2.0),
    Normalizer(kind="standard"),
]
LIFTED = [
    LiftedDownsampler(npix=2),
    LiftedDownsampler(npix=(1, 2), method="pil-bicubic"),
    LiftedCenterCrop(npix=2),
    LiftedMaskFiller(),
    LiftedNeighborMasker(),
    LiftedNormalizer(per_channel=True),
    LiftedNormalizer(kind="standard"),
]
EACH = [Downsampler(), CenterCrop(), MaskFiller(), NeighborMasker(), Normalizer(), Normalizer(kind="standard")]

NEVER_YIELDED = [
    "check_dataframe_column_names_consistency",
    "check_param_validation",
    "check_get_feature_names_out_error",
    *(n for n in dir(checks) if n.startswith(("check_set_output", "check_global_"))),
    *(n for n in dir(checks) if n.startswith("check_transformer_get_feature_names_out")),
]


@parametrize_with_checks([*FLAT, *LIFTED])
def test_check_estimator(estimator, check):
    try:
        check(estimator)
    except pytest.skip.Exception as skipped:
        pytest.fail(f"a skipped check proves nothing: {skipped}")


# the set_output checks fit on an array and transform a data frame, and the other way round
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("name", NEVER_YIELDED)
@pytest.mark.parametrize("estimator", EACH, ids=repr)
def test_checks_that_check_estimator_never_yields(estimator, name):
    yielded = {getattr(one, "func", one).__name__ for _, one in checks.estimator_checks_generator(estimator)}
    assert name not in yielded, "the battery has it now: it need not be run here"
    getattr(checks, name)(type(estimator).__name__, estimator)
