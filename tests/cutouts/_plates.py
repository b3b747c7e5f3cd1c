"""A source whose images say which galaxy they are of."""

import numpy as np

from galestim.catalogs import Catalog
from galestim.cutouts import CutoutSource, MissingCutoutError, TransientCutoutError


class Plates(CutoutSource):
    """Images that are constant: the row's RA; those at RA 66 do not exist, those at 77 fail, at 88 half is NaN."""

    def __init__(self, dtype=np.float32, n_channels=2, pixel_scale=0.5):
        self.dtype = np.dtype(dtype)
        self.n_channels = n_channels
        self.pixel_scale = pixel_scale
        self.asked = []

    def cutout(self, request):
        self.asked.append(request)
        if request.ra == 66:
            raise MissingCutoutError(f"ra={request.ra} is outside the survey")
        if request.ra == 77:
            raise TransientCutoutError("the service is tired")
        image = np.full((request.npix, request.npix, self.n_channels), request.ra, dtype=self.dtype)
        if request.ra == 88:
            image[: request.npix // 2] = np.inf
        return image


def catalog(*ra, **columns):
    return Catalog({"ra": np.array(ra, dtype=float), "dec": np.zeros(len(ra)), **columns})


def values(images):
    return images[:, 0, 0, 0].tolist()
