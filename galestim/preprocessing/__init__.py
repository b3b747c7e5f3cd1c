"""Image transformers: mask neighbors, downsample, crop, fill, normalize.

Stateless or nearly so, numpy only, and always in the layout they were given.
"""

from ._crop import CenterCrop
from ._downsample import Downsampler
from ._fill_masks import MaskFiller
from ._mask_neighbors import NeighborMasker
from ._normalize import Normalizer

__all__ = ["CenterCrop", "Downsampler", "MaskFiller", "NeighborMasker", "Normalizer"]
