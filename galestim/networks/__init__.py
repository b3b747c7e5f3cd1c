"""Networks as searchable specs; pure torch underneath."""

from ._augmentation import Augmentation
from ._compact import CompactCNN
from ._dropout import Dropout
from ._spec import NetworkSpec
from ._spin_cnn import SpinCNN

__all__ = ["Augmentation", "CompactCNN", "Dropout", "NetworkSpec", "SpinCNN"]
