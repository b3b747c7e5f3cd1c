"""Networks as specs: hyper-parameters that a search can set, from which an estimator builds torch modules."""

from ._augmentation import Augmentation
from ._camera import Camera, looked_at, n_camera_numbers
from ._compact import CompactCNN
from ._dropout import Dropout, drops_out, set_dropout
from ._gaussian_head import GaussianHead
from ._harmonic import HarmonicNet
from ._image_network import ImageNetwork, Inputs, as_images, cast_pixels, pixel_tensor
from ._losses import POINTWISE, NegativeLogLikelihood, WeightedLoss
from ._oddities import n_told, oddities
from ._passes import WATCHED_PASSES, enough_passes, repeated_passes
from ._spatial_transformer import N_NUMBERS, CroppedNetwork, SpatialTransformer
from ._spec import NetworkSpec, build_network
from ._spin_cnn import SpinCNN
from ._split import ContextAsChannels, SplitNetwork
from ._vgg import VGG16
from ._weights import read_state_dict, trained_weights

# What is not in __all__ is for the other packages of galestim.
__all__ = [
    "VGG16",
    "Augmentation",
    "Camera",
    "CompactCNN",
    "Dropout",
    "GaussianHead",
    "HarmonicNet",
    "NetworkSpec",
    "SpatialTransformer",
    "SpinCNN",
    "SplitNetwork",
]
