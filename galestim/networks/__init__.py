"""Networks as specs: hyper-parameters that a search can set, from which an estimator builds torch modules."""

from ._augmentation import Augmentation
from ._compact import CompactCNN
from ._dropout import Dropout
from ._gaussian_head import GaussianHead
from ._harmonic import HarmonicNet
from ._spatial_transformer import SpatialTransformer
from ._spec import NetworkSpec
from ._spin_cnn import SpinCNN
from ._split import SplitNetwork
from ._vgg import VGG16

__all__ = [
    "VGG16",
    "Augmentation",
    "CompactCNN",
    "Dropout",
    "GaussianHead",
    "HarmonicNet",
    "NetworkSpec",
    "SpatialTransformer",
    "SpinCNN",
    "SplitNetwork",
]
