"""A service that answers with another place has failed: it does not say that there is no image."""

import io

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from galestim.cutouts import (
    BadReplyError,
    CutoutRequest,
    CutoutStore,
    Hips2Fits,
    LegacySurvey,
    MissingCutoutError,
    SkyServer,
    Soda,
    TransientCutoutError,
    Transport,
)
from galestim.testing import GaussianSky, LoopbackSky

FAST = Transport(requests_per_second=1000, max_retries=0)
SOURCES = {
    "legacy": lambda server: LegacySurvey(bands="g", url=server.legacy_url, transport=FAST),
    "hips2fits": lambda server: Hips2Fits("galestim/P/loopback/g", url=server.hips2fits_url, transport=FAST),
    "soda": lambda server: Soda(server.soda_url, id="ivo://galestim/loopback?g", transport=FAST),
    "skyserver": lambda server: SkyServer(url=server.skyserver_url, transport=FAST),
}


def sky(ra, dec, **options):
    light = np.full(len(ra), 100.0)
    return GaussianSky(ra, dec, light, 2.0, bands=("g", "r", "z"), background=0.1, **options)


SKY = sky([150.0], [2.0])


def offset(ra, dec, north):
    moved = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(0 * u.arcsec, north * u.arcsec)
    return moved.ra.deg, moved.dec.deg


def request(ra=150.0, dec=2.0, npix=40):
    return CutoutRequest(ra, dec, 0.5, npix, "a")


class Confused(LoopbackSky):
    """Sends other images than those asked for, until it is well."""

    def __init__(self, sky, confuse):
        super().__init__(sky)
        self.confuse = confuse

    def answer(self, path, query):
        return super().answer(path, query) if self.confuse is None else self.confuse(super().answer, path, query)


def circle(**place):
    """The answer to a request for a circle elsewhere."""

    def confuse(answer, path, query):
        ra, dec, radius = query["CIRCLE"][0].split()
        other = {"ra": ra, "dec": dec, "radius": radius, **place}
        return answer(path, {**query, "CIRCLE": ["{ra} {dec} {radius}".format(**other)]})

    return confuse


def header(**cards):
    """The right pixels under another header."""

    def confuse(answer, path, query):
        given = answer(path, query)
        with fits.open(io.BytesIO(given.body)) as hdus:
            for key, value in cards.items():
                hdus[0].header[key] = value(hdus[0].header[key]) if callable(value) else value
            file = io.BytesIO()
            hdus.writeto(file)
        return given._replace(body=file.getvalue())

    return confuse


def all_axes(factor):
    return header(**{key: lambda value: value * factor for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")})


WRONG = {
    "beside it": circle(ra=150.03),
    "around it": circle(dec=2.008),
    "far": circle(ra=160.0, dec=5.0),
    "opposite": circle(ra=330.0, dec=-2.0),
    "a pole": circle(dec=89.99),
    "nonsense": header(CRVAL1=1e300),
    "beyond the pole": header(CRVAL2=1e300),
    "no frame": header(CTYPE1="LINEAR", CTYPE2="LINEAR"),
    "one axis": header(CTYPE2="RA---TAN"),
    "no scale": all_axes(0.0),
    "arcsec for deg": all_axes(3600.0),
    "deg for arcsec": all_axes(1 / 3600),
    "a line": header(CD1_1=0.0, CD1_2=0.0),
    "parallel axes": header(CD1_1=1e-4, CD1_2=1e-4, CD2_1=1e-4, CD2_2=1e-4),
    "reference far off": header(CRPIX1=1e9),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_archive_that_sends_another_place_has_failed_and_nothing_is_kept(what, tmp_path):
    served = sky([150.0, 160.0, 150.03], [2.0, 5.0, 2.0])
    with Confused(served, WRONG[what]) as server:
        source, store = SOURCES["soda"](server), CutoutStore(tmp_path)
        with pytest.raises(BadReplyError, match="the archive sent an image"):
            source.cutout(request(), store)
        assert not [file for file in tmp_path.rglob("*") if file.is_file()]
        server.confuse, n_asked = None, len(server.log)
        assert np.isfinite(source.cutout(request(), store)).all()
        assert len(server.log) == n_asked + 1


@pytest.mark.parametrize("north", [-30, -9, -5, 0, 8])
@pytest.mark.parametrize("dec", [0.0, 70.0, -89.9])
def test_at_the_edge_of_the_data_the_rest_is_nan_or_missing(north, dec):
    edge = sky([150.0], [dec], footprint=(150.0, dec, 60 / 3600))
    asked = request(*offset(150.0, dec, 60 + north))  # 20 arcsec a side
    with LoopbackSky(edge) as server:
        image = SOURCES["soda"](server).cutout(asked)
    covered = np.isfinite(image[:, :, 0])
    assert covered.all() if north == -30 else covered[-1, 20] and not covered[0, 20]


def test_what_touches_only_the_margin_is_missing(tmp_path):
    edge = sky([150.0], [2.0], footprint=(150.0, 2.0, 60 / 3600))
    with LoopbackSky(edge) as server, pytest.raises(MissingCutoutError, match="the archive has no image"):
        SOURCES["soda"](server).cutout(request(*offset(150.0, 2.0, 72.0)), CutoutStore(tmp_path))
    assert server.log[0].status == 200


@pytest.mark.parametrize("kind", ["legacy", "hips2fits"])
@pytest.mark.parametrize("cards", [{"CRVAL1": 151.0}, {"CRVAL2": -2.0}, {"CRPIX1": 1.0}, {"CTYPE1": "GLON-TAN"}])
def test_images_of_another_place_have_failed(kind, cards, tmp_path):
    with Confused(SKY, header(**cards)) as server, pytest.raises(BadReplyError):
        SOURCES[kind](server).cutout(request(), CutoutStore(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    "said", ["UsageError: CIRCLE radius outside [0.001, 1]", "token used outside its time", "ra outside of [0, 360]"]
)
def test_a_refused_parameter_is_no_hole_in_the_sky(said, tmp_path):
    def confuse(answer, path, query):
        return answer(path, {})._replace(body=said.encode())

    with Confused(SKY, confuse) as server, pytest.raises(TransientCutoutError, match="the archive refuses"):
        SOURCES["soda"](server).cutout(request(), CutoutStore(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("body", [b"\xff\xd8", b"\xff\xd8 half", b"<html>\xff\xd9", b""])
def test_half_a_404_of_skyserver_is_no_hole_in_the_sky(body, tmp_path):
    def confuse(answer, path, query):
        return answer(path, query)._replace(status=404, body=body)

    with Confused(SKY, confuse) as server, pytest.raises(TransientCutoutError):
        SOURCES["skyserver"](server).cutout(request(npix=64), CutoutStore(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
