import numpy as np
import pytest
from sklearn.base import BaseEstimator

from galestim import Cutouts, Downsampler, Normalizer
from galestim.cutouts import CutoutFetcher, CutoutSource, MissingCutoutError, _gather
from galestim.simulation import MoffatPSF


class Camera(BaseEstimator, CutoutSource):
    """Images of the declination, seen through a camera that changes with the right ascension."""

    dtype, n_channels, pixel_scale, knows_camera = np.dtype(np.float32), 2, 0.5, True

    def __init__(self, odd=None):
        self.odd = odd

    def cutout(self, request):
        ra, dec, npix = request.ra, request.dec, request.npix
        if dec < 0:
            raise MissingCutoutError("south")
        images = np.full((1, npix, npix, 2), dec, np.float32)
        if self.odd == "array":
            return images[0]
        bad = np.zeros(images.shape, bool)
        bad[0, 0, 0] = ra > 11
        psf = MoffatPSF(ra / 10) if self.odd == "object" else np.full((5, 5), 1 / 25)
        noise = {} if self.odd == "forgets" and ra > 11 else {"noise": np.full(images.shape, ra, np.float32)}
        mask = bad if bad.any() else None
        scale = request.pixel_scale
        return Cutouts(images, mask=mask, psf=psf, gain=ra, pixel_scale=scale, zero_point=25.0, **noise)


TABLE = {"ra": [10.0, 11.0, 12.0, 13.0, 14.0], "dec": [1.0, -2.0, 3.0, 4.0, 5.0]}
NORTH = {name: [values[i] for i in (0, 2, 3, 4)] for name, values in TABLE.items()}


@pytest.fixture(params=[1, 2, 100], autouse=True)
def chunk(request, monkeypatch):
    """So many cutouts at a time."""
    monkeypatch.setattr(_gather, "CHUNK_BYTES", request.param * 6 * 6 * 2 * 4)


@pytest.mark.parametrize("memmap", [False, True])
def test_each_row_has_its_camera(memmap):
    cutouts = CutoutFetcher(Camera(), npix=6, memmap=memmap).transform(NORTH)
    assert isinstance(cutouts, Cutouts)
    assert isinstance(cutouts.images, np.memmap) == isinstance(cutouts.noise, np.memmap) == memmap
    assert cutouts.images[:, 0, 0, 0].tolist() == [1, 3, 4, 5]
    assert cutouts.noise[:, 5, 5, 1].tolist() == cutouts.gain.tolist() == [10, 12, 13, 14]
    assert cutouts.mask[:, 0, 0, 1].tolist() == [False, True, True, True]
    assert cutouts.mask.sum() == 6
    assert cutouts.psf.shape == (4, 5, 5)
    assert (cutouts.pixel_scale, cutouts.zero_point, cutouts.wcs) == (0.5, 25.0, None)


def test_missing_rows_are_nan_everywhere():
    fetcher = CutoutFetcher(Camera(), npix=6, on_error="nan")
    cutouts = fetcher.transform(TABLE)
    assert fetcher.report_["status"].tolist() == ["ok", "missing", "ok", "ok", "ok"]
    assert cutouts.missing().tolist() == [False, True, False, False, False]
    for known in (cutouts.images, cutouts.noise, cutouts.psf, cutouts.gain):
        assert np.isnan(known[1]).all()
    assert cutouts.mask[1].all()
    assert cutouts.pixel_scale == 0.5
    assert cutouts.noise[[0, 2, 3, 4], 3, 3, 0].tolist() == [10, 12, 13, 14]


def test_missing_rows_are_left_out():
    acquired = CutoutFetcher(Camera(), npix=6).acquire(TABLE)
    assert acquired.catalog["ra"].value.tolist() == acquired.images.gain.tolist() == [10, 12, 13, 14]
    assert acquired.images.images[:, 0, 0, 0].tolist() == [1, 3, 4, 5]


def test_no_cutout_at_all():
    south = {"ra": [10.0, 11.0], "dec": [-1.0, -2.0]}
    fetcher = CutoutFetcher(Camera(), npix=6, on_error="nan")
    cutouts = fetcher.transform(south)
    assert isinstance(cutouts, Cutouts)
    assert cutouts.missing().tolist() == [True, True]
    assert fetcher.acquire(south).images.shape == (0, 6, 6, 2)


def test_reducers_keep_the_camera_true():
    fetcher = CutoutFetcher(Camera(), npix=6, reducer=Downsampler(3))
    reduced = fetcher.transform(NORTH)
    whole = Downsampler(3).transform(CutoutFetcher(Camera(), npix=6).transform(NORTH))
    for name in ("images", "noise", "psf", "gain", "pixel_scale", "zero_point"):
        np.testing.assert_allclose(getattr(reduced, name), getattr(whole, name), rtol=1e-6)
    assert CutoutFetcher(Camera(), npix=6, reducer=Normalizer("minmax")).transform(NORTH).stretched


def test_objects_stay_objects():
    cutouts = CutoutFetcher(Camera("object"), npix=6, on_error="nan").transform(TABLE)
    assert [None if psf is None else psf.fwhm for psf in cutouts.psf] == [1.0, None, 1.2, 1.3, 1.4]


@pytest.mark.parametrize(
    ("odd", "error", "match"),
    [
        ("array", TypeError, "Camera made ndarray, but its knows_camera is True; expected Cutouts"),
        ("forgets", ValueError, "noise.* is known in some of the cutouts only"),
    ],
)
def test_sources_that_are_of_two_minds(odd, error, match):
    with pytest.raises(error, match=match):
        CutoutFetcher(Camera(odd), npix=6).transform(NORTH)


def test_a_source_that_does_not_say_it_knows():
    source = Camera()
    source.knows_camera = False
    with pytest.raises(TypeError, match="Camera made Cutouts, but its knows_camera is False"):
        CutoutFetcher(source, npix=6).transform(NORTH)


def test_together_they_may_be_too_large_for_memory(monkeypatch):
    """Each array fits, all of them do not."""
    monkeypatch.setattr(_gather, "MEMMAP_BYTES", 4 * 6 * 6 * 2 * 4 + 1)
    assert isinstance(CutoutFetcher(Camera(), npix=6).transform(NORTH).images, np.memmap)
