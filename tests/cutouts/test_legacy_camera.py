"""What the Legacy Surveys tell of their camera: noise, point-spread function, and what they do not cover."""

import io

import numpy as np
import pytest
from astropy.io import fits

from galestim.cutouts import CutoutFetcher, LegacySurvey
from galestim.testing import LoopbackSky

from ._services import cone, fast, gaussians, request


def legacy_camera(server, **options):
    return LegacySurvey(bands="zg", camera=True, url=server.legacy_url, transport=fast(), **options)


def native(**change):
    return request(pixel_scale=0.262)._replace(**change)


def test_legacy_surveys_tell_noise_and_point_spread_function():
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        cutout = legacy_camera(server).cutout(native())
        image = LegacySurvey(bands="zg", url=server.legacy_url, transport=fast()).cutout(native())
        assert [record.path for record in server.log] == [
            "/viewer/fits-cutout",
            "/viewer/coadd-psf/",
            "/viewer/fits-cutout",
        ]
    np.testing.assert_array_equal(cutout.images[0], image)
    np.testing.assert_allclose(cutout.noise, 0.01)
    assert cutout.mask is None
    assert (cutout.pixel_scale, cutout.zero_point, cutout.psf.shape) == (0.262, 22.5, (1, 63, 63, 2))
    # a Gaussian of 1.3 arcsec FWHM
    width = 1 / np.sqrt(4 * np.pi * (cutout.psf[0, ..., 1] ** 2).sum())
    assert width * 2.3548 * 0.262 == pytest.approx(1.3, rel=0.01)


def test_what_legacy_surveys_do_not_cover_is_bad():
    with LoopbackSky(cone(8 / 3600, background=0.1)) as server:
        cutout = legacy_camera(server).cutout(native())
    row, column = np.indices((80, 80)) - 39.5
    radius = np.hypot(row, column) * 0.262
    bad = cutout.mask[0, ..., 0]
    assert bad[radius > 9].all()
    assert not bad[radius < 7].any()
    assert np.isfinite(cutout.noise).all()


def test_stamps_of_the_coadd_are_turned_north_up():
    """FITS has the south first: a tail to the north must end up in the rows before the middle."""

    class Tailed(LoopbackSky):
        def answer(self, path, query):
            answer = super().answer(path, query)
            if "coadd-psf" not in path:
                return answer
            with fits.open(io.BytesIO(answer.body)) as hdus:
                for hdu in hdus:
                    hdu.data[40, 31] += 0.3
                hdus.writeto(buffer := io.BytesIO())
            return answer._replace(body=buffer.getvalue())

    with Tailed(gaussians(150.0, 2.0)) as server:
        psf = legacy_camera(server).cutout(native()).psf[0, ..., 0]
    assert psf[22, 31] > psf[40, 31]
    assert psf.sum() == pytest.approx(1, abs=1e-5)


def test_both_replies_are_kept(tmp_path):
    catalog = {"ra": [150.0, 150.001], "dec": [2.0, 2.0]}
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        fetcher = CutoutFetcher(legacy_camera(server), npix=64, cache=tmp_path)
        first = fetcher.transform(catalog)
        assert len(server.log) == 4
        again = fetcher.transform(catalog)
        assert len(server.log) == 4
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.psf, again.psf)


@pytest.mark.parametrize(("options", "change"), [({}, {"pixel_scale": 0.5}), ({"format": "jpeg"}, {})])
def test_a_camera_of_other_pixels_is_not_told(options, change):
    with LoopbackSky(gaussians(150.0, 2.0)) as server:
        with pytest.raises(ValueError, match=r"camera=True with format=.*; expected 'fits' and the native 0.262"):
            legacy_camera(server, **options).cutout(native(**change))
        assert server.log == []


def test_layers_without_inverse_variance():
    class Old(LoopbackSky):
        def answer(self, path, query):
            return super().answer(path, {name: value for name, value in query.items() if name != "invvar"})

    with Old(gaussians(150.0, 2.0)) as server, pytest.raises(ValueError, match="'ls-dr10' has no inverse variance"):
        legacy_camera(server).cutout(native())
