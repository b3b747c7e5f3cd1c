"""Private names of scikit-learn that galestim uses, imported here alone: a release that moves one breaks one line.

A test keeps every other module from importing scikit-learn's private names.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context as fit_context
from sklearn.model_selection._split import _BaseKFold as BaseKFold
from sklearn.model_selection._split import _UnsupportedGroupCVMixin as UnsupportedGroupCVMixin
from sklearn.model_selection._split import _validate_shuffle_split as validate_shuffle_split
from sklearn.pipeline import _final_estimator_has as final_estimator_has
from sklearn.pipeline import _name_estimators as name_estimators
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods as _HasMethods
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._plotting import _validate_style_kwargs as styled
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight
from sklearn.utils.validation import _num_samples as num_samples

from ._masked import without_mask

__all__ = [
    "BaseKFold",
    "ClassWithout",
    "HasMethods",
    "Interval",
    "StrOptions",
    "UnsupportedGroupCVMixin",
    "check_feature_names",
    "check_method_params",
    "check_sample_weight",
    "final_estimator_has",
    "fit_context",
    "name_estimators",
    "num_samples",
    "routing_enabled",
    "safe_indexing",
    "styled",
    "validate_parameter_constraints",
    "validate_params",
    "validate_shuffle_split",
]


def check_sample_weight(sample_weight, X, **kwargs) -> NDArray[np.float64]:
    """Weights ``(n,)``, ones for None; NaN, which is an error, where masked."""
    return _check_sample_weight(without_mask(sample_weight), X, dtype=np.float64, **kwargs)


class HasMethods(_HasMethods):
    """Constraint of parameters: an object, and not its class, that has methods; errors say what it is `like`."""

    def __init__(self, methods, like=None):
        super().__init__(methods)
        self.like = like

    def is_satisfied_by(self, val):
        return not isinstance(val, type) and super().is_satisfied_by(val)

    def __str__(self):
        return super().__str__() if self.like is None else f"an object such as {self.like}"


class ClassWithout(HasMethods):
    """Constraint of parameters: a class `like` one, whose objects lack these methods."""

    def is_satisfied_by(self, val):
        return isinstance(val, type) and not any(hasattr(val, method) for method in self.methods)

    def __str__(self):
        return str(self.like)
